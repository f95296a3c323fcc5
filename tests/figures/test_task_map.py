"""The task map: every task once, groups or values as colours, what is chosen brought out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from t2v_core.figures.task_map import ring, task_map
from t2v_core.figures.theme import OTHER


@pytest.fixture
def tasks() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    count = 30
    return pd.DataFrame(
        {
            "id": [f"t{i}" for i in range(count)],
            "name": [f"<b>task {i}" for i in range(count)],
            "path": "a › b",
            "classes": 2,
            "images": 100,
            "accuracy": "90%",
            "group": [f"g{i % 14:02d}" for i in range(count)],
            "x": rng.normal(size=count),
            "y": rng.normal(size=count),
            "upload": [i == 3 for i in range(count)],
        }
    )


def ids(trace) -> list[str]:
    return [row[0] for row in trace.customdata]


def test_names_are_shown_letter_by_letter(tasks):
    figure = task_map(tasks.assign(group="<i>" + "g" * 40))
    assert figure.data[0].name == "&lt;i&gt;" + "g" * 24 + "…"
    assert figure.data[0].customdata[0][1] == "&lt;b&gt;task 0"
    assert figure.data[-1].text[0] == "&lt;b&gt;task 3"


def test_every_task_is_drawn_once(tasks):
    figure = task_map(tasks)
    assert sorted(i for t in figure.data for i in ids(t)) == sorted(tasks["id"])
    assert figure.data[-1].name == "your uploads"
    assert ids(figure.data[-1]) == ["t3"]
    assert len(figure.data) == 12  # ten groups, "other", uploads
    assert OTHER in [t.name for t in figure.data]


def test_what_is_chosen_is_marked_in_its_own_trace(tasks):
    chosen = ["t3", "t7", "t29", "gone"]
    marked = [i for t in task_map(tasks, chosen).data for i in np.array(ids(t))[list(t.selectedpoints)]]
    assert sorted(marked) == ["t29", "t3", "t7"]
    assert all(t.selectedpoints is None for t in task_map(tasks).data)


def test_values_are_drawn_on_one_scale(tasks):
    tasks["group"] = np.linspace(0, 1, len(tasks))
    figure = task_map(tasks, colour_title="norm")
    assert len(figure.data) == 2
    assert figure.data[0].marker.colorbar.title.text == "norm"
    np.testing.assert_allclose(figure.data[0].marker.color, tasks.loc[~tasks["upload"], "group"])
    assert "norm %{marker.color" in figure.data[0].hovertemplate


def test_a_map_has_the_colours_it_is_given(tasks):
    figure = task_map(tasks, colours={"g01": "#123456", "g13": "#654321", "not here": "#111111", OTHER: "#999999"})
    found = {trace.name: trace.marker.color for trace in figure.data if trace.name != "your uploads"}
    assert found == {"g01": "#123456", "g13": "#654321", OTHER: "#999999"}
    assert sorted(i for trace in figure.data for i in ids(trace)) == sorted(tasks["id"])


def test_a_ring_stands_around_a_place_whatever_the_zoom(tasks):
    figure = task_map(tasks).add_shape(ring(0.5, -2.0))
    (shape,) = figure.layout.shapes
    assert (shape.xanchor, shape.yanchor, shape.xsizemode, shape.ysizemode) == (0.5, -2.0, "pixel", "pixel")
    assert shape.x0 == -shape.x1


def test_lines_lead_to_the_neighbours_that_are_shown(tasks):
    lines = task_map(tasks, links=("t0", ["t1", "hidden", "t2"])).data[0]
    places = tasks.set_index("id")
    assert list(lines.x) == [*places.loc[["t0", "t1"], "x"], None, *places.loc[["t0", "t2"], "x"], None]


def test_a_cloud_is_drawn_last(tasks):
    cloud = np.arange(8.0).reshape(4, 2)
    trace = task_map(tasks, cloud=cloud).data[-1]
    np.testing.assert_array_equal(np.c_[trace.x, trace.y], cloud)


def test_letters_stand_beside_the_tasks_that_are_shown(tasks):
    trace = task_map(tasks, labels={"t2": "1", "hidden": "2", "t0": "<3>"}).data[-1]
    np.testing.assert_array_equal(np.c_[trace.x, trace.y], tasks.set_index("id").loc[["t2", "t0"], ["x", "y"]])
    assert trace.text == ("<b>1</b>", "<b>&lt;3&gt;</b>")
    assert len(set(trace.textposition)) == 2
