"""The audit on matrices worked out by hand and on the published one; what it says in words, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.errors import InputError
from t2v_core.selection.audit import audit
from t2v_core.selection.published import published
from t2v_core.selection.regret import Estimate
from t2v_core.selection.selectors import Given
from t2v_core.selection.words import listed, verdict
from tests.selection.metas import make_meta

META = make_meta([[10, 20, 40], [30, 15, 60], [5, 10, 20]], generic=np.array([20.0, 15, 10]))


def given_scores(scores) -> Given:
    return Given("mine", "my scores", np.asarray(scores, dtype=float))


def test_by_hand():
    found = audit(META, [given_scores(np.tile([1.0, 0, 2], (3, 1)))])
    assert found.optimal.mean == 10
    mine, static = found.judged["mine"], found.judged["static"]
    np.testing.assert_allclose(mine.error, [20, 15, 10])
    np.testing.assert_allclose(mine.regret, [100, 0, 100])
    assert mine.increase.mean == pytest.approx(200 / 3)
    assert static.increase.mean == 100
    assert mine.gains["static"].mean == pytest.approx(100 / 3)
    assert mine.gains["generic"] == Estimate(0, 0, 0, 3)
    assert {k: hit.mean for k, hit in mine.hits.items()} == {1: pytest.approx(1 / 3), 3: 1, 5: 1}
    assert list(found.judged) == ["chance", "generic", "static", "mine"]
    assert found.notes == ()


def test_the_published_figures():
    meta = published()
    found = audit(meta, [given_scores(meta.errors)])
    assert found.optimal.mean == pytest.approx(31.18, abs=0.005)
    assert found.judged["chance"].increase.mean == pytest.approx(59.77, abs=0.005)
    assert found.judged["static"].increase.mean == pytest.approx(14.5, abs=0.05)
    oracle = found.judged["mine"]  # the errors themselves as its scores
    assert oracle.increase == Estimate(0, 0, 0, 50)
    assert oracle.tau.mean == pytest.approx(1)
    assert oracle.hits[1].mean == 1
    assert "generic" not in found.judged


def test_the_published_taxonomy():
    meta = published()
    places = dict(zip(meta.tasks, meta.paths, strict=True))
    assert places["[CUB] Icteridae (Aves)"] == ("Animalia", "Chordata", "Aves", "Passeriformes", "Icteridae")
    assert places["[iNat] Passeriformes (Aves)"] == ("Animalia", "Chordata", "Aves", "Passeriformes")
    assert places["[iNat] Fabales (Magnoliopsida)"] == ("Plantae", "Tracheophyta", "Magnoliopsida", "Fabales")
    for task, path in places.items():
        assert f"({path[2]})" in task
        assert f" {path[-1]} " in task
    assert meta.kinds.count("CUB") == meta.kinds.count("iNat") == 25
    assert (meta.allowed == ~np.eye(50, dtype=bool)).all()


def test_paired_differences_are_narrower_than_their_parts():
    """Two rules that fail on the same tasks differ by a constant: the interval of the difference has no width."""
    errors = np.column_stack([np.full(40, 10.0), *(np.linspace(20, 90, 40) + d for d in (0, 1, 2))])
    meta = make_meta(errors)
    found = audit(
        meta,
        [
            given_scores(np.tile([1.0, 0, 2, 3], (40, 1))),
            replace(given_scores(np.tile([1.0, 2, 0, 3], (40, 1))), label="other"),
        ],
    )
    gain = found.judged["mine"].gains["other"]
    assert (gain.low, gain.mean, gain.high) == pytest.approx((10, 10, 10))
    assert found.judged["mine"].increase.high - found.judged["mine"].increase.low > 50


@given(st.integers(0, 10), st.floats(-9, 9))
def test_a_constant_changes_nothing_and_the_oracle_loses_nothing(seed, constant):
    rng = np.random.default_rng(seed)
    meta = make_meta(rng.uniform(1, 90, (6, 4)))
    scores = rng.integers(0, 30, (6, 4)).astype(float)
    plain, moved, oracle = (
        audit(meta, [s]).judged[s.name]
        for s in (given_scores(scores), given_scores(scores + round(constant)), given_scores(meta.errors))
    )
    assert plain.increase == moved.increase
    assert plain.tau == moved.tau
    assert plain.hits == moved.hits
    assert (oracle.increase.mean, oracle.increase.high) == (0, 0)


def test_the_seed_decides_the_draws():
    meta = make_meta(np.random.default_rng(0).uniform(1, 90, (9, 4)))
    first, again, other = (audit(meta, [], seed=s).judged["chance"].increase for s in (0, 0, 1))
    assert first == again
    assert first.mean == other.mean
    assert first.low != other.low


def test_missing_errors_are_told_and_left_out():
    errors = META.errors.copy()
    errors[0, 0] = np.nan
    errors[1] = np.nan
    found = audit(replace(META, errors=errors), [given_scores([[0.0, 1, 2], [0, 1, 2], [np.nan, np.nan, 1]])])
    assert found.missing == 4
    assert found.optimal == replace(found.optimal, mean=12.5, tasks=2)
    np.testing.assert_allclose(found.judged["mine"].regret, [0, np.nan, 300])
    assert found.notes[0] == "Missing: 4 of 9 errors; the audit covers what is there."
    assert found.notes[1] == "No candidate was measured on 't1'; left out."
    assert "Without a score by mine: 2 pairs of a task and a candidate" in found.judged["mine"].notes[0]


def test_scores_that_name_nobody_are_told():
    found = audit(META, [given_scores([[0, 1, 2], [np.nan] * 3, [1, 1, 2]])])
    assert found.judged["mine"].increase.tasks == 2
    assert "name no candidate for 't1'" in found.judged["mine"].notes[0]
    assert "tied on 1 task;" in found.judged["mine"].notes[1]
    assert not found.notes and not found.judged["static"].notes


def test_intervals_stay_within_what_errors_can_be():
    few = make_meta([[1, 30], [40, 90], [2, 50]], generic=np.array([0.1, 90.0, 0.2]))
    found = audit(few, [given_scores([[0, 1]] * 3)])
    assert found.optimal.low == 0
    assert found.judged["generic"].increase.low == -100
    assert found.judged["mine"].increase.low == 0


def test_one_task_has_no_interval():
    found = audit(make_meta([[10, 20]]), [given_scores([[1, 0]])])
    mine = found.judged["mine"]
    assert mine.increase.mean == 100
    assert np.isnan([mine.increase.low, mine.increase.high]).all()
    assert "only one task" in found.notes[0]
    assert mine.verdict.endswith("; 50.0 points worse than chance on the only task, which proves nothing.")


def test_equal_experts_leave_nothing_to_select():
    found = audit(make_meta([[10, 10], [0, 0]]), [given_scores([[1, 0], [0, 1]])])
    assert found.judged["mine"].increase == Estimate(0, 0, 0, 2)
    assert "nothing to select" in found.judged["mine"].verdict


def test_shares_are_suspected():
    assert "multiplied by 100" in audit(make_meta([[0.1, 0.2], [0.3, 0.9]]), []).notes[0]


def test_a_best_error_of_zero_needs_the_offset():
    meta = make_meta([[0, 3], [10, 20]])
    with pytest.raises(InputError, match=r"0 for 't0'.*--denominator-offset 1"):
        audit(meta, [])
    found = audit(meta, [given_scores([[1, 0], [0, 1]])], offset=1)
    np.testing.assert_allclose(found.judged["mine"].regret, [300, 0])


@pytest.mark.parametrize("offset", [-1, np.inf, np.nan])
def test_the_offset_is_a_number_from_0_up(offset):
    with pytest.raises(InputError, match="offset"):
        audit(META, [], offset=offset)


def test_without_errors_there_is_nothing_to_judge():
    with pytest.raises(InputError, match="nothing to judge by"):
        audit(replace(META, allowed=np.zeros((3, 3), dtype=bool)), [])


def test_verdicts():
    cost = Estimate(9.4, 5, 14, 50)
    gains = {"chance": Estimate(50, 40, 61.2, 50), "static": Estimate(5.1, 2, 8.2, 50)}
    assert verdict(cost, gains, False) == (
        "Loses 9.4 % [5.0, 14.0] against the best expert; beats static by 5.1 points [2.0, 8.2]; "
        "beats chance by 50.0 points [40.0, 61.2]."
    )
    assert "; loses to static by 5.1 points [2.0, 8.2]." in verdict(
        cost, {"static": Estimate(-5.1, -8.2, -2, 50)}, False
    )
    assert "cannot be told apart from static (-0.5 points better [-2.0, 1.0])" in verdict(
        cost, {"static": Estimate(-0.5, -2, 1, 50)}, False
    )
    assert verdict(Estimate(np.nan, np.nan, np.nan, 0), {}, False) == "It names no candidate on any task."


def test_long_lists_are_cut():
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(list("abcde")) == "'a', 'b', 'c' and 2 more"
