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

MOST_EXPERTS = 1000
"""Experts up to which a rank correlation looks at all pairs at once: beyond, that takes more memory than time."""

PAIRS = 1_000_000
"""Pairs of experts looked at together, over several tasks."""


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
    tasks = known.sum(0)
    ends = np.full((2, len(tasks)), np.nan)
    always = np.isfinite(means).all(0)  # all at once, as they mostly are: NumPy's percentiles are slow to start
    ends[:, always] = np.percentile(means[:, always], [2.5, 97.5], axis=0)
    for column in np.flatnonzero(~always & (tasks > 1)):
        ends[:, column] = np.percentile(means[np.isfinite(means[:, column]), column], [2.5, 97.5])
    wider = np.array([widening(int(n)) if n > 1 else np.nan for n in tasks])
    low, high = point + wider * (ends - point)
    return [Estimate(*column) for column in zip(*(v.tolist() for v in (point, low, high, tasks)), strict=True)]


@cache  # SciPy's quantile takes longer than the percentiles it stretches, for few different numbers of tasks
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
    known = np.isfinite(offered)
    found = np.full(len(errors), np.nan)
    if errors.shape[1] > MOST_EXPERTS:
        for t, row in enumerate(known):
            x, y = offered[t, row], errors[t, row]
            if len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0:
                found[t] = stats.weightedtau(-x, -y).statistic
        return found
    several = max(1, PAIRS // max(1, errors.shape[1] ** 2))
    for first in range(0, len(errors), several):
        rows = slice(first, first + several)
        found[rows] = _tau(-offered[rows], -errors[rows], known[rows])
    return found


def _tau(x: FloatArray, y: FloatArray, known: BoolArray) -> FloatArray:
    """Weighted Kendall tau (Vigna 2015) ``[T]`` of the known entries of rows ``[T, n]``, the largest weighing most.

    A pair counts sign(x_i - x_j) sign(y_i - y_j) (1 / (1 + r_i) + 1 / (1 + r_j)), r the rank from the top; the result
    is the mean of ranking by x and by y, each breaking its ties by the other. ``scipy.stats.weightedtau`` gives the
    same for one row and spends most of its time, where experts are few, on checking arguments.
    """
    x, y = (np.where(known, v, -np.inf) for v in (x, y))  # behind all others
    both = known[:, :, None] & known[:, None, :]
    # Comparisons, since a difference of infinities is NaN.
    a, b = ((v[:, :, None] > v[:, None, :]) * 1.0 - (v[:, :, None] < v[:, None, :]) for v in (x, y))
    together, *alone = ((pairs * both).sum(2) for pairs in (a * b, np.abs(a), np.abs(b)))
    ranks = 1 / np.arange(1, x.shape[1] + 1)
    taus = []
    for major, minor in ((x, y), (y, x)):
        weight = np.empty(x.shape)
        np.put_along_axis(weight, np.lexsort((minor, major))[:, ::-1], ranks[None], 1)
        weigh = [(weight * pairs).sum(1) for pairs in (together, *alone)]
        with np.errstate(invalid="ignore"):  # a side that is constant has no order
            taus.append(weigh[0] / np.sqrt(weigh[1] * weigh[2]))
    return np.mean(taus, axis=0)
