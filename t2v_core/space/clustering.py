"""Hierarchical clustering of tasks by distance: the tree, its order of leaves, clusters, and how far to trust them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from t2v_core.errors import InputError
from t2v_core.space.leaf_order import order_leaves

FloatArray = NDArray[np.float64]

LINKAGES = {
    "complete": "two clusters are as far apart as their most distant tasks (the papers' choice)",
    "average": "two clusters are as far apart as their tasks on average",
    "single": "two clusters are as far apart as their nearest tasks",
}

MOST_ORDERED = 4000
"""With more tasks the leaves keep the order in which they merged: the best one takes time with n cubed."""


@dataclass(frozen=True)
class Clustering:
    """A tree over n tasks.

    Attributes:
        merges: ``[n - 1, 4]``: the two clusters joined, the height, the tasks in it (SciPy's linkage matrix).
        ordered: neighbouring leaves were brought as close together as the tree allows.
    """

    merges: FloatArray
    ordered: bool

    @cached_property
    def leaves(self) -> NDArray[np.int64]:
        """``[n]`` positions of the tasks, from left to right."""
        from scipy.cluster.hierarchy import leaves_list

        return leaves_list(self.merges).astype(np.int64) if len(self.merges) else np.arange(1)

    def cut(self, *, clusters: int | None = None, height: float | None = None) -> NDArray[np.int64]:
        """The cluster ``[n]`` of each task, numbered from 1 in the order of the leaves.

        Args:
            clusters: how many, at most n; fewer come out where merges tie.
            height: or the distance below which tasks stay together. Exactly one of the two is given.
        """
        from scipy.cluster.hierarchy import fcluster

        if (clusters is None) == (height is None):
            raise ValueError("give either a number of clusters or a height")
        if not len(self.merges):
            return np.ones(1, dtype=np.int64)
        criterion, limit = ("maxclust", clusters) if height is None else ("distance", height)
        found = fcluster(self.merges, limit, criterion)[self.leaves]
        first = np.append(True, found[1:] != found[:-1])
        labels = np.empty(len(found), dtype=np.int64)
        labels[self.leaves] = first.cumsum()
        return labels

    def cut_height(self, clusters: int) -> float | None:
        """The height between the merge that leaves so many clusters and the next; None above the top of the tree."""
        heights = np.sort(self.merges[:, 2])
        if clusters <= 1:
            return None
        below = heights[-clusters] if clusters <= len(heights) else 0.0
        return float((below + heights[1 - clusters]) / 2)

    def cophenetic(self) -> FloatArray:
        """Heights at which pairs of tasks join, ``[n (n - 1) / 2]`` in the order of ``pairs``."""
        from scipy.cluster.hierarchy import cophenet

        return cophenet(self.merges)

    def outline(self) -> tuple[FloatArray, FloatArray]:
        """The dendrogram as one line around it, ``[7 (n - 1)]`` each: places along the leaves (0, 1, ...), and heights.

        One line, as a browser takes longer to draw a thousand brackets than all else in a figure.
        """
        count = len(self.merges) + 1
        middle, top = [0.0] * (2 * count - 1), [0.0] * (2 * count - 1)
        for place, leaf in enumerate(self.leaves.tolist()):
            middle[leaf] = float(place)
        joined = [(int(left), int(right)) for left, right in self.merges[:, :2]]
        for merge, ((left, right), height) in enumerate(zip(joined, self.merges[:, 2].tolist(), strict=True), count):
            middle[merge], top[merge] = (middle[left] + middle[right]) / 2, height
        points: list[tuple[float, float]] = []
        ahead: list[int | tuple[float, float]] = [2 * count - 2]  # subtrees to go around, and corners
        while ahead:
            step = ahead.pop()
            if isinstance(step, tuple):
                points.append(step)
            elif step >= count:
                height = top[step]
                ahead.append((middle[step], height))
                for child in reversed(joined[step - count]):
                    corner, foot = (middle[child], height), (middle[child], top[child])
                    ahead += [corner, child, foot, corner]
        x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
        return x, y


def cluster(distance: NDArray, linkage: str = "complete") -> Clustering:
    """Hierarchical clustering with optimal leaf order (Bar-Joseph et al. 2001).

    Args:
        distance: ``[n, n]`` symmetric, without NaN; the diagonal is not looked at.
        linkage: one of ``LINKAGES``.

    Raises:
        InputError: the linkage is unknown or needs Euclidean distances, there is no task, or the distances are
            missing or asymmetric.
    """
    from scipy.cluster import hierarchy

    if linkage in ("ward", "centroid", "median"):
        raise InputError(
            f"{linkage!r} linkage needs Euclidean distances, which distances between tasks are not; "
            f"choose {', '.join(LINKAGES)}"
        )
    if linkage not in LINKAGES:
        raise InputError(f"there is no linkage {linkage!r}; choose {', '.join(LINKAGES)}")
    if not len(distance):
        raise InputError("there is no task to cluster; embed some first")
    condensed = pairs(distance)
    if len(distance) == 1:
        return Clustering(np.empty((0, 4)), True)
    merges = hierarchy.linkage(condensed, linkage)
    ordered = len(distance) <= MOST_ORDERED
    return Clustering(order_leaves(merges, distance) if ordered else merges, ordered)


def pairs(distance: NDArray) -> FloatArray:
    """The upper triangle ``[n (n - 1) / 2]`` of a symmetric matrix, row by row.

    Raises:
        InputError: a distance is missing, or the matrix is not symmetric.
    """
    upper = distance[np.triu_indices(len(distance), 1)]
    missing = np.isnan(distance).sum(1)
    if np.isnan(upper).any():
        raise InputError(
            f"{int((missing >= missing.max()).sum())} task(s) have no distance to others, first at position "
            f"{int(missing.argmax())}; leave tasks without an embedding out"
        )
    if not np.allclose(upper, distance.T[np.triu_indices(len(distance), 1)], rtol=0, atol=1e-6):
        raise InputError("clusters need a distance that is the same both ways; choose the symmetric one")
    return upper.astype(np.float64)


def central_first(labels: NDArray[np.int64], distance: NDArray) -> dict[int, tuple[NDArray[np.int64], float]]:
    """For each cluster its tasks, the most central first, and the mean distance between them, NaN of a single one.

    Args:
        labels: ``[n]`` the cluster of each task.
        distance: ``[n, n]`` symmetric, with zeros on the diagonal.
    """
    found = {}
    for number in np.unique(labels).tolist():
        members = np.flatnonzero(labels == number)
        inner = distance[np.ix_(members, members)]
        count = len(members)
        within = float(inner.sum() / (count * (count - 1))) if count > 1 else np.nan
        found[number] = members[np.argsort(inner.sum(1), kind="stable")], within
    return found


def cophenetic_correlation(clustering: Clustering, other: NDArray) -> float:
    """Pearson correlation of the tree's heights with another distance between the same tasks.

    With the distance it was built from it says how faithful the tree is; with D_tax, how well it follows the taxonomy.

    Args:
        clustering: over n tasks.
        other: ``[n, n]`` symmetric; pairs with NaN are left out.

    Returns:
        NaN where fewer than two pairs are known or either side is constant.
    """
    values = other[np.triu_indices(len(other), 1)].astype(np.float64)
    known = np.isfinite(values)
    heights, values = clustering.cophenetic()[known] if len(values) else values, values[known]
    if len(values) < 2 or np.ptp(heights) == 0 or np.ptp(values) == 0:
        return float("nan")
    return float(np.corrcoef(heights, values)[0, 1])


def adjusted_rand(labels: NDArray, groups: NDArray) -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) of two groupings: 1 if they are the same, 0 as by chance."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(groups, labels))
