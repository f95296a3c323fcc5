"""What every measured method leaves in a bank: its scores, what it costs, its distances, its embeddings.

Scores and distances are one compressed npz a method. Beside each task and expert stands the beginning of its content
hash: cells of a task or expert that has been replaced since are missing, never taken for another's.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import select

from t2v_core.bank import schema
from t2v_core.bank.bank import Bank, content_key
from t2v_core.bank.packed import unpack
from t2v_core.bank.records import ExpertRecord
from t2v_core.bank.statements import put_embedding, upsert
from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError
from t2v_core.probe.record import BUNDLED

HASH = 16
"""Hex digits of a content hash that are kept."""


@dataclass(frozen=True)
class MethodRecord:
    """One method as measured on a bank's tasks and experts.

    Attributes:
        name: as in links and tables.
        title: what it does, for people.
        labels: whether it needs the target's labels.
        every_expert: whether a new target's images must pass through every expert.
        settings: every option that determined the numbers.
        seconds: processor seconds that each expert adds for one target, forward passes included.
        once: processor seconds for one expert, spent when the bank is built.
        scores: targets by experts, by id; lower is better, NaN where there is none. Empty for a cost alone.
        distances: tasks by tasks, by id; empty where the method compares no tasks.
        facts: further measurements, as JSON values.
        target: processor seconds for one target, however many experts there are; ``seconds`` come on top.
    """

    name: str
    title: str
    labels: bool
    every_expert: bool
    settings: dict[str, Any]
    seconds: float
    once: float
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    distances: pd.DataFrame = field(default_factory=pd.DataFrame)
    facts: dict[str, Any] = field(default_factory=dict)
    target: float = 0.0

    @property
    def costs_only(self) -> bool:
        """Whether there are no scores, only what the method costs and facts about it."""
        return self.scores.empty


def keep_method(bank: Bank, record: MethodRecord) -> None:
    """Write a method, replacing one of the same name.

    Raises:
        InputError: a score or distance is of a task or expert that the bank does not hold.
    """
    tasks, experts = _contents(bank)
    used = {*record.scores.index, *record.distances.index} - tasks.keys() | {*record.scores.columns} - experts.keys()
    if used:
        raise InputError(f"the bank at {bank.location} holds no {sorted(used)[0]!r}; measure what it holds")
    upper = np.triu_indices(len(record.distances), 1)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        tasks=_strings(record.scores.index),
        task_contents=_strings(tasks[i] for i in record.scores.index),
        experts=_strings(record.scores.columns),
        expert_contents=_strings(experts[i] for i in record.scores.columns),
        scores=record.scores.to_numpy(np.float32),
        placed=_strings(record.distances.index),
        placed_contents=_strings(tasks[i] for i in record.distances.index),
        distances=record.distances.to_numpy(np.float16)[upper],
    )
    row = {
        "name": record.name,
        "about": {name: getattr(record, name) for name in ("title", "labels", "every_expert", "target")},
        "settings": record.settings,
        "seconds": record.seconds,
        "once": record.once,
        "facts": record.facts,
        "arrays": buffer.getvalue(),
    }
    save_method_rows(bank, [row])


def name_by(method: str, probe_id: str) -> str:
    """What a method is called that saw the images through this probe: the bundled one goes without saying."""
    return method if probe_id == BUNDLED else f"{method}:{probe_id}"


def kept_methods(bank: Bank) -> dict[str, MethodRecord]:
    """Every method measured on the bank, by name, as far as its tasks and experts are still the same."""
    rows = method_rows(bank)
    if not rows:
        return {}
    tasks, experts = _contents(bank)
    return {row["name"]: _record(row, tasks, experts) for row in rows}


def check_method(row: dict[str, Any]) -> None:
    """Make sure that a row of the table of methods can be read back: one that cannot would spoil the bank for all.

    Raises:
        InputError: it cannot.
    """
    try:
        found = _record(row, {}, {})
        if not (isinstance(found.settings, dict) and isinstance(found.facts, dict)):
            raise TypeError("its settings and facts are no JSON objects")
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"what was measured of method {row.get('name')!r} cannot be read ({error}); export the bank again"
        ) from error


def method_rows(bank: Bank) -> list[dict[str, Any]]:
    """Every method as it stands in its table."""
    with bank.engine.connect() as connection:
        return [dict(r) for r in connection.execute(select(schema.method).order_by(schema.method.c.name)).mappings()]


def save_method_rows(bank: Bank, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of the table of methods."""
    with bank._change() as connection:
        for row in rows:
            upsert(connection, schema.method, row)


def add_embeddings(bank: Bank, embeddings: Mapping[str, Embedding]) -> None:
    """Give tasks that the bank holds further embeddings, by task id; one of the same space is replaced.

    Random networks are no probe of the bank's, so theirs come this way and not with ``save_task``.
    """
    with bank._change() as connection:
        for task_id, embedding in embeddings.items():
            put_embedding(connection, task_id, embedding)


def _record(row: dict[str, Any], tasks: Mapping[str, str], experts: Mapping[str, str]) -> MethodRecord:
    """The record behind a row, of those tasks and experts whose content, by id, is what it was measured with.

    Raises:
        KeyError, TypeError, ValueError: it is none that ``keep_method`` has written.
    """
    arrays = unpack(row["arrays"], row["name"])
    scores = pd.DataFrame(arrays["scores"].astype(np.float32), index=arrays["tasks"], columns=arrays["experts"])
    rows_same = _same(arrays["tasks"], arrays["task_contents"], tasks)
    columns_same = _same(arrays["experts"], arrays["expert_contents"], experts)
    placed = arrays["placed"]
    square = pd.DataFrame(_square(arrays["distances"], len(placed)), index=placed, columns=placed)
    placed_same = _same(placed, arrays["placed_contents"], tasks)
    return MethodRecord(
        name=row["name"],
        **row["about"],
        settings=row["settings"],
        seconds=float(row["seconds"]),
        once=float(row["once"]),
        scores=scores.loc[rows_same, columns_same],
        distances=square.loc[placed_same, placed_same],
        facts=row["facts"],
    )


def _contents(bank: Bank) -> tuple[dict[str, str], dict[str, str]]:
    """The beginning of every task's and every expert's content hash, by id."""
    return (
        {t.id: t.content_hash[:HASH] for t in bank.tasks()},
        {e.id: _content(e) for e in bank.experts()},
    )


def _content(expert: ExpertRecord) -> str:
    """Of the same weights another transform makes another expert; most have that of the bundled network."""
    sha256 = expert.weights_sha256
    return (sha256 if expert.transform is None else content_key(sha256, expert.transform))[:HASH]


def _strings(values: Any) -> NDArray[np.str_]:
    return np.array(list(values), dtype=np.str_)


def _same(ids: NDArray[np.str_], contents: NDArray[np.str_], now: Mapping[str, str]) -> NDArray[np.bool_]:
    """True for what is in the bank with the content it was measured with."""
    return np.array([now.get(str(i)) == c for i, c in zip(ids, contents, strict=True)], dtype=bool)


def _square(upper: NDArray[np.float16], count: int) -> NDArray[np.float32]:
    """The symmetric matrix with a zero diagonal behind its upper triangle.

    Raises:
        ValueError: there are not as many numbers as it has.
    """
    if upper.shape != (count * (count - 1) // 2,):
        raise ValueError(f"{upper.shape} distances do not fit {count} tasks")
    matrix = np.zeros((count, count), np.float32)
    matrix[np.triu_indices(count, 1)] = upper
    return matrix + matrix.T
