"""Relative error increase of a choice of experts (T2V section 4), always beside chance, generic and static."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Regret:
    """Relative error increase over the best candidate, in %.

    Attributes:
        per_task: ``[T]``; NaN where the rule names no candidate or the task has no measured error.
        mean: over tasks.
        low, high: 95 % interval of the mean by bootstrap over tasks.
    """

    per_task: FloatArray
    mean: float
    low: float
    high: float


def candidate_errors(errors: FloatArray, allowed: BoolArray) -> FloatArray:
    """``[T, E]`` errors with NaN where an expert is no candidate."""
    return np.where(allowed, errors, np.nan)


def relative_increase(chosen: FloatArray, best: FloatArray, offset: float = 0.0) -> FloatArray:
    """(e_chosen - e_best) / (e_best + offset) in %, per task.

    Args:
        chosen, best: ``[T]`` errors in %.
        offset: added to the denominator; WLF adds 1 where a best error can be 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chosen == best, 0.0 * best, 100 * (chosen - best) / (best + offset))


def summarise(per_task: FloatArray, rounds: int = 2000, seed: int = 0) -> Regret:
    """Mean over tasks with its bootstrap interval; tasks with NaN are left out."""
    known = per_task[np.isfinite(per_task)]
    if not len(known):
        return Regret(per_task, np.nan, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    means = known[rng.integers(0, len(known), (rounds, len(known)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Regret(per_task, float(known.mean()), float(low), float(high))


def best_error(errors: FloatArray, allowed: BoolArray) -> FloatArray:
    """``[T]`` error of the best candidate; NaN where there is none."""
    masked = candidate_errors(errors, allowed)
    return np.where(np.isnan(masked), np.inf, masked).min(1, initial=np.inf) + np.where(
        np.isnan(masked).all(1), np.nan, 0
    )


def pick_regret(errors: FloatArray, allowed: BoolArray, scores: FloatArray, offset: float = 0.0) -> FloatArray:
    """Regret ``[T]`` of picking for each task the candidate with the lowest score.

    Args:
        errors: ``[T, E]`` in %.
        allowed: ``[T, E]`` who is a candidate.
        scores: ``[T, E]``, lower is better; NaN means no score. Ties go to the first.
    """
    masked = candidate_errors(errors, allowed)
    usable = np.where(np.isnan(masked) | np.isnan(scores), np.inf, scores)
    chosen = np.take_along_axis(masked, usable.argmin(1)[:, None], 1)[:, 0]
    chosen = np.where(np.isinf(usable).all(1), np.nan, chosen)
    return relative_increase(chosen, best_error(errors, allowed), offset)


def chance_regret(errors: FloatArray, allowed: BoolArray, offset: float = 0.0) -> FloatArray:
    """Expected regret ``[T]`` of a uniform pick among the candidates."""
    masked = candidate_errors(errors, allowed)
    count = np.isfinite(masked).sum(1)
    mean = np.where(count > 0, np.nansum(masked, 1) / np.maximum(count, 1), np.nan)
    return relative_increase(mean, best_error(errors, allowed), offset)


def static_scores(errors: FloatArray, allowed: BoolArray) -> FloatArray:
    """Scores ``[T, E]`` of the static rule: an expert's mean error on all *other* tasks it is a candidate for."""
    masked = candidate_errors(errors, allowed)
    known = np.isfinite(masked)
    total, count = np.nansum(masked, 0), known.sum(0)
    others = count[None] - known
    return np.where(others > 0, (total[None] - np.where(known, masked, 0)) / np.maximum(others, 1), np.nan)
