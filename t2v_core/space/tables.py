"""The tasks of a bank as tables to draw: what is known of each, and where it lies on the map."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import UPLOAD, called
from t2v_core.embedding.record import TASK2VEC, Embedding
from t2v_core.space.kept import kept_map, map_base
from t2v_core.space.projection import PERPLEXITY, place

KIND_WORDS = {
    "large": "superclasses, large set",
    "twin": "superclasses, small set",
    "mixed": "mixed classes",
    "attribute": "attributes",
    "attribute-source": "attributes, large set",
    "broad": "broad",
    "other": "other worlds",
    UPLOAD: "your uploads",
}

NO_PLACE = {"mixed", "attribute", "attribute-source"}
"""Kinds whose path groups labels: a mixture of branches or a property has no one place among things."""

LEVELS = {1: "top of the taxonomy", 2: "branch of the taxonomy", 3: "fine branch"}
"""The levels that every bank is shown with, in words; deeper ones are shown where a path reaches them."""

OTHER_GROUPS = {"role in this bank": "role", "data set": "origin"}
"""What else tasks can be grouped by, in words, with its column of ``task_table``."""

FIRST_LEVEL = 2
"""The one whose groups are neither too few nor too many to begin with."""


def level_words(tasks: pd.DataFrame) -> dict[str, str]:
    """The levels of tasks from ``task_table`` in words, with their columns; that to begin with comes first."""
    depth = sum(column.startswith("level ") for column in tasks)
    order = sorted(range(1, depth + 1), key=lambda level: (level != FIRST_LEVEL, level))
    return {LEVELS.get(level, f"level {level} of the taxonomy"): f"level {level}" for level in order}


def kind_words(kind: str) -> str:
    """The role of a task in its bank, in words."""
    return KIND_WORDS.get(kind, kind)


def kinds_with_a_place(kinds: Iterable[str]) -> list[str]:
    """Kinds whose tasks have one place among things; all where none has."""
    kinds = list(kinds)
    return [k for k in kinds if k not in NO_PLACE and k != UPLOAD] or kinds


def head_accuracy(embedding: Embedding | None) -> float:
    """Share that a linear head on the probe gets right; NaN where there is no embedding, or no labels were given."""
    found = None if embedding is None else embedding.facts.get("validation_accuracy")
    return np.nan if found is None else float(found)  # type: ignore[arg-type]


def task_table(bank: Bank) -> pd.DataFrame:
    """One row a task: ``id, name, kind, role, origin, path, classes, images, accuracy, norm, error, level 1, 2, …``.

    ``accuracy`` (in words) and ``error`` (in %) are of a linear head on the probe. Tasks without a place in a
    taxonomy stand under their data set, uploads under their own name.
    """
    info = next(iter(bank.probes().values()), None)
    embedded = {} if info is None else bank.embeddings(TASK2VEC, info.weights_hash, chunks=False)
    rows, tasks = [], bank.tasks()
    names = called(tasks)
    levels = range(max([len(LEVELS), *(len(t.taxonomy) for t in tasks)]))
    for t in tasks:
        path = t.taxonomy or (("your uploads",) if t.kind == UPLOAD else (t.origin,))
        found = embedded.get(t.id)
        accuracy = head_accuracy(found)
        rows.append(
            {
                "id": t.id,
                "name": names[t.id],
                "kind": t.kind,
                "role": kind_words(t.kind),
                "origin": t.origin,
                "path": " › ".join(path),
                "classes": len(t.classes),
                "images": sum(t.counts) - t.held_out,
                "accuracy": "–" if np.isnan(accuracy) else f"{accuracy:.0%}",
                "norm": float(np.abs(found.vector).sum()) if found else np.nan,
                "error": 100 * (1 - accuracy),
                **{f"level {i + 1}": path[min(i, len(path) - 1)] for i in levels},
            }
        )
    columns = ["id", "name", "kind", "role", "origin", "path", "classes", "images", "accuracy", "norm", "error"]
    return pd.DataFrame(rows, columns=[*columns, *(f"level {i + 1}" for i in levels)])


def norm_table(tasks: pd.DataFrame, errors: pd.Series | None) -> pd.DataFrame:
    """One row a task with an embedding, by id: ``name, group, norm, error, images``; NaN for errors not measured.

    Args:
        tasks: from ``task_table``.
        errors: of the generic expert in %, by task id; None where it has none.
    """
    known = tasks[tasks["norm"].notna()].set_index("id")
    found = known[["name", "role", "norm", "images"]].rename(columns={"role": "group"})
    return found.assign(error=pd.Series(dtype=float) if errors is None else errors)


def map_table(bank: Bank, tasks: pd.DataFrame, distance: pd.DataFrame, perplexity: float = PERPLEXITY) -> pd.DataFrame:
    """The tasks that have a distance, by id, with map coordinates ``x, y``, ``upload`` and ``placed``.

    Uploads, and tasks that came after the maps were drawn, are ``placed`` on the map of the others, which stays as it
    is (see ``map_base``).

    Args:
        bank: where maps are kept.
        tasks: all, from ``task_table``.
        distance: symmetric, by task id.
        perplexity: of t-SNE.
    """
    tasks = tasks.set_index("id", drop=False)
    tasks["upload"] = tasks["kind"] == UPLOAD
    base = map_base(bank, tasks.index[~tasks["upload"]].tolist())
    tasks = tasks.loc[distance.index].copy()
    late = ~tasks["upload"] & ~tasks.index.isin(base)
    if 2 * late.sum() > (~tasks["upload"]).sum():  # a distance that few of the base have
        late[:] = False
    tasks["placed"] = tasks["upload"] | late
    if tasks["placed"].all():  # as in a bank of uploads alone: they are the map
        tasks["placed"] = False
    fixed, added = tasks.index[~tasks["placed"]], tasks.index[tasks["placed"]]
    coordinates = kept_map(bank, distance.loc[fixed, fixed], perplexity)
    tasks.loc[fixed, ["x", "y"]] = coordinates
    if len(added):
        tasks.loc[added, ["x", "y"]] = place(coordinates, distance.loc[added, fixed].to_numpy())
    return tasks
