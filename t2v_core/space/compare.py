"""Comparing tasks of one embedding space: which layers and filters differ, how far apart, who their neighbours are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError
from t2v_core.space.distances import check_comparable, symmetric, symmetric_rounds

FloatArray = NDArray[np.float64]

ROUNDS = 200


@dataclass(frozen=True)
class PairComparison:
    """Where two tasks differ.

    Attributes:
        distance: d_sym(a, b).
        spread: its standard deviation over bootstrap rounds, in which the chunks of both are drawn anew.
        layers: one row a layer, in network order: ``layer, filters, contribution, share, difference, error``.
            ``contribution`` is the layer's part of the distance, all adding up to it, and ``share`` that part in 0..1;
            ``difference`` is (F_a - F_b) / (F_a + F_b) of the layer's sums, in -1..1, and ``error`` its standard error.
        filters: one row a filter: ``layer, filter, a, b, contribution, difference, error``; ``filter`` counts within
            its layer, ``a`` and ``b`` are the two values.
    """

    distance: float
    spread: float
    layers: pd.DataFrame
    filters: pd.DataFrame


def compare_pair(
    a: Embedding, b: Embedding, layers: Sequence[tuple[str, int]], rounds: int = ROUNDS, seed: int = 0
) -> PairComparison:
    """Split d_sym(a, b) over layers and filters, and compare the values themselves.

    With r, q the two shares scaled to norm 1, d_sym = 1 - r q = sum of (r_d - q_d)^2 / 2: every filter adds its part.

    Args:
        a, b: Fisher embeddings of one space.
        layers: ``(name, filters)`` in network order.
        rounds: bootstrap rounds behind spread and errors.
        seed: of the bootstrap.

    Raises:
        InputError: they cannot be compared, or one is wholly zero.
        ValueError: the layers do not add up to the embeddings' dimension.
    """
    check_comparable([a, b])
    names, sizes = [name for name, _ in layers], [count for _, count in layers]
    if sum(sizes) != len(a.vector):
        raise ValueError(f"layers hold {sum(sizes)} filters, the embeddings {len(a.vector)}")
    if not (a.vector.any() and b.vector.any()):
        raise InputError("one of the tasks has a Fisher embedding that is wholly zero; there is nothing to compare")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    x, y = a.vector.astype(np.float64), b.vector.astype(np.float64)
    total = np.where(x + y > 0, x + y, 1)
    r, q = x / total, y / total
    contribution = (r / np.linalg.norm(r) - q / np.linalg.norm(q)) ** 2 / 2
    rng = np.random.default_rng(seed)
    drawn = a.bootstrap(rounds, rng), b.bootstrap(rounds, rng)
    by_layer = np.add.reduceat(contribution, starts)
    sums = [np.add.reduceat(v, starts, axis=-1, dtype=np.float64) for v in (x, y, *drawn)]
    layer_table = pd.DataFrame(
        {
            "layer": names,
            "filters": sizes,
            "contribution": by_layer,
            "share": by_layer / max(by_layer.sum(), np.finfo(float).tiny),
            "difference": _relative(sums[0], sums[1]),
            "error": _relative(sums[2], sums[3]).std(0),
        }
    )
    filter_table = pd.DataFrame(
        {
            "layer": np.repeat(names, sizes),
            "filter": np.arange(len(x)) - np.repeat(starts, sizes),
            "a": x,
            "b": y,
            "contribution": contribution,
            "difference": _relative(x, y),
            "error": _relative(*drawn).std(0),
        }
    )
    spread = symmetric_rounds(drawn[0][:, None], drawn[1][:, None]).std()
    return PairComparison(float(symmetric(a.vector, b.vector)[0, 0]), float(spread), layer_table, filter_table)


def distances_with_spread(tasks: Mapping[str, Embedding], rounds: int = ROUNDS, seed: int = 0) -> pd.DataFrame:
    """d_sym of every pair of some tasks and its spread over bootstrap rounds: ``a, b, distance, spread, low, high``.

    ``low`` and ``high`` hold the middle 95 % of the rounds. Noise adds distance, so that between tasks that hardly
    differ they lie above ``distance``.

    Raises:
        InputError: fewer than two tasks, or embeddings that cannot be compared.
    """
    if len(tasks) < 2:
        raise InputError("choose two tasks or more to compare")
    check_comparable(list(tasks.values()))
    point = symmetric(*[np.stack([e.vector for e in tasks.values()])] * 2)
    rng = np.random.default_rng(seed)
    drawn = np.stack([e.bootstrap(rounds, rng) for e in tasks.values()], axis=1)
    resampled = symmetric_rounds(drawn, drawn, same=True)
    spread, (low, high) = resampled.std(0), np.percentile(resampled, [2.5, 97.5], axis=0)
    rows = [
        (a, b, point[i, j], spread[i, j], low[i, j], high[i, j]) for (i, a), (j, b) in combinations(enumerate(tasks), 2)
    ]
    return pd.DataFrame(rows, columns=["a", "b", "distance", "spread", "low", "high"])


def shared_neighbours(distance: pd.DataFrame, tasks: Sequence[str], k: int = 10) -> pd.DataFrame:
    """Tasks that are among the k nearest of at least two of some tasks.

    Args:
        distance: by task id, rows are targets.
        tasks: the ids to compare; they are not neighbours of each other here.
        k: neighbours of each.

    Returns:
        One row a neighbour, by its id: ``of`` (how many of the tasks it is near to), ``mean`` (its mean distance to
        them all), and one column a task with its distance. Shared by most comes first, then the nearest.
    """
    others, near = _nearest(distance, tasks, k)
    found = others.T.assign(of=near.sum(0), mean=others.mean(0))
    found = found[found["of"] >= 2].sort_values(["of", "mean"], ascending=[False, True], kind="stable")
    return found[["of", "mean", *tasks]]


def own_neighbours(distance: pd.DataFrame, tasks: Sequence[str], k: int = 10) -> dict[str, pd.Series]:
    """For each of some tasks, its distances to those of its k nearest that are not among the k nearest of another.

    Args as for ``shared_neighbours``. The nearest comes first.
    """
    others, near = _nearest(distance, tasks, k)
    alone = near.sum(0) == 1
    return {task: others.loc[task, near.loc[task] & alone].sort_values(kind="stable") for task in tasks}


def _nearest(distance: pd.DataFrame, tasks: Sequence[str], k: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distances of some tasks to all others, and which of these are among the k nearest of each."""
    others = distance.loc[list(tasks), distance.columns.difference(list(tasks), sort=False)]
    return others, others.rank(axis=1, method="first") <= k


def notable_pairs(distance: pd.DataFrame, groups: Sequence[str], task: str | None = None) -> dict[str, tuple[str, str]]:
    """Pairs worth a look, of all tasks or with a given one; only those that exist.

    Args:
        distance: by task id.
        groups: the true group of each task, in the same order.
        task: id of a task that must be one of each pair.

    Returns:
        ``"nearest"``; ``"across"``, the nearest of two groups; ``"within"``, the farthest of one group.
    """
    values, ids = distance.to_numpy(), distance.index
    codes = pd.factorize(np.asarray(groups))[0]
    found: dict[str, tuple[float, int, int]] = {}
    for i in range(len(ids)) if task is None else [ids.get_loc(task)]:
        row = np.where(np.isfinite(values[i]), values[i], np.inf)
        row[i] = np.inf
        same = codes == codes[i]
        farthest = np.where(same & np.isfinite(row), -row, np.inf)
        for what, cost in (("nearest", row), ("across", np.where(same, np.inf, row)), ("within", farthest)):
            j = int(cost.argmin())
            if cost[j] < found.get(what, (np.inf,))[0]:
                found[what] = (float(cost[j]), i, j)
    return {what: (ids[i], ids[j]) for what, (_, i, j) in found.items()}


def _relative(x: NDArray, y: NDArray) -> FloatArray:
    """(x - y) / (x + y), 0 where both are 0."""
    total = np.asarray(x + y, dtype=np.float64)
    return np.divide(x - y, total, out=np.zeros_like(total), where=total > 0)
