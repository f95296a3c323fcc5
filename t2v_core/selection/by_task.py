"""An audit task by task: the order of the tasks, their candidates, whom every rule picks, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from t2v_core.embedding.record import TASK2VEC
from t2v_core.selection.audit import Audit, Judged
from t2v_core.selection.meta_task import MetaTask
from t2v_core.selection.nearest import METRICS
from t2v_core.selection.regret import FloatArray, best_first, picked, usable

BY_DISTANCE = (
    *(*METRICS, "model2vec", "tangent", "task2vec-random"),
    *("pseudotask", "pseudotask-norm", "pseudotask-hard", "pseudotask-random"),
)
"""Rules whose scores are distances between a task and an expert, whatever the probe behind them."""


def _by_distance(rule: str) -> bool:
    return rule.partition(":")[0] in BY_DISTANCE


def norms(meta: MetaTask) -> FloatArray:
    """``[T]`` the Fisher embedding's L1 norm, by which T2V Fig. 3 orders tasks; NaN where there is no embedding."""
    if meta.vectors is None:
        return np.full(len(meta.tasks), np.nan)
    return np.abs(meta.vectors.targets[TASK2VEC]).sum(1, dtype=np.float64)


def in_order(meta: MetaTask) -> NDArray[np.intp]:
    """Indices of the tasks with a measured candidate, by norm; those without an embedding after them, by best error."""
    order = np.lexsort((meta.best, norms(meta)))
    return order[np.isfinite(meta.best[order])]


def picks(found: Audit, rule: str) -> list[str]:
    """Name of the expert a rule picks for every task; in words where that is none or several."""
    judged, names = found.judged[rule], found.meta.expert_names
    if rule == "generic":
        return ["the network before fine-tuning"] * len(judged.error)
    chosen = picked(found.meta.candidate_errors, judged.scores)
    tied = chosen.sum(1)
    return [
        "no expert" if n == 0 else names[e] if n == 1 else f"one of {n} experts at random"
        for n, e in zip(tied, chosen.argmax(1), strict=True)
    ]


def sole_picks(found: Audit, rule: str) -> list[str | None]:
    """Id of the expert a rule picks for every task; None where that is none, several, or the generic one."""
    if rule == "generic":
        return [None] * len(found.meta.tasks)
    chosen = picked(found.meta.candidate_errors, found.judged[rule].scores)
    return [found.meta.experts[e] if n == 1 else None for n, e in zip(chosen.sum(1), chosen.argmax(1), strict=True)]


def task_table(found: Audit, rules: Sequence[str]) -> pd.DataFrame:
    """One row a task, in the meta-task's order.

    Args:
        found: the audit.
        rules: names of rules in it.

    Returns:
        ``task`` (id), ``name, kind, norm, candidates, best_expert, best_error``; for each rule ``<rule>_expert,
        <rule>_error, <rule>_increase``; errors and increases in %.
    """
    meta, errors = found.meta, found.meta.candidate_errors
    first = best_first(errors, errors)[:, 0]
    measured = np.isfinite(meta.best)
    columns: dict[str, object] = {
        "task": meta.tasks,
        "name": meta.task_names,
        "kind": meta.kinds,
        "norm": norms(meta),
        "candidates": np.isfinite(errors).sum(1),
        "best_expert": [meta.expert_names[e] if m else "" for e, m in zip(first, measured, strict=True)],
        "best_error": meta.best,
    }
    for rule in rules:
        judged = found.judged[rule]
        columns |= {f"{rule}_expert": picks(found, rule), f"{rule}_error": judged.error}
        columns[f"{rule}_increase"] = judged.regret
    return pd.DataFrame(columns)


def candidate_table(found: Audit, task: int, rules: Sequence[str]) -> pd.DataFrame:
    """The measured candidates for one task, the best first.

    Args:
        found: the audit.
        task: index of the task.
        rules: names of rules whose scores order experts.

    Returns:
        By expert id: ``expert, error`` (%), ``place`` (1 is the lowest error); for each rule ``<rule>`` (its score,
        lower is better, NaN where it has none) and ``<rule> rank``.
    """
    meta = found.meta
    errors = meta.candidate_errors[task]
    rows = np.flatnonzero(np.isfinite(errors))
    table = pd.DataFrame(
        {"expert": [meta.expert_names[e] for e in rows], "error": errors[rows]}, index=[meta.experts[e] for e in rows]
    )
    table["place"] = table["error"].rank(method="min").astype(int)
    for rule in rules:
        table[rule] = found.judged[rule].scores[task, rows]
        table[f"{rule} rank"] = table[rule].rank(method="min").astype("Int64")
    return table.sort_values(["error", "expert"], kind="stable")


def reason(found: Audit, task: int, rule: str, trained_on: Mapping[str, str] | None = None) -> str:
    """Whom a rule picks for a task, why, and what that costs, in one sentence.

    Args:
        found: the audit.
        task: index of the task.
        rule: name of a rule in it.
        trained_on: name of an expert's own task, by expert id, where the expert is not called by it.
    """
    meta, judged = found.meta, found.judged[rule]
    error, best = judged.error[task], meta.best[task]
    if np.isnan(error):
        return "names no expert for this task."
    if rule == "generic":
        return f"no expert at all, only the network before fine-tuning: {_cost(error, best)}."
    if rule == "chance":
        return f"any of {np.isfinite(meta.candidate_errors[task]).sum()} candidates at random: {_cost(error, best)}."
    errors = meta.candidate_errors[task]
    place = 1 + int((errors < error).sum())
    name, expert = picks(found, rule)[task], sole_picks(found, rule)[task]
    if expert is not None:
        own = (trained_on or {}).get(expert, name)
        name += "" if own == name else f", trained on {own}"
    which = f" (place {place} of {np.isfinite(errors).sum()})" if expert is not None and place > 1 else ""
    return f"{name}: {_why(found, task, judged)}. That means {_cost(error, best)}{which}."


def _why(found: Audit, task: int, judged: Judged) -> str:
    errors, scores = found.meta.candidate_errors[task], judged.scores[task]
    offered = usable(errors, scores)
    lowest, count = offered.min(), int(np.isfinite(offered).sum())
    if judged.name == "static":
        return f"lowest mean error on the other tasks, {lowest:.1f} %"
    if judged.heads:
        tried = best_first(errors[None], scores[None])[0, : min(judged.heads, count)]
        return f"best of {len(tried)} whose heads were fitted ({', '.join(found.meta.expert_names[e] for e in tried)})"
    if _by_distance(judged.name):
        return f"distance {lowest:.4g}, the smallest of {count}"
    return f"first of {count} by {judged.title}"


def _cost(error: float, best: float) -> str:
    if error == best:
        return f"an error of {error:.1f} %, the best possible"
    return f"an error of {error:.1f} % where the best expert has {best:.1f} %"


def score_words(rule: str) -> str:
    """What a rule's scores are, as the title of an axis."""
    if rule == "static":
        return "mean error on the other tasks, %"
    return f"distance ({rule})" if _by_distance(rule) else "score (lower is better)"
