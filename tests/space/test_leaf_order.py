"""The order of leaves: the best of all, by trying all."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cophenet, is_valid_linkage, leaves_list, linkage
from scipy.spatial.distance import squareform

from t2v_core.space.leaf_order import order_leaves


def random_tree(n: int, seed: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    upper = np.triu(np.random.default_rng(seed).random((n, n)), 1)
    distance = upper + upper.T
    return distance, linkage(squareform(distance), method)


def length(distance: np.ndarray, merges: np.ndarray) -> float:
    leaves = leaves_list(merges)
    return float(distance[leaves[:-1], leaves[1:]].sum())


@given(st.integers(2, 7), st.integers(0, 200), st.sampled_from(["complete", "average", "single"]))
def test_no_exchange_of_children_does_better(n, seed, method):
    distance, merges = random_tree(n, seed, method)
    least = np.inf
    for exchanged in product([False, True], repeat=n - 1):
        other = merges.copy()
        rows = np.array(exchanged)
        other[rows, 0], other[rows, 1] = merges[rows, 1], merges[rows, 0]
        least = min(least, length(distance, other))
    assert length(distance, order_leaves(merges, distance)) == pytest.approx(least)


@pytest.mark.parametrize("method", ["complete", "single"])
def test_the_tree_stays_the_same(method):
    distance, merges = random_tree(60, 0, method)
    found = order_leaves(merges, distance.astype(np.float32))
    assert is_valid_linkage(found)
    np.testing.assert_array_equal(cophenet(found), cophenet(merges))
    assert sorted(leaves_list(found)) == list(range(60))
    assert length(distance, found) < length(distance, merges)


def test_points_on_a_line_come_out_in_their_order():
    at = np.random.default_rng(0).permutation(40).astype(float)
    distance = np.abs(np.subtract.outer(at, at))
    # A tree that joins neighbours allows the order of the line.
    found = at[leaves_list(order_leaves(linkage(squareform(distance), "single"), distance))]
    assert (np.diff(found) == 1).all() or (np.diff(found) == -1).all()
