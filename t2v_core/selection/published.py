"""The published meta-task iNat+CUB: 50 species tasks, the expert of each, and every error.

The errors are the 50 x 50 matrix printed in Task2Vec's first arXiv version (1902.03545v1). The places of the tasks
in the taxonomy are common biological knowledge; the CUB tasks of songbirds are families of one order.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from t2v_core.selection.meta_task import MetaTask
from t2v_core.selection.tables import meta_task_from_csv

ERRORS = Path(__file__).parent / "data" / "inat_cub_errors.csv"
TAXONOMY = Path(__file__).parent / "data" / "inat_cub_taxonomy.csv"


def published() -> MetaTask:
    """iNat+CUB, the expert of a task's own data left out; reported by the data set a task stems from.

    A path holds kingdom, phylum, class, order and, for CUB's songbirds, family. There are no embeddings.
    """
    with TAXONOMY.open(encoding="utf-8", newline="") as file:
        rows = {row.pop("task"): tuple(rank for rank in row.values() if rank) for row in csv.DictReader(file)}
    meta = meta_task_from_csv(ERRORS)
    return replace(
        meta,
        name="iNat+CUB",
        kinds=tuple(task[1 : task.index("]")] for task in meta.tasks),
        paths=tuple(rows[task] for task in meta.tasks),
    )
