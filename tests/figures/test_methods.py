"""Pictures of methods side by side: every number at its place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from t2v_core.figures.methods import agreement_by_layer, by_kind, losses, networks_curve, value_histograms


@pytest.fixture
def table() -> pd.DataFrame:
    rows = {
        "oracle": ("images, labels, every expert", 2.0, 0.0, 0.0, 0.0),
        "pseudotask": ("images", 0.1, 12.0, 8.0, 15.0),
        "tangent": ("images, labels", 0.2, 20.0, 11.0, 31.0),
        "domain": ("not measured", np.nan, 5.0, 4.0, 6.0),
        "chance": ("nothing", 0.0, 90.0, 80.0, 99.0),
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["needs", "target", "twin", "twin_low", "twin_high"])


def test_losses_stand_at_their_rules_the_best_on_top(table):
    figure = losses(table, "twin")
    drawn = {name: x for trace in figure.data for name, x in zip(trace.text, trace.x, strict=True)}
    assert drawn == table["twin"].to_dict()
    assert list(figure.layout.yaxis.categoryarray) == [
        "chance",
        "tangent · 0.2 s",
        "pseudotask · 0.1 s",
        "domain",
        "oracle · 2 s",
    ]
    kernel = next(trace for trace in figure.data if "tangent" in trace.text)
    assert kernel.name == "images, labels"
    assert kernel.error_x.array[0] == 11
    assert kernel.error_x.arrayminus[0] == 9


def test_a_rule_without_a_loss_is_left_out(table):
    table.loc["domain", "twin"] = np.nan
    assert sum(len(trace.x) for trace in losses(table, "twin").data) == len(table) - 1


def test_kinds_side_by_side():
    part = pd.DataFrame({"kind": ["mixed", "twin"], "mean": [9.0, 4.0], "low": [7.0, 1.0], "high": [12.0, 6.0]})
    figure = by_kind({"kernel": part, "other": part[:1]}, {"twin": "Twins", "mixed": "Mixtures"})
    assert list(figure.data[0].x) == list(figure.layout.xaxis.tickvals) == ["Twins", "Mixtures"]
    assert list(figure.data[0].y) == [4, 9]
    np.testing.assert_array_equal(figure.data[0].error_y.array, [2, 3])
    assert np.isnan(figure.data[1].y[0])


def test_networks_with_lines_to_compare():
    table = pd.DataFrame({"networks": [1, 12], "batches": [12, 1], "mean": [30.0, 3], "low": [20, 1], "high": [40, 6]})
    figure = networks_curve(table, {"chance": 90.0})
    assert list(figure.data[0].x) == ["1", "12"]
    assert list(figure.data[0].y) == [30, 3]
    assert figure.layout.shapes[0].y0 == 90


def test_values_stand_in_the_middle_of_their_bins():
    figure = value_histograms([-1, 0, 1], {"a": [0.25, 0.75], "b": [1, 0]})
    np.testing.assert_allclose(figure.data[0].x, [10**-0.5, 10**0.5])
    np.testing.assert_allclose(figure.data[0].y, [25, 75])
    assert [trace.name for trace in figure.data] == ["a", "b"]


def test_nothing_to_draw_is_no_error(table):
    assert len(losses(table[:0], "twin").data) == 0
    assert len(value_histograms([0, 1], {}).data) == 0


def test_agreement_shows_the_median_and_the_range_of_every_layer():
    (trace,) = agreement_by_layer(["stem", "last"], [[0.1, 0.9], [0.5, 0.7], [0.3, 0.8]]).data
    assert list(trace.x) == ["stem", "last"]
    np.testing.assert_allclose(trace.y, [0.3, 0.8])
    np.testing.assert_allclose(trace.error_y.array, [0.2, 0.1])
    np.testing.assert_allclose(trace.error_y.arrayminus, [0.2, 0.1])
