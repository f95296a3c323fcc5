"""A person's own error matrix and scores as CSV: tasks down, experts across, aligned by their labels."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2v_core.errors import InputError
from t2v_core.selection.meta_task import MetaTask
from t2v_core.selection.regret import FloatArray
from t2v_core.selection.selectors import Given
from t2v_core.selection.words import listed, quoted

MISSING = frozenset({"", "-", "na", "n/a", "nan", "none", "null"})


@dataclass(frozen=True)
class Table:
    """A labelled matrix.

    Attributes:
        rows: labels of the tasks.
        columns: labels of the experts.
        values: ``[rows, columns]``, NaN where a cell is empty.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: FloatArray


def read_table(path: Path) -> Table:
    """Read a CSV whose first row names the experts and whose first column names the tasks.

    Raises:
        InputError: it cannot be read as such a table; the sentence says where.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            numbered = enumerate(csv.reader(file, skipinitialspace=True), start=1)
            lines = [(number, row) for number, row in numbered if any(cell.strip() for cell in row)]
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist; give a CSV file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"'{path.name}' cannot be read as a CSV file in UTF-8 ({why}); save it as one") from error
    if len(lines) < 2 or len(lines[0][1]) < 2:
        raise InputError(
            f"'{path.name}' holds no table: the first row must name the experts and the first column the tasks, "
            "with commas between them"
        )
    columns = tuple(c.strip() for c in lines[0][1][1:])
    rows = tuple(row[0].strip() for _, row in lines[1:])
    for what, labels in (("experts", columns), ("tasks", rows)):
        repeated = [label for label, times in Counter(labels).items() if times > 1]
        if repeated:
            raise InputError(f"'{path.name}' has several {what} called {listed(repeated)}; give each its own label")
        if "" in labels:
            raise InputError(f"'{path.name}' has {what} without a label; name each of them")
        odd = [label for label in labels if not label.isprintable()]
        if odd:
            raise InputError(f"'{path.name}' has labels of {what} that cannot be printed on a line: {listed(odd)}")
    values = np.full((len(rows), len(columns)), np.nan)
    for t, (number, row) in enumerate(lines[1:]):
        if len(row) != len(columns) + 1:
            raise InputError(
                f"line {number} of '{path.name}' has {len(row)} cells where the first line has "
                f"{len(columns) + 1}; give every line one cell an expert, empty where nothing was measured"
            )
        cells = [cell.strip() for cell in row[1:]]
        try:
            values[t] = cells if _plain("".join(cells)) else [_number(cell) for cell in cells]
        except ValueError:  # an empty cell, or text
            values[t] = [_number(cell) for cell in cells]
    wrong = np.argwhere(np.isinf(values))
    if len(wrong):
        t, e = wrong[0]
        raise InputError(
            f"'{path.name}' holds {quoted(lines[1 + t][1][1 + e].strip())} for task {quoted(rows[t])} and expert "
            f"{quoted(columns[e])}; give a number, or leave the cell empty"
        )
    return Table(rows, columns, values)


def _number(cell: str) -> float:
    """The number in a cell; NaN where it is empty, infinity where it holds text."""
    if cell.lower() in MISSING:
        return np.nan
    try:
        return float(cell) if _plain(cell) else np.inf
    except ValueError:
        return np.inf


def _plain(cells: str) -> bool:
    """Whether they can hold no number of a kind that only Python takes for one: 1_000, or digits of other scripts."""
    return cells.isascii() and "_" not in cells


def meta_task_from_csv(path: Path, generic: str | None = None) -> MetaTask:
    """The meta-task of an error matrix; an expert is no candidate for the task of its own label.

    Args:
        path: errors in %; tasks down, experts across.
        generic: label of the expert that was not fine-tuned: compared with, no candidate.

    Raises:
        InputError: the file is no such matrix.
    """
    table = read_table(path)
    bad = np.argwhere((table.values < 0) | (table.values > 100))
    if len(bad):
        t, e = bad[0]
        raise InputError(
            f"'{path.name}' holds the error {table.values[t, e]:g} for task {quoted(table.rows[t])} and expert "
            f"{quoted(table.columns[e])}; errors are in %, from 0 to 100"
        )
    if generic is not None and generic not in table.columns:
        raise InputError(f"'{path.name}' has no expert '{generic}'; name the generic expert by its label there")
    kept = [e for e, label in enumerate(table.columns) if label != generic]
    if not kept:
        raise InputError(f"'{path.name}' has no expert but the generic one, so there is none to choose; add experts")
    experts = tuple(table.columns[e] for e in kept)
    return MetaTask(
        name=path.stem,
        tasks=table.rows,
        task_names=table.rows,
        experts=experts,
        expert_names=experts,
        errors=table.values[:, kept],
        allowed=np.array(table.rows)[:, None] != np.array(experts, dtype=str),
        kinds=("all",) * len(table.rows),
        generic=None if generic is None else table.values[:, table.columns.index(generic)],
    )


def scores_from_csv(meta: MetaTask, path: Path, *, larger_is_better: bool = False) -> tuple[Given, list[str]]:
    """A selector's scores for a meta-task, found by their labels whatever the order.

    Args:
        meta: the meta-task.
        path: scores; tasks down, experts across.
        larger_is_better: the scores are similarities rather than distances.

    Returns:
        The selector, called ``selected``; what does not fit the meta-task, one sentence each.

    Raises:
        InputError: the file is no such matrix, or shares no task or no expert with the meta-task.
    """
    table = read_table(path)
    for what, theirs, ours in (("task", table.rows, meta.tasks), ("expert", table.columns, meta.experts)):
        if not set(theirs) & set(ours):
            raise InputError(
                f"'{path.name}' and '{meta.name}' have no {what} in common ({listed(theirs)} against {listed(ours)}); "
                "use the same labels in both"
            )
    notes = []
    for what, theirs, ours in (("tasks", table.rows, meta.tasks), ("experts", table.columns, meta.experts)):
        known = set(ours)
        unknown = [label for label in theirs if label not in known]
        if unknown:
            notes.append(f"The errors do not know the {what} {listed(unknown)} of the scores; left out.")
    # One row and column of NaN at the end, where the labels that have no score are sent.
    padded = np.pad(table.values, ((0, 1), (0, 1)), constant_values=np.nan)
    scores = padded[np.ix_(_places(table.rows, meta.tasks), _places(table.columns, meta.experts))]
    if larger_is_better:
        return Given("selected", "the highest score", -scores), notes
    return Given("selected", "the lowest score", scores), notes


def _places(labels: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    """Where each wanted label stands; -1 where it is missing."""
    place = {label: i for i, label in enumerate(labels)}
    return [place.get(label, -1) for label in wanted]
