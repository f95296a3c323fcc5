"""A meta-task: tasks, experts, who may serve whom, the errors, and the scores of each selector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import ExpertRecord, TaskRecord
from t2v_core.probe.record import ProbeInfo
from t2v_core.selection.ranking import SELECTORS, distances, method_of
from t2v_core.selection.regret import (
    best_error,
    chance_regret,
    pick_regret,
    static_scores,
    summarise,
)

GENERIC = "generic"

KINDS = {
    "twin": "Twin: an expert trained on the same classes, other images",
    "mixed": "Mixed: classes of two or three superclasses, no expert trained on them",
    "attribute": "Attribute: same images, other labels; an expert trained on the attribute",
    "attribute without expert": "Attribute without an expert of its own",
}
"""The kinds of target reported apart: what tells selectors apart differs between them."""


@dataclass(frozen=True)
class MetaTask:
    """Everything a selector is judged by.

    Attributes:
        tasks: T targets.
        experts: E experts; the generic one may be among them.
        kinds: ``[T]`` the kind each target is reported under.
        errors: ``[T, E]`` error in %, NaN where not measured.
        allowed: ``[T, E]`` true where the expert may be picked: it saw no training image of the task
            and is not the generic one.
        scores: per selector ``[T, E]``, lower is better, NaN where an embedding is missing.
    """

    tasks: tuple[TaskRecord, ...]
    experts: tuple[ExpertRecord, ...]
    kinds: tuple[str, ...]
    errors: NDArray[np.float64]
    allowed: NDArray[np.bool_]
    scores: dict[str, NDArray[np.float64]]


def load_meta_task(bank: Bank, info: ProbeInfo | None = None, *, alpha: float | None = None) -> MetaTask:
    """Assemble the bank's meta-task as one probe sees it.

    Args:
        bank: the bank.
        info: the probe; by default the first the bank knows.
        alpha: weight of the source's complexity; the selectors' default if None.
    """
    tasks, experts = tuple(bank.tasks()), tuple(bank.experts())
    info = info or next(iter(bank.probes().values()), None)
    errors = bank.errors().reindex(index=[t.id for t in tasks], columns=[e.id for e in experts]).to_numpy(float)
    scores = {}
    if info is not None and tasks and experts:
        options = {} if alpha is None else {"alpha": alpha}
        for selector in SELECTORS:
            found = bank.embeddings(method_of(selector), info.weights_hash)
            dimension = len(next(iter(found.values())).vector) if found else 1
            blank = np.full(dimension, np.nan, dtype=np.float32)
            targets = np.stack([found[t.id].vector if t.id in found else blank for t in tasks])
            sources = [found.get(e.task_id or "") for e in experts]
            vectors = np.stack([blank if s is None else s.vector for s in sources])
            samples = np.array([1 if s is None else s.samples for s in sources])
            scores[selector] = distances(targets, vectors, samples, info, selector, **options)
    return MetaTask(tasks, experts, tuple(_kinds(tasks, experts)), errors, candidates(bank, tasks, experts), scores)


def candidates(bank: Bank, tasks: Sequence[TaskRecord], experts: Sequence[ExpertRecord]) -> NDArray[np.bool_]:
    """``[T, E]`` who may be picked for whom: experts that saw no training image of the task.

    The generic expert is the fallback every pick is compared with, not a candidate.
    """
    sets = bank.image_sets()
    seen = {t.id: t.image_set for t in tasks}
    disjoint: dict[tuple[str, str], bool] = {}
    allowed = np.zeros((len(tasks), len(experts)), dtype=bool)
    for e, expert in enumerate(experts):
        if expert.task_id is None:
            continue
        trained = seen[expert.task_id]
        for t, task in enumerate(tasks):
            pair = (task.image_set, trained)
            if pair not in disjoint:
                disjoint[pair] = not np.isin(sets[pair[0]], sets[pair[1]], assume_unique=True).any()
            allowed[t, e] = disjoint[pair]
    return allowed


def _kinds(tasks: Sequence[TaskRecord], experts: Sequence[ExpertRecord]) -> list[str]:
    served = {e.task_id for e in experts}
    return [
        "attribute without expert" if t.kind == "attribute" and f"a{t.id[1:]}" not in served else t.kind for t in tasks
    ]


def audit(meta: MetaTask, kinds: Sequence[str] = tuple(KINDS)) -> pd.DataFrame:
    """Mean relative error increase of every rule on every kind of target, with 95 % intervals.

    Returns:
        One row a kind and rule: ``kind, rule, tasks, optimum, mean, low, high`` (percent). ``optimum`` is
        the mean error of the best candidate.
    """
    generic = [i for i, e in enumerate(meta.experts) if e.id == GENERIC]
    rows = []
    for kind in kinds:
        picked = np.array([k == kind for k in meta.kinds])
        if not picked.any() or not meta.experts:
            continue
        errors, allowed = meta.errors[picked], meta.allowed[picked]
        optimum = best_error(errors, allowed)
        if not np.isfinite(optimum).any():
            continue
        regrets = {"chance": chance_regret(errors, allowed)}
        if generic:
            everyone = np.zeros_like(allowed)
            everyone[:, generic[0]] = True
            regrets["generic"] = 100 * (best_error(errors, everyone) - optimum) / optimum
        regrets["static"] = pick_regret(errors, allowed, static_scores(errors, allowed))
        for selector, scores in meta.scores.items():
            regrets[selector] = pick_regret(errors, allowed, scores[picked])
        for rule, per_task in regrets.items():
            found = summarise(per_task)
            count = int(np.isfinite(per_task).sum())
            rows.append((kind, rule, count, float(np.nanmean(optimum)), found.mean, found.low, found.high))
    return pd.DataFrame(rows, columns=["kind", "rule", "tasks", "optimum", "mean", "low", "high"])
