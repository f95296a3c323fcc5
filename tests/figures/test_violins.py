"""Violins: each mark at its task and its error, light for many tasks."""

from __future__ import annotations

import json

import numpy as np

from t2v_core.figures.violins import BEST, MARKS, MOST_POINTS, WIDEST, styles, violins
from t2v_core.measuring.run import methods

ERRORS = np.array([[10, 20, np.nan], [40, 20, 30.0]])
BOTH = {BEST: (np.array([10.0, 20]), ["x", "y"]), "static": (np.array([20, np.nan]), ["y", "no expert"])}


def drawn(count: int, experts: int = 5):
    errors = np.random.default_rng(0).uniform(5, 60, (count, experts))
    ids = [f"t{i}" for i in range(count)]
    marks = {BEST: (errors.min(1), ["e"] * count), "static": (errors[:, 0], ["e0"] * count)}
    return errors, violins(ids, [f"task {i}" for i in ids], errors, [f"e{i}" for i in range(experts)], marks)


def test_every_error_stands_at_its_task_under_its_experts_name():
    shape, best, static = violins(["a", "b"], ["task a", "task b"], ERRORS, ["x", "y", "z"], BOTH).data
    found = {(i, c[0], c[2]): y for i, y, c in zip(shape.x, shape.y, shape.customdata, strict=True)}
    assert found == {(0, "a", "x"): 10, (0, "a", "y"): 20, (1, "b", "x"): 40, (1, "b", "y"): 20, (1, "b", "z"): 30}
    assert (best.name, static.name) == (BEST, "static")
    np.testing.assert_array_equal(best.y, [10, 20])
    np.testing.assert_array_equal(static.y, [20, np.nan])
    assert [c[0] for c in static.customdata] == ["a", "b"]
    assert static.customdata[0][2] == "y"


def test_names_stand_below_their_columns():
    axis = violins(["a", "b"], ["task a", "t" * 90], ERRORS, ["x", "y", "z"], BOTH).layout.xaxis
    assert axis.labelalias["0"] == "task a"
    assert len(axis.labelalias["1"]) < 40
    assert axis.dtick == 1


def test_many_tasks_become_bars_of_quantiles():
    errors, figure = drawn(WIDEST + 1)
    whole, half, median, *marks = figure.data
    assert {t.type for t in figure.data} == {"scatter"}
    np.testing.assert_allclose(np.reshape(whole.y, (-1, 3))[:, :2], np.column_stack([errors.min(1), errors.max(1)]))
    np.testing.assert_allclose(np.reshape(half.y, (-1, 3))[:, :2], np.percentile(errors, [25, 75], axis=1).T)
    np.testing.assert_allclose(median.y, np.median(errors, axis=1))
    for trace in json.loads(figure.to_json())["data"][2:]:  # lists in the browser too, to be read by a click
        assert [row[0] for row in trace["customdata"]] == [f"t{i}" for i in range(len(errors))]
    assert len(marks) == 2
    assert drawn(WIDEST)[1].data[0].type == "violin"


def test_two_hundred_tasks_are_light():
    _, figure = drawn(200, experts=60)
    assert len(figure.data) == 5
    assert len(figure.to_json()) < 150_000


def test_very_many_errors_are_drawn_as_a_shape_alone():
    _, figure = drawn(30, MOST_POINTS // 30 + 1)
    assert figure.data[0].points is False
    assert figure.data[0].customdata is None


def test_no_task_is_no_error():
    assert len(violins([], [], np.zeros((0, 3)), ["x", "y", "z"], {BEST: (np.zeros(0), [])}).data) == 2


def test_every_rule_has_a_mark_of_its_own():
    # The rules of a bank with every method measured: eight of their own, and these.
    rules = list(dict.fromkeys([*MARKS, *methods(), "asymmetric + 3 heads", "pseudotask_norm", "mine"]))
    assert "logme" in rules
    found = styles(rules)
    assert list(found) == rules
    assert len({symbol for symbol, _, _ in found.values()}) == len(rules)
