"""kNN against a loop over images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.errors import InputError
from t2v_core.transferability.knn import knn
from tests.transferability import oracles
from tests.transferability.samples import clusters, rotation


@given(st.integers(0, 10**6), st.integers(1, 7), st.floats(0, 3))
def test_agrees_with_a_loop(seed, k, apart):
    features, labels = clusters(seed, images=24, dimensions=3, apart=apart)
    assert knn(features, labels, k) == pytest.approx(oracles.knn(features, labels, k))


def test_hand_case():
    # On a line a a b b a: only the image at 9 has a neighbour of another class.
    assert knn([[0.0], [1.0], [5.0], [6.0], [9.0]], list("aabba")) == pytest.approx(4 / 5)


def test_tied_classes_share_the_vote():
    # Of two neighbours the ends see one of either class, the inner two only the other class.
    line = [[0.0], [1.0], [10.0], [11.0]]
    assert knn(line, [0, 1, 0, 1], 2) == knn(line, [1, 0, 1, 0], 2) == pytest.approx((1 / 2 + 1 / 2) / 4)


def test_no_image_is_its_own_neighbour():
    features, _ = clusters(images=40)
    labels = np.random.default_rng(9).integers(0, 2, len(features))
    assert knn(features, labels) < 0.8


@pytest.mark.parametrize("k", [1, 4])
def test_blind_to_rotation_scale_shift_order_and_names(k):
    features, labels = clusters(images=80, dimensions=5, classes=4)
    expected = knn(features, labels, k)
    order = np.random.default_rng(2).permutation(len(labels))
    assert 0.3 < expected < 1
    assert knn(3 * features @ rotation(1, 5) - 2, labels, k) == pytest.approx(expected)
    assert knn(features[order], labels[order], k) == pytest.approx(expected)
    assert knn(features, np.array([9, 3, 5, 1])[labels], k) == pytest.approx(expected)


def test_grows_with_separation():
    found = [knn(*clusters(images=200, apart=apart)) for apart in (0.0, 0.7, 1.5, 4.0)]
    assert found == sorted(found)
    assert found[-1] > 0.99


@pytest.mark.parametrize("k", [0, 60])
def test_a_number_of_neighbours_that_cannot_be_is_refused(k):
    features, labels = clusters(images=60)
    with pytest.raises(InputError, match="1 to 59"):
        knn(features, labels, k)
