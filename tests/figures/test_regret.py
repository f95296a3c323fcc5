"""Pictures of an audit: means at their rules, intervals around them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from t2v_core.figures.regret import alpha_curve, regret_intervals
from t2v_core.selection.audit import audit as judge
from t2v_core.selection.audit import audit_table
from t2v_core.selection.selectors import Given
from tests.selection.metas import make_meta


def test_the_first_rule_is_on_top_with_its_interval_and_its_difference_to_static():
    meta = make_meta([[10, 20, 30], [40, 20, 25], [50, 40, 10]])
    found = judge(meta, [Given("oracle", "", meta.errors)])
    rows = audit_table({"all": found})
    loss, gain = regret_intervals(rows).data
    assert list(loss.y) == ["oracle", "static", "chance"]
    row = rows.set_index("rule").loc["chance"]
    assert loss.x[2] == row["mean"]
    np.testing.assert_allclose(loss.x[2] + loss.error_x.array[2], row["high"])
    np.testing.assert_allclose(loss.x[2] - loss.error_x.arrayminus[2], row["low"])
    assert loss.x[0] == 0  # the oracle loses nothing
    assert gain.x[0] == rows.set_index("rule").loc["static", "mean"]
    assert np.isnan(gain.x[1])  # static is not compared with itself


def test_alpha_is_drawn_with_its_interval_and_the_one_in_use():
    table = pd.DataFrame({"alpha": [0, 0.15], "mean": [9.0, 8], "low": [7.0, 5], "high": [12.0, 9]})
    figure = alpha_curve(table, 0.15)
    (line,) = figure.data
    np.testing.assert_array_equal(line.y, [9, 8])
    np.testing.assert_array_equal(line.error_y.array, [3, 1])
    np.testing.assert_array_equal(line.error_y.arrayminus, [2, 3])
    assert figure.layout.shapes[0].x0 == 0.15
