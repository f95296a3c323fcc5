"""Distances against their slow twins, and their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from t2v_core.space.distances import asymmetric, cosine, precision, symmetric, to_trivial
from t2v_core.space.projection import classical_scaling, place, tsne
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


def test_classical_scaling_recovers_a_plane():
    points = np.random.default_rng(0).normal(size=(12, 2))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = classical_scaling(distance)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found[None], axis=2), distance, atol=1e-8)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_maps_of_few_tasks(count):
    points = np.arange(count, dtype=float)
    found = tsne(np.abs(points[:, None] - points[None]))
    assert found.shape == (count, 2)
    assert np.isfinite(found).all()


def test_tsne_repeats_and_keeps_groups_together():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(15, 3)), rng.normal(size=(15, 3)) + 12])
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = tsne(distance)
    np.testing.assert_array_equal(found, tsne(distance))
    gap = np.linalg.norm(found[:15].mean(0) - found[15:].mean(0))
    assert gap > 2 * np.linalg.norm(found[:15] - found[:15].mean(0), axis=1).mean()


def test_a_new_task_lands_among_its_nearest():
    coordinates = np.array([[0.0, 0], [1, 0], [0, 1], [50, 50], [51, 50], [50, 51]])
    x, y = place(coordinates, np.array([[0.9, 0.8, 0.9, 0.1, 0.2, 0.2]]), neighbours=3)[0]
    assert 50 <= x <= 51
    assert 50 <= y <= 51
    np.testing.assert_allclose(place(coordinates, np.array([[1.0, 1, 1, 0, 1, 1]]), 1)[0], [50, 50])
