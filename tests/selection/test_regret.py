"""Regret on matrices worked out by hand, on the published one, and its properties."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import weightedtau

from t2v_core.selection.published import published
from t2v_core.selection.regret import (
    MOST_EXPERTS,
    best_error,
    best_first,
    chosen_error,
    estimates,
    hit_rate,
    picked,
    relative_increase,
    static_scores,
    weighted_tau,
)

ERRORS = np.array([[10.0, 20, 40], [30, 15, 60], [5, 10, 20]])
NONE = np.nan

small = hnp.arrays(np.float64, (4, 5), elements=st.integers(1, 9).map(float))


def regret(errors: np.ndarray, scores: np.ndarray, offset: float = 0.0) -> np.ndarray:
    return relative_increase(chosen_error(errors, scores), best_error(errors), offset)


def test_hand_matrix():
    np.testing.assert_allclose(best_error(ERRORS), [10, 15, 5])
    np.testing.assert_allclose(regret(ERRORS, np.tile([1.0, 0, 2], (3, 1))), [100, 0, 100])
    # A constant score is a uniform pick.
    np.testing.assert_allclose(
        regret(ERRORS, np.zeros((3, 3))), [100 * (70 / 3 - 10) / 10, 100 * (35 - 15) / 15, 133.3333333]
    )
    # On the other tasks expert 0 has means 17.5, 7.5, 20; expert 1 has 12.5, 15, 17.5.
    np.testing.assert_allclose(static_scores(ERRORS)[:, :2], [[17.5, 12.5], [7.5, 15], [20, 17.5]])
    np.testing.assert_allclose(regret(ERRORS, static_scores(ERRORS)), [100, 100, 100])


def test_static_gains_nothing_by_not_being_measured_on_the_hard_tasks():
    # On every task expert 0 is the best; expert 2 was measured on the easy ones alone, where it errs less than 0 does
    # on the hard ones.
    errors = np.array([[2.0, 40, 6]] * 5 + [[35.0, 60, NONE]] * 5)
    scores = static_scores(errors)
    assert picked(errors, scores).argmax(1).tolist() == [0] * 10
    # Of the other nine tasks the first sees four easy (mean 16) and five hard ones (mean 47.5).
    level = (4 * 16 + 5 * 47.5) / 9
    np.testing.assert_allclose(
        scores[0], [(4 * -14 + 5 * -12.5) / 9 + level, (4 * 24 + 5 * 12.5) / 9 + level, level - 10]
    )


@settings(deadline=None)
@given(small)
def test_static_of_a_whole_matrix_is_the_mean_over_the_other_tasks(errors):
    others = np.array([np.delete(errors, t, axis=0).mean(0) for t in range(len(errors))])
    np.testing.assert_allclose(static_scores(errors), others)


def test_many_experts_are_ranked_without_looking_at_all_pairs():
    rng = np.random.default_rng(0)
    errors, scores = rng.integers(0, 500, (2, 2, MOST_EXPERTS + 200)).astype(float)
    whole = [weightedtau(-s, -e).statistic for s, e in zip(scores, errors, strict=True)]
    np.testing.assert_allclose(weighted_tau(errors, scores), whole)
    few = weighted_tau(errors[:, :MOST_EXPERTS], scores[:, :MOST_EXPERTS])
    np.testing.assert_allclose(few[0], weightedtau(-scores[0, :MOST_EXPERTS], -errors[0, :MOST_EXPERTS]).statistic)


def test_who_is_no_candidate_is_not_picked():
    errors = ERRORS.copy()
    errors[0, 0] = NONE
    assert best_error(errors)[0] == 20
    assert regret(errors, np.tile([0.0, 1, 2], (3, 1)))[0] == 0
    assert best_first(errors, np.tile([0.0, 2, 1], (3, 1)))[0].tolist() == [2, 1, 0]


def test_no_candidate_or_no_score_is_no_answer():
    errors = ERRORS.copy()
    errors[1] = NONE
    scores = np.zeros((3, 3))
    scores[2] = NONE
    assert np.isnan(regret(errors, scores)).tolist() == [False, True, True]
    assert np.isnan(hit_rate(errors, scores, 1)).tolist() == [False, True, True]
    assert np.isnan(weighted_tau(errors, scores)).all()


def test_the_offset_saves_a_best_error_of_zero():
    errors = np.array([[0.0, 3]])
    np.testing.assert_allclose(regret(errors, np.array([[1.0, 0]]), offset=1), [300])
    assert regret(errors, np.array([[0.0, 1]])) == 0


@given(small, st.integers(0, 4), st.permutations(range(5)))
def test_properties(errors, constant, order):
    assert (regret(errors, errors) == 0).all()
    scores = np.random.default_rng(constant).integers(0, 3, (4, 5)).astype(float)
    found = regret(errors, scores)
    assert (found >= 0).all()
    np.testing.assert_array_equal(regret(errors, scores + constant), found)
    np.testing.assert_allclose(regret(errors[:, order], scores[:, order]), found, atol=1e-9)
    np.testing.assert_array_equal(picked(errors[:, order], scores[:, order]), picked(errors, scores)[:, order])


@given(small.filter(lambda m: len(np.unique(m)) > 1), st.integers(1, 5), st.integers(0, 9))
def test_the_hit_rate_is_that_of_all_orders_of_the_tied(errors, k, seed):
    scores = np.random.default_rng(seed).integers(0, 3, (4, 5)).astype(float)
    for row, hit in enumerate(hit_rate(errors, scores, k)):
        orders = [o for o in permutations(range(5)) if (np.diff(scores[row][list(o)]) >= 0).all()]
        best = set(np.flatnonzero(errors[row] == errors[row].min()))
        assert hit == pytest.approx(np.mean([bool(best & set(o[:k])) for o in orders]))


@given(small, small, st.integers(0, 2**20 - 1))
def test_weighted_tau_is_scipys_ties_gaps_and_all(errors, scores, gaps):
    unknown = (gaps >> np.arange(errors.size).reshape(errors.shape) & 1).astype(bool)
    found = weighted_tau(errors, np.where(unknown, NONE, scores))
    for e, s, tau in zip(
        *([row[~gone] for row, gone in zip(whole, unknown, strict=True)] for whole in (errors, scores)),
        found,
        strict=True,
    ):
        if len(e) > 1 and np.ptp(e) > 0 and np.ptp(s) > 0:
            assert tau == pytest.approx(weightedtau(-s, -e).statistic, abs=1e-12)
        else:
            assert np.isnan(tau)


def test_weighted_tau_by_hand():
    """Three experts in the orders 0 1 2 and 0 2 1: pairs weigh 1/r + 1/s, averaged over both rankings."""
    errors, scores = np.array([[1.0, 2, 3]]), np.array([[1.0, 3, 2]])
    by_one = [(1 + 1 / 2, 1), (1 + 1 / 3, 1), (1 / 2 + 1 / 3, -1)]
    expected = sum(w * s for w, s in by_one) / sum(w for w, _ in by_one)
    np.testing.assert_allclose(weighted_tau(errors, scores), [expected])
    np.testing.assert_allclose(weighted_tau(errors, errors), [1])
    np.testing.assert_allclose(weighted_tau(errors, -errors), [-1])


def test_intervals_leave_out_what_is_unknown_and_need_two_tasks():
    found, one, nothing = estimates(
        np.column_stack([[0.0, 10, 20, 30, NONE], [7, NONE, NONE, NONE, NONE], np.full(5, NONE)])
    )
    assert found.mean == 15
    assert found.tasks == 4
    assert found.low < 15 < found.high
    assert (one.mean, one.tasks) == (7, 1)
    assert np.isnan([one.low, one.high, nothing.mean, nothing.low]).all()
    assert nothing.as_json() == {"mean": None, "low": None, "high": None, "tasks": 0}


def test_the_interval_is_that_of_a_loop_over_rounds():
    values = np.random.default_rng(3).exponential(size=12)
    rng = np.random.default_rng(5)
    drawn = rng.integers(0, 12, (500, 12))
    means = [np.mean([values[t] for t in tasks]) for tasks in drawn]
    found = estimates(values[:, None], rounds=500, seed=5)[0]
    mean = values.mean()
    wider = 2.200985 / 1.959964 * np.sqrt(12 / 11)  # t with 11 degrees of freedom over the normal's
    np.testing.assert_allclose(
        [found.low, found.high], mean + wider * (np.percentile(means, [2.5, 97.5]) - mean), rtol=1e-5
    )
    assert estimates(values[:, None], rounds=500, seed=6)[0] != found


def test_an_interval_is_cut_to_what_can_be_and_what_is_undefined_stays_so():
    found, one = estimates(np.array([[0.0, 0.0, 9.0], [7.0, np.nan, np.nan]]).T)
    assert found.low < 0 < found.high
    assert (found.within(0).low, found.within(0, 5).high) == (0, 5)
    assert np.isnan([one.within(0, 1).low, one.within(0, 1).high]).all()


@pytest.mark.parametrize("tasks", [2, 3, 5, 9, 20])
def test_few_tasks_prove_little(tasks):
    """Of differences that mean nothing, about one in twenty looks like something, however few tasks there are."""
    rng = np.random.default_rng(0)
    found = estimates(rng.normal(size=(tasks, 600)), rounds=500)
    assert np.mean([e.low > 0 or e.high < 0 for e in found]) < 0.09


def test_the_interval_narrows_as_tasks_come_in():
    width = [(e := estimates(np.random.default_rng(0).normal(size=(n, 1)))[0]).high - e.low for n in (25, 400)]
    assert width[1] == pytest.approx(width[0] / 4, rel=0.3)


def test_the_published_matrix_gives_the_published_figures():
    meta = published()
    errors = meta.candidate_errors
    assert meta.best.mean() == pytest.approx(31.18, abs=0.005)
    assert regret(errors, np.zeros(errors.shape)).mean() == pytest.approx(59.77, abs=0.005)
    assert regret(errors, static_scores(errors)).mean() == pytest.approx(14.5, abs=0.05)
