"""Does distance follow the taxonomy? The curve of T2V Fig. 2 and WLF Fig. 4, and rank correlation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from t2v_core.errors import InputError

FloatArray = NDArray[np.float64]

ROWS = 1000
"""Tasks whose neighbours are sorted at a time: bounds the memory."""

FINE, POINTS = 50, 150
"""Neighbourhood sizes of a curve: each up to ``FINE``, then evenly spread ones, some ``POINTS`` in all."""

MOST_TASKS = 3000
"""Rank correlation weighs every pair; with more tasks it weighs those of a seeded sample of this many."""


@dataclass(frozen=True)
class Curve:
    """Mean taxonomic distance of the k nearest tasks, over all tasks; or of the k experts' own tasks ranked first.

    Attributes:
        k: ``[K]`` neighbourhood sizes, ascending.
        mean: ``[K]`` by the distance, or rule, in question.
        low, high: ``[K]`` 95 % interval of the mean by bootstrap over tasks.
        ideal: ``[K]`` by the taxonomy itself: nothing can be lower.
        chance: expectation for neighbours drawn at random.
        tasks: how many tasks have both a distance and a place in the taxonomy.
    """

    k: NDArray[np.int64]
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    ideal: FloatArray
    chance: float
    tasks: int


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of distance and taxonomic distance, and where the two disagree.

    Attributes:
        rho: Spearman's, over all pairs of tasks.
        low, high: 95 % interval; the tasks are the sample, not the pairs (infinitesimal jackknife, Efron 1982).
        tasks: index task id; ``rho`` of the task's own row, ``difference`` the mean absolute rank difference of its
            pairs. The task that disagrees most comes first.
        pairs: ``a, b, distance, taxonomic`` and ``difference``, the rank of the distance minus the rank of the
            taxonomic distance, both in 0..1: positive for tasks nearer in the taxonomy than in the task space. The
            largest come first, then the most negative.
        sampled: the tasks are a sample, see ``MOST_TASKS``.
    """

    rho: float
    low: float
    high: float
    tasks: pd.DataFrame
    pairs: pd.DataFrame
    sampled: bool


def curve_table(curves: Mapping[str, Curve], by: str) -> pd.DataFrame:
    """Curves as one table: the name of each under ``by``, then ``k, mean, low, high, ideal, chance``."""
    fields = ("k", "mean", "low", "high", "ideal", "chance")
    tables = {name: pd.DataFrame({f: getattr(curve, f) for f in fields}) for name, curve in curves.items()}
    return pd.concat(tables, names=[by]).reset_index(by)


def neighbour_curve(
    distance: NDArray,
    taxonomic: NDArray,
    rounds: int = 1000,
    seed: int = 0,
    *,
    of: NDArray[np.bool_] | None = None,
) -> Curve:
    """Mean D_tax of the k nearest tasks against k. Tasks equally far away count with their mean.

    Args:
        distance: ``[n, n]``, rows are targets; need not be symmetric. NaN rows are missing tasks.
        taxonomic: ``[n, n]`` D_tax of the same tasks; NaN rows are tasks without a place.
        rounds: bootstrap rounds.
        seed: of the bootstrap.
        of: ``[n]`` the tasks whose neighbours are meant, which are looked for among all; by default those of all.

    Raises:
        InputError: fewer than two tasks have both, or none of those meant.
    """
    used = known_tasks(distance, taxonomic)
    asked = np.arange(len(used)) if of is None else np.flatnonzero(of[used])
    if not len(asked):
        raise InputError("none of the tasks asked for has both distances and a place in the taxonomy; choose others")
    count = len(used)
    k = np.arange(1, count)
    if len(k) > POINTS:
        k = np.union1d(k[:FINE], np.linspace(FINE, count - 1, POINTS - FINE).round().astype(np.int64))
    found, ideal = np.empty((len(asked), len(k))), np.empty((len(asked), len(k)))
    for begin in range(0, len(asked), ROWS):
        part = asked[begin : begin + ROWS]
        rows = used[part]
        near, far = distance[np.ix_(rows, used)], taxonomic[np.ix_(rows, used)].astype(np.float64)
        own = np.arange(len(rows)), part
        near[own] = far[own] = -np.inf  # sorts first and is cut off
        order = near.argsort(axis=1)[:, 1:]
        values = _mean_of_ties(np.take_along_axis(near, order, 1), np.take_along_axis(far, order, 1))
        found[begin : begin + len(rows)] = values.cumsum(1)[:, k - 1] / k
        far.sort(axis=1)
        ideal[begin : begin + len(rows)] = far[:, 1:].cumsum(1)[:, k - 1] / k
    return _curve(k, found, ideal, float(ideal[:, -1].mean()), rounds, seed)


def candidate_curves(
    scores: Mapping[str, NDArray], taxonomic: NDArray, rounds: int = 1000, seed: int = 0
) -> dict[str, Curve]:
    """Mean D_tax from a target to the own tasks of the k experts that a rule ranks first, against k.

    All rules choose among the same candidates: the experts that every one of them scores for the target. Experts with
    one score, and those whose own tasks are equally far from the target, count with their mean.

    Args:
        scores: ``[T, E]`` by the rule's name; lower is better, NaN for who is no candidate.
        taxonomic: ``[T, E]`` D_tax from targets to the experts' own tasks; NaN where one has no place.
        rounds: bootstrap rounds over targets.
        seed: of the bootstrap.

    Raises:
        InputError: fewer than two targets have two such candidates.
    """
    usable = np.isfinite(taxonomic) & np.all([np.isfinite(s) for s in scores.values()], axis=0)
    rows = usable.sum(1) > 1
    if rows.sum() < 2:
        raise InputError(
            f"only {rows.sum()} of {len(rows)} targets have two candidates with a place in the taxonomy that all of "
            "these rules score; at least 2 are needed"
        )
    usable = usable[rows]
    far = np.where(usable, taxonomic[rows], 0.0)
    k = np.arange(1, int(usable.sum(1).min()) + 1)

    def nearest(keys: NDArray) -> FloatArray:
        near = np.where(usable, keys, np.inf)
        order = near.argsort(axis=1)
        values = _mean_of_ties(np.take_along_axis(near, order, 1), np.take_along_axis(far, order, 1))
        return values.cumsum(1)[:, k - 1] / k

    ideal, chance = nearest(far), float((far.sum(1) / usable.sum(1)).mean())
    return {name: _curve(k, nearest(s[rows]), ideal, chance, rounds, seed) for name, s in scores.items()}


def _curve(k: NDArray, found: FloatArray, ideal: FloatArray, chance: float, rounds: int, seed: int) -> Curve:
    """A curve of ``found`` and ``ideal`` ``[n, K]``, a row for each task."""
    count = len(found)
    rng = np.random.default_rng(seed)
    means = rng.multinomial(count, np.full(count, 1 / count), rounds) / count @ found
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return Curve(k, found.mean(0), low, high, ideal.mean(0), chance, count)


def agreement(distance: pd.DataFrame, taxonomic: NDArray, most: int = 20, seed: int = 0) -> Agreement:
    """Spearman's rank correlation between distance and D_tax, overall and per task, and the worst disagreements.

    Args:
        distance: ``[n, n]`` by task id, rows are targets. Where it is symmetric, each pair counts once.
        taxonomic: ``[n, n]`` D_tax in the same order.
        most: how many pairs of either kind to name.
        seed: of the sample where there are more than ``MOST_TASKS``.

    Raises:
        InputError: fewer than three tasks have both.
    """
    full = distance.to_numpy()
    used = known_tasks(full, taxonomic, least=3)
    sampled = len(used) > MOST_TASKS
    if sampled:
        used = np.sort(np.random.default_rng(seed).choice(used, MOST_TASKS, replace=False))
    ids = distance.index.to_numpy()[used]
    near, far = full[np.ix_(used, used)], taxonomic[np.ix_(used, used)]
    i, j = np.triu_indices(len(used), 1)
    if not np.array_equal(near, near.T):
        i, j = np.concatenate([i, j]), np.concatenate([j, i])
    x, y = _MidRanks(near[i, j]), _MidRanks(far[i, j])
    rho, slopes = _spearman(x, y)
    # The derivative by the weight of a task is the sum over the pairs it is in.
    by_task = np.bincount(i, slopes, len(used)) + np.bincount(j, slopes, len(used))
    low, high = _interval(rho, float(np.sqrt((by_task**2).sum() * len(used) / (len(used) - 1))))
    difference = x.ranks - y.ranks
    order = np.argsort(difference, kind="stable")
    worst = np.concatenate([order[::-1][:most], order[:most]])
    worst = worst[np.sign(difference[worst]) == np.repeat([1, -1], [len(order[:most])] * 2)]
    pairs = pd.DataFrame(
        {
            "a": ids[i[worst]],
            "b": ids[j[worst]],
            "distance": near[i, j][worst],
            "taxonomic": far[i, j][worst],
            "difference": difference[worst],
        }
    )
    total = np.bincount(i, np.abs(difference), len(used)) + np.bincount(j, np.abs(difference), len(used))
    shares = np.bincount(i, minlength=len(used)) + np.bincount(j, minlength=len(used))
    tasks = pd.DataFrame({"rho": _row_spearman(near, far), "difference": total / shares}, index=ids)
    return Agreement(rho, low, high, tasks.sort_values("rho", kind="stable"), pairs, sampled)


def known_tasks(distance: NDArray, taxonomic: NDArray, least: int = 2) -> NDArray[np.int64]:
    """Positions of the tasks that have both distances.

    Raises:
        InputError: fewer than ``least`` are left, or a single distance between them is missing.
    """
    # A missing task's whole row is NaN; its distance to itself may have been set to 0.
    known = [(np.isfinite(m).sum(1) > np.isfinite(m.diagonal())) for m in (distance, taxonomic)]
    used = np.flatnonzero(known[0] & known[1])
    if len(used) < least:
        raise InputError(
            f"only {len(used)} of {len(distance)} tasks have both an embedding and a place in the taxonomy; "
            f"at least {least} are needed"
        )
    for matrix in (distance, taxonomic):
        if np.isnan(matrix[np.ix_(used, used)]).any():
            raise InputError("distances between some tasks are missing; leave those tasks out")
    return used


def _mean_of_ties(keys: NDArray, values: FloatArray) -> FloatArray:
    """``values`` with those of equal ``keys``, which stand side by side in a row, replaced by their mean."""
    begins = np.ones(keys.shape, dtype=bool)
    begins[:, 1:] = keys[:, 1:] != keys[:, :-1]
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=keys.size)
    return np.repeat(np.add.reduceat(values.ravel(), starts) / lengths, lengths).reshape(values.shape)


class _MidRanks:
    """Ranks of a sample in 0..1, ties sharing theirs: (how many are smaller + half of how many are equal) / N."""

    def __init__(self, sample: NDArray) -> None:
        self.order = sample.argsort(kind="stable")
        ordered = sample[self.order]
        self.starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        self.lengths = np.diff(self.starts, append=len(sample))
        self.ranks = self._scatter((self.starts + self.lengths / 2) / len(sample))

    def mean_above(self, values: FloatArray) -> FloatArray:
        """For every q the mean over p of ``values[p]`` [x_q < x_p], ties counting half."""
        sums = np.add.reduceat(values[self.order], self.starts)
        above = sums[::-1].cumsum()[::-1] - sums / 2
        return self._scatter(above / len(values))

    def _scatter(self, per_group: FloatArray) -> FloatArray:
        found = np.empty(len(self.order))
        found[self.order] = np.repeat(per_group, self.lengths)
        return found


def _spearman(x: _MidRanks, y: _MidRanks) -> tuple[float, FloatArray]:
    """Spearman's rho and its derivative by the weight of every pair.

    With a, b the centred ranks, rho = C / sqrt(A B), C = mean(a b), A = mean(a^2), B = mean(b^2). Weight on pair q
    adds its own term, and moves the ranks of all others: d rank_p = [x_q < x_p] - rank_p, ties counting half.
    """
    a, b = x.ranks - 0.5, y.ranks - 0.5
    C, A, B = (a * b).mean(), (a * a).mean(), (b * b).mean()
    if A == 0 or B == 0:
        return float("nan"), np.full(len(a), np.nan)
    rho = C / np.sqrt(A * B)
    dC = a * b + x.mean_above(b) + y.mean_above(a) - 3 * C
    dA = a * a + 2 * x.mean_above(a) - 3 * A
    dB = b * b + 2 * y.mean_above(b) - 3 * B
    return float(rho), (dC / np.sqrt(A * B) - rho / 2 * (dA / A + dB / B)) / len(a)


def _interval(rho: float, error: float) -> tuple[float, float]:
    """95 % interval on Fisher's z scale, which keeps it within -1..1."""
    if not 1 - abs(rho) > 1e-12:
        return rho, rho
    low, high = np.tanh(np.arctanh(rho) + np.array([-1.96, 1.96]) * error / (1 - rho**2))
    return float(low), float(high)


def _row_spearman(near: NDArray, far: NDArray) -> FloatArray:
    """Spearman's rho ``[n]`` of each row, the task itself left out; NaN where a row is constant."""
    # Loaded here: pages that draw no taxonomy need not wait for it.
    from scipy.stats import rankdata

    count = len(near)
    others = ~np.eye(count, dtype=bool)
    a, b = (rankdata(m[others].reshape(count, count - 1), axis=1) - count / 2 for m in (near, far))
    with np.errstate(invalid="ignore"):
        return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
