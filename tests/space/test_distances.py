"""Distances against their slow twins, and their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from t2v_core.space import distances
from t2v_core.space.distances import (
    asymmetric,
    asymmetric_by_norm,
    cosine,
    cosine_rounds,
    precision,
    symmetric,
    symmetric_rounds,
    to_trivial,
)
from t2v_core.space.kernel import BLOCK, TILE
from tests.oracles import symmetric_distance

positive = st.floats(1e-6, 1e6, allow_nan=False)
matrices = hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 8)), elements=positive)


@given(matrices)
def test_agrees_with_the_formula(F):
    found = symmetric(F, F)
    for i in range(len(F)):
        for j in range(len(F)):
            assert found[i, j] == pytest.approx(symmetric_distance(F[i], F[j]), abs=1e-9)


@given(matrices, st.floats(1e-3, 1e3))
def test_symmetric_zero_on_itself_and_blind_to_common_scale(F, scale):
    found = symmetric(F, F)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-12)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(symmetric(scale * F, scale * F), found, atol=1e-9)


def test_a_missing_embedding_is_a_missing_distance():
    F = np.array([[1.0, 2.0], [np.nan, np.nan], [0.0, 0.0]])
    found = symmetric(F, F[:1])[:, 0]
    assert found[0] == pytest.approx(0)
    assert np.isnan(found[1:]).all()
    assert np.isnan(cosine(F, F[:1])[1:, 0]).all()


def test_filters_dead_in_both_say_nothing():
    a, b = np.array([1.0, 3.0, 0.0]), np.array([2.0, 1.0, 0.0])
    assert symmetric(a, b)[0, 0] == pytest.approx(symmetric(a[:2], b[:2])[0, 0])


def test_hand_case():
    # F_a / (F_a + F_b) = (1, 0), F_b / (F_a + F_b) = (0, 1): orthogonal.
    assert symmetric(np.array([1.0, 0.0]), np.array([0.0, 5.0]))[0, 0] == pytest.approx(1)


def wide(n: int, D: int, seed: int = 0, spread: float = 3.0) -> np.ndarray:
    """Fisher diagonals over many orders of magnitude, some filters dead, tasks of very different norm."""
    rng = np.random.default_rng(seed)
    F = np.exp(rng.normal(-15, spread, (n, D)) + rng.normal(0, 4, (n, 1)))
    return (F * (rng.random((n, D)) > 0.1)).astype(np.float32)


@pytest.mark.parametrize(
    ("n", "D"), [(3, BLOCK - 1), (TILE + 1, BLOCK + 1), (2 * TILE, 2 * BLOCK)], ids=["one tile", "two", "even"]
)
@pytest.mark.parametrize("spread", [0.1, 3.0, 8.0])
def test_float32_keeps_six_digits_of_the_formula(n, D, spread):
    F = wide(n, D, spread=spread)
    found = symmetric(F, F)
    for i in range(0, n, 3):
        for j in range(n):
            assert found[i, j] == pytest.approx(symmetric_distance(F[i].astype(float), F[j].astype(float)), abs=1e-6)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 0)


def test_halves_rectangles_and_threads_give_the_same_digits():
    F = wide(90, 8512)  # above the size from which threads share the work
    square = symmetric(F, F)
    np.testing.assert_array_equal(symmetric(F, F.copy()), square)
    np.testing.assert_array_equal(symmetric(F[3:20], F), square[3:20])
    np.testing.assert_array_equal(symmetric(F[:1], F[5]), square[:1, 5:6])
    np.testing.assert_array_equal(symmetric(np.asfortranarray(F[:20])[:, ::-1][:, ::-1], F), square[:20])


def test_rounds_are_measured_one_by_one():
    a, b = wide(12, 40).reshape(4, 3, 40), wide(8, 40, 1).reshape(4, 2, 40)
    found = symmetric_rounds(a, b)
    assert found.shape == (4, 3, 2)
    for r in range(4):
        np.testing.assert_array_equal(found[r], symmetric(a[r], b[r]))
        np.testing.assert_array_equal(symmetric_rounds(a, a, same=True)[r], symmetric(a[r], a[r]))
    assert symmetric_rounds(a[:0], b[:0]).shape == (0, 3, 2)
    with pytest.raises(ValueError, match="rounds"):
        symmetric_rounds(a, b[:3])
    with pytest.raises(ValueError, match="one dimension"):
        symmetric_rounds(a, b[:, :, 1:])


@pytest.mark.parametrize("scale", [1e-25, 1e-12, 1e12, 1e30])
def test_one_task_may_vanish_beside_the_other(scale):
    # Far below float32's reach once squared; the formula does not care.
    a = np.array([[1.0, 2.0, 3.0, 0.5]], dtype=np.float32)
    b = (np.array([[4.0, 1.0, 2.0, 2.5]]) * scale).astype(np.float32)
    expected = symmetric_distance(a[0].astype(float), b[0].astype(float))
    assert symmetric(a, b)[0, 0] == pytest.approx(expected, abs=1e-6)
    assert symmetric(b, a)[0, 0] == symmetric(a, b)[0, 0]


def test_values_whose_sum_float32_cannot_hold():
    a = np.array([[3e38, 1e38, 2e38]], dtype=np.float32)
    b = np.array([[2e38, 3e38, 1e37]], dtype=np.float32)
    expected = symmetric_distance(a[0].astype(float), b[0].astype(float))
    assert symmetric(a, b)[0, 0] == pytest.approx(expected, abs=1e-9)


def test_what_float32_holds_no_digits_of_counts_as_zero():
    a = np.array([[1.0, 2.0, 1e-40, 0.0]], dtype=np.float32)
    b = np.array([[2.0, 1.0, 0.0, 1e-40]], dtype=np.float32)
    assert symmetric(a, b)[0, 0] == symmetric(a[:, :2], b[:, :2])[0, 0]
    c = np.array([[2.0, 1.0, 1.0, 0.0]], dtype=np.float32)
    assert symmetric(a, c)[0, 0] == pytest.approx(symmetric_distance(a[0], c[0]), abs=1e-6)


def test_no_tasks_no_distances():
    assert symmetric(np.ones((0, 4)), np.ones((2, 4))).shape == (0, 2)
    assert to_trivial(np.ones((0, 4)), 1, np.ones(4)).shape == (0,)


def test_the_trivial_distance_in_parts_is_the_whole(monkeypatch):
    F, samples, prior = wide(7, 20), np.arange(1, 8), np.linspace(1, 2, 20)
    whole = symmetric(precision(F, samples, prior, 1e-3), prior)[:, 0]
    monkeypatch.setattr(distances, "ROWS", 3)
    np.testing.assert_array_equal(to_trivial(F, samples, prior, 1e-3), whole)


def test_cosine_of_a_hand_case_and_of_rows_with_themselves():
    x = np.random.default_rng(0).normal(size=(40, 30))
    found = cosine(x, x)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found, cosine(x, 3 * x), atol=1e-12)
    assert cosine([[1.0, 0.0]], [[1.0, 1.0]])[0, 0] == pytest.approx(1 - np.sqrt(0.5))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one dimension"):
        symmetric(np.ones((1, 2)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="negative"):
        symmetric(-np.ones((1, 2)), np.ones((1, 2)))


def test_complex_sources_come_closer():
    prior = np.ones(4)
    simple, complex_ = np.full(4, 1e-9), np.array([1.0, 0.1, 3.0, 0.5])
    sources = np.stack([simple, complex_])
    trivial = to_trivial(sources, 100, prior, beta=1.0)
    assert trivial[0] < trivial[1]
    moved = asymmetric(np.zeros((1, 2)), trivial, alpha=0.15)
    assert moved[0, 1] < moved[0, 0]


def test_precision_of_no_information_is_the_prior():
    np.testing.assert_array_equal(precision(np.zeros((1, 3)), 50, np.array([1.0, 2.0, 3.0])), [[1.0, 2.0, 3.0]])


def test_credit_by_norm_in_closed_form():
    distance = np.array([[0.2, 0.3, 0.4], [0.5, 0.1, 0.6]])
    norms = np.array([1.0, 2.0, 6.0])  # the median is 2
    expected = distance - 0.1 * np.array([0.5, 1.0, 3.0])
    np.testing.assert_allclose(asymmetric_by_norm(distance, norms, 0.1), expected)
    np.testing.assert_array_equal(asymmetric_by_norm(distance, norms, 0), distance)


@given(hnp.arrays(np.float64, 5, elements=st.floats(1e-6, 1e6)), st.floats(1e-6, 1e6), st.floats(0, 1))
def test_credit_by_norm_has_no_unit_and_grows_with_the_norm(norms, unit, alpha):
    distance = np.zeros((2, 5))
    found = asymmetric_by_norm(distance, norms, alpha)
    np.testing.assert_allclose(asymmetric_by_norm(distance, unit * norms, alpha), found, rtol=1e-9)
    order = np.argsort(norms)
    assert (np.diff(found[0, order]) <= 1e-12 * np.abs(found).max()).all()


def test_credit_by_norm_of_a_missing_embedding_is_missing():
    found = asymmetric_by_norm(np.zeros((1, 3)), np.array([1.0, np.nan, 3.0]), 0.5)
    np.testing.assert_allclose(found, [[-0.25, np.nan, -0.75]])
    assert np.isnan(asymmetric_by_norm(np.zeros((1, 2)), np.full(2, np.nan), 0.5)).all()


def test_cosine_round_by_round_is_each_by_itself():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 1, 5)), rng.normal(size=(3, 4, 5))
    found = cosine_rounds(a, b)
    assert found.shape == (3, 1, 4)
    for r in range(3):
        np.testing.assert_array_equal(found[r], cosine(a[r], b[r]))
