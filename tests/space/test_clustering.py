"""Trees over tasks: order, cuts, drawing, agreement; what is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import dendrogram

from t2v_core.errors import InputError
from t2v_core.space import clustering as module
from t2v_core.space.clustering import LINKAGES, adjusted_rand, central_first, cluster, cophenetic_correlation
from t2v_core.space.taxonomy import taxonomic_distance


def between(points) -> np.ndarray:
    points = np.asarray(points, dtype=float)
    return np.abs(np.subtract.outer(points, points))


LINE = between([0, 10, 1, 12, 2.5])  # groups {0, 2, 4} and {1, 3}


def random_distance(n: int, seed: int) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).random((n, n)), 1)
    return upper + upper.T


def test_leaves_of_a_line_stand_in_its_order():
    found = cluster(LINE)
    assert found.leaves.tolist() in ([0, 2, 4, 1, 3], [3, 1, 4, 2, 0])
    assert found.ordered


def test_cuts_by_number_and_by_height():
    found = cluster(LINE)
    labels = found.cut(clusters=2)
    assert labels[0] == labels[2] == labels[4]
    assert labels[1] == labels[3] != labels[0]
    np.testing.assert_array_equal(found.cut(height=2.5), labels)
    assert len(set(found.cut(height=1.9))) == 4  # 0-2 joined at 1, 1-3 at 2, 4 at 2.5
    assert set(found.cut(clusters=5)) == {1, 2, 3, 4, 5}
    assert set(found.cut(height=100)) == {1}
    for wrong in ({}, {"clusters": 2, "height": 1.0}):
        with pytest.raises(ValueError, match="either"):
            found.cut(**wrong)


@given(st.integers(2, 20), st.integers(0, 50), st.sampled_from(list(LINKAGES)), st.integers(1, 6))
def test_clusters_are_numbered_from_left_to_right(n, seed, linkage, clusters):
    found = cluster(random_distance(n, seed), linkage)
    labels = found.cut(clusters=clusters)[found.leaves]
    assert labels[0] == 1
    assert set(np.diff(labels)) <= {0, 1}
    assert labels[-1] <= clusters
    assert sorted(found.leaves) == list(range(n))


@given(st.integers(2, 15), st.integers(0, 50))
def test_the_outline_goes_along_the_brackets_of_scipy_and_nowhere_else(n, seed):
    found = cluster(random_distance(n, seed))
    drawn = dendrogram(found.merges, no_plot=True)

    def strokes(x, y):
        """The vertical ones, and what the horizontal ones cover."""
        corners = np.round(np.stack([x, y], 1), 9)
        assert (corners[1:] == corners[:-1]).any(1).all()  # none is aslant
        pairs = [tuple(sorted(map(tuple, pair))) for pair in pairwise(corners.tolist()) if pair[0] != pair[1]]
        across = {}
        for (left, low), (right, high) in pairs:
            if low == high:
                ends = across.get(low, (left, right))
                across[low] = min(left, ends[0]), max(right, ends[1])
        return {pair for pair in pairs if pair[0][0] == pair[1][0]}, across

    down, across = strokes(*found.outline())
    # SciPy puts leaves at 5, 15, ..., and draws a bracket for every merge.
    brackets = [strokes(np.array(x) / 10 - 0.5, y) for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True)]
    assert down == set().union(*(vertical for vertical, _ in brackets))
    assert across == {level: ends for _, horizontal in brackets for level, ends in horizontal.items()}


def test_optimal_order_brings_neighbours_together_and_large_trees_go_without(monkeypatch):
    D = random_distance(40, 0)
    ordered = cluster(D)
    monkeypatch.setattr(module, "MOST_ORDERED", 39)
    plain = cluster(D)
    assert ordered.ordered
    assert not plain.ordered

    def length(tree):
        return D[tree.leaves[:-1], tree.leaves[1:]].sum()

    assert length(ordered) < length(plain)
    np.testing.assert_array_equal(np.sort(ordered.merges[:, 2]), np.sort(plain.merges[:, 2]))


def test_the_most_central_task_of_a_cluster_comes_first():
    at = np.array([0.0, 10, 1, 11, 2, 50])
    distance = np.abs(np.subtract.outer(at, at))
    found = central_first(np.array([1, 2, 1, 2, 1, 3]), distance)
    assert {number: order.tolist() for number, (order, _) in found.items()} == {1: [2, 0, 4], 2: [1, 3], 3: [5]}
    assert found[1][1] == pytest.approx(4 / 3)
    assert np.isnan(found[3][1])


@given(st.integers(2, 12), st.integers(0, 99), st.integers(1, 12))
def test_a_tree_cut_at_the_height_of_a_number_has_that_number(n, seed, clusters):
    at = np.random.default_rng(seed).random((n, 3))
    tree = cluster(np.linalg.norm(at[:, None] - at[None], axis=2))
    clusters = min(clusters, n)
    height = tree.cut_height(clusters)
    if height is None:
        assert clusters == 1
    else:
        np.testing.assert_array_equal(tree.cut(height=height), tree.cut(clusters=clusters))


def test_agreement_with_the_taxonomy():
    T = taxonomic_distance([((f"k{i // 8}", f"c{i // 4}", f"o{i // 2}"),) for i in range(16)])
    tree = cluster(T)
    assert cophenetic_correlation(tree, T) == pytest.approx(1)  # an ultrametric is a tree
    groups = np.arange(16) // 4
    assert adjusted_rand(tree.cut(clusters=4), groups) == 1
    assert adjusted_rand(np.ones(16), groups) == 0
    noisy = cluster(T + 3 * random_distance(16, 1))
    assert 0 < cophenetic_correlation(noisy, T) < 1


def test_cophenetic_correlation_by_hand_and_without_an_answer():
    tree = cluster(between([0, 1, 3]))  # 0-1 join at 1, both with 3 at 3
    assert cophenetic_correlation(tree, between([0, 1, 3])) == pytest.approx(np.corrcoef([1, 3, 3], [1, 3, 2])[0, 1])
    assert np.isnan(cophenetic_correlation(tree, np.ones((3, 3))))
    partly = between([0, 1, 3])
    partly[2] = partly[:, 2] = np.nan
    assert np.isnan(cophenetic_correlation(tree, partly))


def test_one_task_is_a_tree_of_one_leaf():
    found = cluster(np.zeros((1, 1)))
    assert found.leaves.tolist() == [0]
    assert found.cut(clusters=3).tolist() == [1]
    assert [len(part) for part in found.outline()] == [0, 0]
    assert np.isnan(cophenetic_correlation(found, np.zeros((1, 1))))


def test_what_cannot_be_clustered_is_refused():
    with pytest.raises(InputError, match="Euclidean"):
        cluster(LINE, "ward")
    with pytest.raises(InputError, match="no linkage 'psychic'"):
        cluster(LINE, "psychic")
    with pytest.raises(InputError, match="no task"):
        cluster(np.zeros((0, 0)))
    holes = LINE.copy()
    holes[1] = holes[:, 1] = np.nan
    with pytest.raises(InputError, match=r"1 task\(s\).*position 1"):
        cluster(holes)
    with pytest.raises(InputError, match="same both ways"):
        cluster(LINE - 0.15 * np.arange(5))
