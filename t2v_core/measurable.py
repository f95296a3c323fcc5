"""Where the images of a bank's tasks lie, as far as the bank and its jobs know: what can be measured from a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2v_core.bank.bank import Bank
from t2v_core.bank.coverage import missing_cells
from t2v_core.bank.records import TaskRecord, called
from t2v_core.jobs.store import Job, JobStore
from t2v_core.task.worlds import made_here

CODE = "made by code"
"""The key of the tasks whose images are drawn again."""


@dataclass(frozen=True)
class Place:
    """Tasks whose images lie in one place, or nowhere.

    Attributes:
        key: identifies it.
        title: what a person calls it.
        tasks: ids.
        missing: cells of the error matrix that were not measured for them.
        arguments: of the job that measures them; None where their images are not at hand.
        why: where the images are, or why they are not at hand.
    """

    key: str
    title: str
    tasks: tuple[str, ...]
    missing: int
    arguments: dict[str, Any] | None
    why: str


def places(bank: Bank, store: JobStore) -> list[Place]:
    """Every labelled task of a bank in its place; those whose images are at hand come first."""
    missing = missing_cells(bank)
    every = bank.tasks()
    names, tasks = called(every), {t.id: t for t in every if t.id in missing}
    uploads = _uploads(store.list(), tasks)
    found = []
    drawn = tuple(i for i, t in tasks.items() if made_here(t.origin))
    if drawn:
        title = f"the {len(drawn)} tasks made by code" if len(drawn) > 1 else names[drawn[0]]
        found.append(_place(CODE, title, drawn, missing, {"tasks": None}, "drawn again from code"))
    for task_id, arguments in uploads.items():
        why = "still with the job that embedded it"
        found.append(_place(task_id, names[task_id], (task_id,), missing, arguments, why))
    elsewhere: dict[str, list[str]] = {}
    for task_id, task in tasks.items():
        if task_id not in uploads and not made_here(task.origin):
            elsewhere.setdefault(task.origin, []).append(task_id)
    for origin, ids in elsewhere.items():
        title, why = _nowhere(origin, [names[i] for i in ids])
        found.append(_place(origin, title, tuple(ids), missing, None, why))
    return found


def _place(
    key: str, title: str, ids: tuple[str, ...], missing: dict[str, int], arguments: dict[str, Any] | None, why: str
) -> Place:
    return Place(key, title, ids, sum(missing[i] for i in ids), arguments, why)


def _uploads(jobs: Iterable[Job], tasks: dict[str, TaskRecord]) -> dict[str, dict[str, Any]]:
    """Arguments that read an uploaded task's images again, by task id, where its job still has them."""
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        result, given = job.result or {}, job.arguments
        task_id = result.get("task", {}).get("id") if job.kind == "recommend" else result.get("task_id")
        if job.kind in ("recommend", "train") and task_id in tasks and Path(given["path"]).exists():
            kept = {name: given[name] for name in ("attribute", "max_images", "seed") if given.get(name) is not None}
            found.setdefault(task_id, {"paths": [given["path"]], "tasks": [task_id]} | kept)  # the newest comes first
    return found


def _nowhere(origin: str, names: list[str]) -> tuple[str, str]:
    if origin == "upload":
        some = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        return some, "the bank keeps no images, and no finished job here has them: upload them again"
    many = f"{len(names)} tasks of {origin}" if len(names) > 1 else names[0]
    return many, "the bank keeps none of this data set's images; whoever has it can start `errors fill --data`"
