"""Norm against error and images: every task with both values is drawn where it belongs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from t2v_core.figures.norms import norm_against_error, norm_against_images
from t2v_core.figures.theme import OTHER

TASKS = pd.DataFrame(
    {
        "name": ["one", "two", "three", "four"],
        "group": ["a", "b", "a", "b"],
        "norm": [1.0, 2.0, np.nan, 4.0],
        "error": [10.0, 20.0, 30.0, np.nan],
        "images": [100, 200, 300, 400],
    },
    index=list("wxyz"),
)


def points(figure):
    return {
        row[0]: (x, y, trace.name)
        for trace in figure.data
        for row, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    }


def test_points_stand_where_the_numbers_say():
    assert points(norm_against_error(TASKS)) == {"w": (1, 10, "a"), "x": (2, 20, "b")}
    assert points(norm_against_images(TASKS)) == {"w": (100, 1, "a"), "x": (200, 2, "b"), "z": (400, 4, "b")}


def test_axes_say_what_they_show():
    figure = norm_against_error(TASKS)
    assert figure.layout.xaxis.type == "log"
    assert "error" in figure.layout.yaxis.title.text
    figure = norm_against_images(TASKS)
    assert figure.layout.yaxis.type == "log"
    assert list(figure.layout.yaxis.tickvals) == [1, 2, 5, 10]
    assert list(figure.layout.xaxis.tickvals) == [100, 200, 500, 1000]
    assert "images" in figure.layout.xaxis.title.text


def test_groups_differ_in_symbol_and_many_become_other():
    many = pd.concat([TASKS.iloc[[0]]] * 13, ignore_index=True).assign(group=[f"g{i:02}" for i in range(13)])
    figure = norm_against_images(many)
    assert len(figure.data) == 11
    assert figure.data[-1].name == OTHER
    assert len(figure.data[-1].x) == 3
    assert len({trace.marker.symbol for trace in figure.data[:-1]}) == 10


def test_nothing_known_draws_nothing():
    assert not norm_against_error(TASKS.assign(norm=np.nan)).data


def test_what_is_chosen_is_brought_out():
    figure = norm_against_error(TASKS, ["w", "gone"])
    assert [(t.name, t.selectedpoints) for t in figure.data] == [("a", (0,)), ("b", ())]
    assert all(t.selectedpoints is None for t in norm_against_error(TASKS, ["gone"]).data)
