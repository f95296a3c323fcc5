"""Regret on matrices worked out by hand, on the published one, and its properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from t2v_core.selection.regret import best_error, chance_regret, pick_regret, static_scores, summarise

ERRORS = np.array([[10.0, 20, 40], [30, 15, 60], [5, 10, 20]])
ALL = np.ones((3, 3), dtype=bool)
PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "inat_cub_errors.csv"


def test_hand_matrix():
    np.testing.assert_allclose(best_error(ERRORS, ALL), [10, 15, 5])
    np.testing.assert_allclose(pick_regret(ERRORS, ALL, np.tile([1.0, 0, 2], (3, 1))), [100, 0, 100])
    np.testing.assert_allclose(
        chance_regret(ERRORS, ALL), [100 * (70 / 3 - 10) / 10, 100 * (35 - 15) / 15, 133.3333333]
    )
    # On the other tasks expert 0 has means 17.5, 7.5, 20; expert 1 has 12.5, 15, 17.5.
    np.testing.assert_allclose(static_scores(ERRORS, ALL)[:, :2], [[17.5, 12.5], [7.5, 15], [20, 17.5]])
    np.testing.assert_allclose(pick_regret(ERRORS, ALL, static_scores(ERRORS, ALL)), [100, 100, 100])


def test_who_may_not_be_picked_is_not():
    allowed = ALL.copy()
    allowed[0, 0] = False
    assert best_error(ERRORS, allowed)[0] == 20
    assert pick_regret(ERRORS, allowed, np.tile([0.0, 1, 2], (3, 1)))[0] == 0


def test_no_candidate_is_no_answer():
    allowed = ALL.copy()
    allowed[1] = False
    assert np.isnan(pick_regret(ERRORS, allowed, ERRORS)[1])
    assert np.isnan(chance_regret(ERRORS, allowed)[1])
    assert summarise(pick_regret(ERRORS, allowed, ERRORS)).mean == 0


def test_the_offset_saves_a_best_error_of_zero():
    errors = np.array([[0.0, 3]])
    regret = pick_regret(errors, np.ones((1, 2), bool), np.array([[1.0, 0]]), offset=1)
    np.testing.assert_allclose(regret, [300])


@given(hnp.arrays(np.float64, (4, 5), elements=st.floats(1, 90)), st.floats(-5, 5), st.permutations(range(5)))
def test_properties(errors, constant, order):
    allowed = np.ones(errors.shape, dtype=bool)
    assert (pick_regret(errors, allowed, errors) == 0).all()
    scores = np.random.default_rng(0).permutation(20).reshape(4, 5).astype(float)
    picked = pick_regret(errors, allowed, scores)
    assert (picked >= 0).all()
    np.testing.assert_allclose(pick_regret(errors, allowed, scores + constant), picked)
    np.testing.assert_allclose(pick_regret(errors[:, order], allowed, scores[:, order]), picked)


def test_the_interval_holds_the_mean():
    found = summarise(np.array([0.0, 10, 20, 30, np.nan]))
    assert found.mean == 15
    assert 0 <= found.low < 15 < found.high <= 30


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published matrix is not beside the project")
def test_the_published_matrix_gives_the_published_figures():
    errors = pd.read_csv(PUBLISHED, index_col=0).to_numpy(float)
    allowed = ~np.eye(len(errors), dtype=bool)
    assert best_error(errors, allowed).mean() == pytest.approx(31.18, abs=0.005)
    assert summarise(chance_regret(errors, allowed)).mean == pytest.approx(59.77, abs=0.005)
    assert summarise(pick_regret(errors, allowed, static_scores(errors, allowed))).mean == pytest.approx(14.5, abs=0.05)
