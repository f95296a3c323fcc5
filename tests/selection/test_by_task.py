"""An audit task by task, on small matrices worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from t2v_core.embedding.record import TASK2VEC
from t2v_core.selection.audit import audit
from t2v_core.selection.by_task import candidate_table, in_order, norms, picks, reason, score_words, task_table
from t2v_core.selection.regret import picked
from t2v_core.selection.selectors import Given, TwoStage
from tests.selection.metas import embedded_meta, make_meta

ERRORS = [[10, 20, 30], [40, 20, 20], [50, 40, 10]]
SCORES = [[0.3, 0.1, 0.2], [0.5, 0.5, 0.9], [np.nan, np.nan, np.nan]]


@pytest.fixture
def found():
    mine = Given("mine", "the lowest number", np.array(SCORES))
    return audit(make_meta(ERRORS, generic=np.array([15.0, 25, 35])), [mine, TwoStage(mine, 2)])


def test_tasks_stand_by_norm_and_those_without_one_after_them_by_best_error():
    meta = embedded_meta(tasks=6, experts=3)
    targets = np.ones((6, 2)) * np.array([3.0, np.nan, 1, 2, np.nan, 4])[:, None]
    errors = np.array([[9, 9, 9], [8, 7, 9], [1, 2, 3], [np.nan] * 3, [5, 6, 7], [4, 4, 4]])
    meta = replace(meta, errors=errors, vectors=replace(meta.vectors, targets={TASK2VEC: targets}))
    np.testing.assert_array_equal(norms(meta), [6, np.nan, 2, 4, np.nan, 8])
    assert in_order(meta).tolist() == [2, 0, 5, 4, 1]  # task 3 was never measured
    assert in_order(replace(meta, vectors=None)).tolist() == [2, 5, 4, 1, 0]


def test_what_is_picked_is_named_and_ties_are_said(found):
    assert picks(found, "mine") == ["e1", "one of 2 experts at random", "no expert"]
    assert picks(found, "chance") == ["one of 3 experts at random"] * 3
    assert picks(found, "generic") == ["the network before fine-tuning"] * 3
    # Mean errors on the others: 45, 30, 15 for the first task; 30, 30, 20; 25, 20, 25.
    assert picks(found, "static") == ["e2", "e2", "e1"]


def test_the_table_has_one_row_a_task(found):
    table = task_table(found, ["static", "mine"])
    assert table["task"].tolist() == ["t0", "t1", "t2"]
    assert table["best_expert"].tolist() == ["e0", "e1", "e2"]
    assert table["best_error"].tolist() == [10, 20, 10]
    assert table["static_error"].tolist() == [30, 20, 40]
    np.testing.assert_allclose(table["static_increase"], [200, 0, 300])
    np.testing.assert_allclose(table["mine_error"], [20, 30, np.nan])
    assert table["candidates"].tolist() == [3, 3, 3]
    assert table["norm"].isna().all()


def test_a_task_without_measured_candidates_has_no_best_expert():
    table = task_table(audit(make_meta([[np.nan, np.nan], [3, 4]]), []), [])
    assert table["best_expert"].tolist() == ["", "e0"]
    assert table["candidates"].tolist() == [0, 2]


def test_candidates_come_best_first_with_their_ranks(found):
    table = candidate_table(found, 1, ["static", "mine"])
    assert table.index.tolist() == ["e1", "e2", "e0"]
    assert table["error"].tolist() == [20, 20, 40]
    assert table["place"].tolist() == [1, 1, 3]
    assert table["mine rank"].tolist() == [1, 3, 1]
    assert table["static rank"].tolist() == [2, 1, 2]  # means over the tasks 0 and 2: 30, 30, 20
    assert candidate_table(found, 2, ["mine"])["mine rank"].isna().all()


@settings(max_examples=40, deadline=None)
@given(arrays(float, (4, 3), elements=st.integers(1, 9)), arrays(float, (4, 3), elements=st.integers(0, 3)))
def test_the_first_ranks_are_what_the_rule_picks(errors, scores):
    found = audit(make_meta(errors), [Given("mine", "", scores)])
    for task in range(4):
        table = candidate_table(found, task, ["mine"])
        first = table.index[table["mine rank"] == 1]
        assert set(first) == {f"e{e}" for e in np.flatnonzero(picked(errors, scores)[task])}
        assert found.judged["mine"].error[task] == pytest.approx(table.loc[first, "error"].mean())
        assert table["place"].is_monotonic_increasing


def test_who_may_not_be_picked_is_no_candidate():
    allowed = np.array([[False, True], [True, True]])
    found = audit(make_meta([[1, 5], [2, 3]], allowed=allowed), [])
    assert candidate_table(found, 0, []).index.tolist() == ["e1"]


def test_reasons_say_whom_why_and_at_what_cost(found):
    assert reason(found, 0, "mine") == (
        "e1: first of 3 by the lowest number. That means an error of 20.0 % where the best expert has 10.0 % "
        "(place 2 of 3)."
    )
    assert reason(found, 1, "mine").startswith("one of 2 experts at random: first of 3")
    assert reason(found, 2, "mine") == "names no expert for this task."
    assert reason(found, 1, "static") == (
        "e2: lowest mean error on the other tasks, 20.0 %. That means an error of 20.0 %, the best possible."
    )
    assert "any of 3 candidates at random: an error of 20.0 %" in reason(found, 0, "chance")
    assert "only the network before fine-tuning: an error of 15.0 %" in reason(found, 0, "generic")
    assert "best of 2 whose heads were fitted (e1, e2)" in reason(found, 0, "mine + 2 heads")


def test_an_expert_called_otherwise_than_its_task_is_explained(found):
    assert reason(found, 0, "mine", {"e1": "birds"}).startswith("e1, trained on birds: first")
    assert "trained on" not in reason(found, 0, "mine", {"e1": "e1"})


def test_distances_are_given_as_numbers():
    meta = make_meta(ERRORS)
    found = audit(meta, [Given("symmetric", "", np.array([[0.3, 0.1234, 0.2]] * 3))])
    assert "distance 0.1234, the smallest of 3" in reason(found, 0, "symmetric")
    assert score_words("symmetric") == "distance (symmetric)"
    assert score_words("static") == "mean error on the other tasks, %"
    assert "lower is better" in score_words("mine")
