"""Figures of the comparison: layers in order, zeros kept on a logarithmic scale, intervals never negative."""

from __future__ import annotations

import numpy as np
import pandas as pd

from t2v_core.figures.compare import DRAWN, errors_side_by_side, filter_scatter, layer_contributions, pair_distances

LAYERS = pd.DataFrame(
    {
        "layer": ["conv1", "conv2"],
        "filters": [3, 5],
        "share": [0.25, 0.75],
        "difference": [0.1, -0.4],
        "error": [0.05, 0.1],
    }
)


def test_layers_from_the_first_down_with_twice_their_error():
    figure = layer_contributions(LAYERS, "cats", "cars")
    bars, points = figure.data
    assert list(bars.y) == ["conv1", "conv2"]
    assert figure.layout.yaxis.autorange == "reversed"
    np.testing.assert_allclose(bars.x, [25, 75])
    np.testing.assert_allclose(points.error_x.array, [0.1, 0.2])


def test_filters_that_are_zero_stand_at_the_edge():
    filters = pd.DataFrame(
        {
            "layer": ["conv1", "conv1", "conv2"],
            "filter": [0, 1, 0],
            "a": [0.0, 2.0, 3.0],
            "b": [1.0, 0.0, 4.0],
            "contribution": 0.1,
            "difference": 0.0,
            "error": 0.1,
        }
    )
    points, line = filter_scatter(filters, "cats", "cars").data
    np.testing.assert_allclose(points.x, [0.5, 2, 3])
    np.testing.assert_allclose(points.y, [1, 0.5, 4])
    assert list(points.marker.color) == [0, 0, 1]
    np.testing.assert_allclose(line.x, [0.5, 4])
    filter_scatter(filters.assign(a=0.0, b=0.0), "cats", "cars")


def test_of_many_filters_the_largest_parts_are_points_and_the_others_are_counted():
    number = np.arange(DRAWN + 3)
    counted = number < 3  # all three matter to the first task alone
    filters = pd.DataFrame(
        {
            "layer": np.where(number < 5, "conv1", "conv2"),
            "filter": number,
            "a": np.where(counted, 1.0, 1e-3),
            "b": np.where(counted, 1e-3, 1.0),
            "contribution": np.where(counted, 0.1, 1 + number),
            "difference": 0.5,
            "error": 0.1,
        }
    )
    density, points, _ = filter_scatter(filters, "cats", "cars").data
    assert sorted(points.customdata[:, 0]) == list(range(3, DRAWN + 3))
    assert list(points.marker.color[:3]) == [0, 0, 1]
    (row,), (column,) = np.nonzero(density.customdata)
    assert density.customdata[row, column] == 3
    assert density.y[row] <= 1e-3 < density.y[row + 1]
    assert density.x[column] < 1 <= density.x[column + 1] * (1 + 1e-9)


def test_the_nearest_pair_comes_last_which_is_on_top():
    pairs = pd.DataFrame(
        {"a": ["x", "x"], "b": ["y", "z"], "distance": [0.1, 0.3], "low": [0.12, 0.2], "high": [0.2, 0.35]}
    )
    (points,) = pair_distances(pairs).data
    assert list(points.y) == ["x – z", "x – y"]
    np.testing.assert_allclose(points.error_x.arrayminus, [0.1, 0])
    np.testing.assert_allclose(points.error_x.array, [0.05, 0.1])


def test_errors_stand_in_the_order_given_and_names_are_no_markup():
    errors = pd.DataFrame({"<b>x": [1.0, np.nan], "y": [3.0, 4.0]}, index=["<i>first", "second"])
    one, two = errors_side_by_side(errors).data
    assert list(one.y) == ["second", "&lt;i&gt;first"]  # the last is on top
    assert (one.name, two.name) == ("&lt;b&gt;x", "y")
    np.testing.assert_array_equal(two.x, [4, 3])
    assert one.marker.symbol != two.marker.symbol
