"""Rank correlation against SciPy and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2v_core.space.correlation import LEAST, rank_correlation


def test_a_case_by_hand():
    found = rank_correlation(np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5]))
    assert found.rho == pytest.approx(1 - 6 * 4 / (5 * 24))
    z = np.arctanh(0.8)
    assert found.high == pytest.approx(np.tanh(z + 1.96 * np.sqrt(1.32 / 2)))
    assert found.low == pytest.approx(np.tanh(z - 1.96 * np.sqrt(1.32 / 2)))
    assert found.tasks == 5


def test_missing_values_are_left_out():
    x, y = np.arange(9.0), np.arange(9.0)[::-1].copy()
    x[0], y[8] = np.nan, np.nan
    found = rank_correlation(x, y)
    assert (found.rho, found.low, found.high, found.tasks) == (-1, -1, -1, 7)


@pytest.mark.parametrize("x", [np.arange(LEAST - 1.0), np.ones(20), np.full(20, np.nan)])
def test_what_cannot_be_known_is_nan(x):
    found = rank_correlation(x, np.arange(float(len(x))))
    assert np.isnan([found.rho, found.low, found.high]).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(LEAST, 40))
def test_only_ranks_count_and_the_interval_holds_rho(seed, n):
    rng = np.random.default_rng(seed)
    x, y = rng.random(n), rng.random(n)
    found = rank_correlation(x, y)
    assert rank_correlation(np.exp(9 * x), y**3) == found
    assert rank_correlation(y, x).rho == pytest.approx(found.rho)
    assert -1 <= found.low <= found.rho <= found.high <= 1


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    r, truth = 0.6, 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's rho of a normal pair
    pairs = rng.multivariate_normal([0, 0], [[1, r], [r, 1]], (600, 40))
    found = [rank_correlation(p[:, 0], p[:, 1]) for p in pairs]
    assert 0.92 < np.mean([f.low <= truth <= f.high for f in found]) < 0.98
