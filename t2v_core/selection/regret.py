"""Relative error increase of a choice of experts (T2V section 4), and how uncertain its mean over tasks is.

Error matrices here are ``[T, E]`` in %, NaN where an expert is no candidate or was not measured
(``MetaTask.candidate_errors``). Scores are ``[T, E]``, lower is better, NaN where a selector says nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import comb

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

ROUNDS = 2000

IN_PAIRS = 1000
"""Experts up to which a rank correlation looks at all pairs at once: beyond, that takes more memory than time."""


@dataclass(frozen=True)
class Estimate:
    """A mean over tasks with its 95 % interval by bootstrap over tasks, wider where these are few.

    Attributes:
        mean: NaN where no task says anything.
        low, high: NaN where fewer than two tasks do: one task has no spread.
        tasks: how many do.
    """

    mean: float
    low: float
    high: float
    tasks: int

    def within(self, least: float, most: float = np.inf) -> Estimate:
        """Its interval cut to what a mean of such values can be."""
        return replace(self, low=float(np.maximum(self.low, least)), high=float(np.minimum(self.high, most)))

    def as_json(self) -> dict[str, float | None]:
        """By name; None for what is not defined, which JSON cannot hold."""
        return {name: None if np.isnan(value) else value for name, value in asdict(self).items()}


def estimates(columns: FloatArray, rounds: int = ROUNDS, seed: int = 0) -> list[Estimate]:
    """Mean and interval of every column ``[T, R]``; entries that are not finite are left out.

    All columns share the draws of tasks, so that differences between columns are paired. The interval is that of the
    percentiles, stretched about the mean by t_{0.975, T-1} / 1.96 sqrt(T / (T - 1)): of few tasks percentiles alone are
    too narrow (Hesterberg 2015, section 5.3), and of two or three of one sign they never reach 0.
    """
    known = np.isfinite(columns)
    values = np.where(known, columns, 0.0)
    count = len(columns)
    drawn = np.random.default_rng(seed).integers(0, count, (rounds, count))
    # How often each task was drawn in each round: one product then serves all columns.
    times = np.bincount((drawn + np.arange(rounds)[:, None] * count).ravel(), minlength=rounds * count)
    weights = times.reshape(rounds, count).astype(np.float64)
    with np.errstate(invalid="ignore"):
        means = (weights @ values) / (weights @ known)
        point = values.sum(0) / known.sum(0)
    found = []
    for column, tasks in enumerate(known.sum(0)):
        mean, low, high = point[column], np.nan, np.nan
        if tasks > 1:
            drawn_means = means[np.isfinite(means[:, column]), column]
            low, high = mean + widening(int(tasks)) * (np.percentile(drawn_means, [2.5, 97.5]) - mean)
        found.append(Estimate(float(mean), float(low), float(high), int(tasks)))
    return found


@cache  # SciPy's quantile takes longer than the percentiles it stretches, thousands of times for few numbers of tasks
def widening(tasks: int) -> float:
    """By how much percentiles of a bootstrap over so many tasks are too narrow for a 95 % interval."""
    return float(stats.t.ppf(0.975, tasks - 1) / stats.norm.ppf(0.975) * np.sqrt(tasks / (tasks - 1)))


def relative_increase(chosen: FloatArray, best: FloatArray, offset: float = 0.0) -> FloatArray:
    """(e_chosen - e_best) / (e_best + offset) in %, per task; 0 where they are equal.

    Args:
        chosen, best: ``[T]`` errors in %.
        offset: added to the denominator; WLF adds 1 where a best error can be 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chosen == best, 0.0, 100 * (chosen - best) / (best + offset))


def best_error(errors: FloatArray) -> FloatArray:
    """``[T]`` error of the best candidate; NaN where there is none."""
    lowest = np.where(np.isnan(errors), np.inf, errors).min(1, initial=np.inf)
    return np.where(np.isinf(lowest), np.nan, lowest)


def usable(errors: FloatArray, scores: FloatArray) -> FloatArray:
    """The scores with infinity where there is no candidate or no score: an expert that cannot be picked."""
    return np.where(np.isnan(errors) | np.isnan(scores), np.inf, scores)


def picked(errors: FloatArray, scores: FloatArray) -> BoolArray:
    """``[T, E]`` the candidates with the lowest score of their row; several where scores are tied."""
    offered = usable(errors, scores)
    return (offered == offered.min(1, keepdims=True, initial=np.inf)) & np.isfinite(offered)


def chosen_error(errors: FloatArray, scores: FloatArray) -> FloatArray:
    """Expected error ``[T]`` of the candidate with the lowest score; NaN where none has a score.

    Ties are broken at random, in expectation, so the order of the experts never matters and a constant
    score is exactly a uniform pick.
    """
    mask = picked(errors, scores)
    lowest = np.where(mask, errors, np.inf).min(1, keepdims=True, initial=np.inf)
    # Measured from the lowest of the tied, so that the mean of equal errors is that error to the last digit.
    excess = np.subtract(errors, lowest, out=np.zeros(errors.shape), where=mask).sum(1)
    count = mask.sum(1)
    return np.where(count > 0, lowest[:, 0] + excess / np.maximum(count, 1), np.nan)


def static_scores(errors: FloatArray) -> FloatArray:
    """Scores ``[T, E]`` of the static rule: an expert's mean error on all *other* tasks it is a candidate for.

    Where errors are missing, each counts by its distance from its task's mean, added to the mean of all tasks: an
    expert gains nothing by not having been measured on the hard ones.
    """
    known = np.isfinite(errors)
    measured = known.any(1)
    level = np.where(known, errors, 0.0).sum(1) / np.maximum(known.sum(1), 1)
    excess = np.where(known, errors - level[:, None], 0.0)
    others = known.sum(0) - known
    elsewhere = (level.sum() - level) / np.maximum(measured.sum() - measured, 1)
    mean = (excess.sum(0) - excess) / np.maximum(others, 1) + elsewhere[:, None]
    return np.where(others > 0, mean, np.nan)


def best_first(errors: FloatArray, scores: FloatArray) -> NDArray[np.intp]:
    """``[T, E]`` experts in the order a selector would try them; those it cannot pick come last."""
    return usable(errors, scores).argsort(1, kind="stable")


def hit_rate(errors: FloatArray, scores: FloatArray, k: int) -> FloatArray:
    """Chance ``[T]`` that a best expert is among the k lowest scores, ties broken at random; NaN without scores."""
    offered = usable(errors, scores)
    count = np.isfinite(offered).sum(1)
    last = np.clip(np.minimum(k, count) - 1, 0, None)
    boundary = np.take_along_axis(np.sort(offered, axis=1), last[:, None], 1)
    best = (errors == best_error(errors)[:, None]) & np.isfinite(offered)
    before, tied = offered < boundary, offered == boundary
    # Places left for those tied on the boundary: a hit unless all of them go to experts that are not best.
    places = last + 1 - before.sum(1)
    missed = comb((tied & ~best).sum(1), places) / comb(tied.sum(1), places)
    return np.where(count > 0, np.where((before & best).any(1), 1.0, 1 - missed), np.nan)


def weighted_tau(errors: FloatArray, scores: FloatArray) -> FloatArray:
    """Weighted Kendall tau ``[T]`` between scores and errors; agreement about the best experts weighs most.

    NaN where fewer than two experts can be compared or either side is constant.
    """
    offered = usable(errors, scores)
    found = np.full(len(errors), np.nan)
    for t, row in enumerate(offered):
        known = np.isfinite(row)
        x, y = row[known], errors[t, known]
        if len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0:
            found[t] = _tau(-x, -y) if len(x) <= IN_PAIRS else stats.weightedtau(-x, -y).statistic
    return found


def _tau(x: FloatArray, y: FloatArray) -> float:
    """Weighted Kendall tau (Vigna 2015) of two lists ``[n]``, what is largest weighing most.

    A pair counts sign(x_i - x_j) sign(y_i - y_j) (1 / (1 + r_i) + 1 / (1 + r_j)), r the rank from the top; the result
    is the mean of ranking by x and by y, each breaking its ties by the other. ``scipy.stats.weightedtau`` gives the
    same and spends most of its time, where experts are few, on checking arguments.
    """
    signs = [np.sign(v[:, None] - v[None, :]) for v in (x, y)]
    together, alone = (signs[0] * signs[1]).sum(1), [np.abs(s).sum(1) for s in signs]
    taus = []
    for first, second in ((x, y), (y, x)):
        weight = np.empty(len(x))
        weight[np.lexsort((second, first))[::-1]] = 1 / np.arange(1, len(x) + 1)
        taus.append(weight @ together / np.sqrt((weight @ alone[0]) * (weight @ alone[1])))
    return float(np.mean(taus))
