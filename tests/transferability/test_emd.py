"""EMD against every matching, by hand, and against the closed form on a line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from t2v_core.errors import InputError
from t2v_core.transferability.emd import class_means, earth_movers_distance, emd_similarity
from tests.transferability import oracles
from tests.transferability.samples import clusters, rotation


def task(seed: int, classes: int, dimensions: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(classes, dimensions)), rng.dirichlet(np.ones(classes))


seeds = st.integers(0, 10**6)
sizes = st.integers(1, 6)


@given(seeds, seeds, st.integers(1, 5))
def test_agrees_with_the_best_of_all_matchings(first, second, classes):
    a, b = task(first, classes)[0], task(second, classes)[0]
    equal = np.full(classes, 1 / classes)
    assert earth_movers_distance(a, equal, b, equal) == pytest.approx(oracles.assignment(a, b), abs=1e-9)


@given(seeds, seeds, sizes, sizes)
def test_agrees_with_the_closed_form_on_a_line(first, second, k, m):
    (a, p), (b, q) = task(first, k, 1), task(second, m, 1)
    assert earth_movers_distance(a, p, b, q) == pytest.approx(wasserstein_distance(a[:, 0], b[:, 0], p, q), abs=1e-9)


@given(seeds, seeds, seeds, sizes)
def test_is_a_metric(first, second, third, classes):
    a, b, c = task(first, classes), task(second, 3), task(third, 4)
    assert earth_movers_distance(*a, *a) == pytest.approx(0, abs=1e-12)
    assert earth_movers_distance(*a, *b) == pytest.approx(earth_movers_distance(*b, *a), abs=1e-9)
    assert earth_movers_distance(*a, *c) <= earth_movers_distance(*a, *b) + earth_movers_distance(*b, *c) + 1e-9


def test_hand_case():
    # Half stays at 0; the other half goes to 3 (a quarter, 3 away) and to 4 i (a quarter, 4 away).
    a, b = [[0.0, 0.0]], [[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]
    shares = [0.5, 0.25, 0.25]
    assert earth_movers_distance(a, [1.0], b, shares) == pytest.approx(3 / 4 + 4 / 4)
    assert emd_similarity(a, [1.0], b, shares) == pytest.approx(np.exp(-0.01 * 1.75))
    assert emd_similarity(a, [1.0], b, shares, gamma=1) == pytest.approx(np.exp(-1.75))


def test_blind_to_common_rotation_and_shift_class_order_and_splitting():
    (a, p), (b, q) = task(1, 4), task(2, 5)
    expected = earth_movers_distance(a, p, b, q)
    turn = rotation(3, 3)
    assert earth_movers_distance(a @ turn + 2, p, b @ turn + 2, q) == pytest.approx(expected)
    assert earth_movers_distance(a[::-1], p[::-1], b, q) == pytest.approx(expected)
    assert earth_movers_distance(np.vstack([a, a]), np.tile(p / 2, 2), b, q) == pytest.approx(expected)


def test_similarity_falls_as_tasks_part():
    a, p = task(1, 4)
    found = [emd_similarity(a, p, a + shift, p) for shift in (0.0, 1.0, 10.0, 100.0)]
    assert found[0] == pytest.approx(1)
    assert found == sorted(found, reverse=True)


def test_class_means_are_the_classes_own():
    features, labels = clusters(images=40)
    means, shares = class_means(features, np.array(["c", "a", "b"])[labels])
    for position, original in enumerate((1, 2, 0)):
        np.testing.assert_allclose(means[position], features[labels == original].mean(0))
        assert shares[position] == (labels == original).mean()


def test_a_task_of_one_class_is_served():
    means, shares = class_means([[1.0, 2.0], [3.0, 2.0]], ["only", "only"])
    assert earth_movers_distance(means, shares, [[2.0, 5.0]], [1.0]) == pytest.approx(3)


@pytest.mark.parametrize("shares", [[0.5, 0.4], [1.5, -0.5], [1.0], [np.nan, 1.0]])
def test_shares_that_are_no_distribution_are_refused(shares):
    with pytest.raises(InputError, match="shares of 2 classes"):
        earth_movers_distance([[0.0], [1.0]], shares, [[0.0]], [1.0])


def test_features_of_different_networks_are_refused():
    with pytest.raises(InputError, match="2 and 1 dimensions"):
        earth_movers_distance([[0.0, 1.0]], [1.0], [[0.0]], [1.0])


def test_missing_numbers_are_refused():
    for broken in (np.nan, np.inf):
        with pytest.raises(InputError, match="first in row 1"):
            class_means([[0.0, 1.0], [broken, 1.0]], ["a", "b"])
        with pytest.raises(InputError, match=r"class means .* first in row 0"):
            earth_movers_distance([[0.0, broken]], [1.0], [[0.0, 1.0]], [1.0])


def test_constant_features_are_refused():
    with pytest.raises(InputError, match="the same for all 12 images"):
        class_means(np.tile([0.3, -2.0, 1e6], (12, 1)), np.arange(12) % 2)
