"""One task from near: candidates at their score and error, picks around them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from t2v_core.figures.candidates import candidates
from t2v_core.figures.violins import BEST

TABLE = pd.DataFrame({"expert": ["X", "Y"], "error": [10.0, 20], "near": [0.3, 0.1]}, index=["x", "y"])


def test_a_tasks_candidates_stand_at_their_score_and_error():
    figure = candidates(TABLE, "near", "distance", {BEST: ["x"], "static": ["y"], "mine": []}, generic=15.0)
    points, best, static, mine, shape = figure.data
    np.testing.assert_array_equal([points.x, points.y], [[0.3, 0.1], [10, 20]])
    assert (best.x[0], best.y[0]) == (0.3, 10)
    assert (static.x[0], static.y[0]) == (0.1, 20)
    assert len(mine.x) == 0
    np.testing.assert_array_equal(shape.y, [10, 20])
    assert figure.layout.shapes[0].y0 == 15


@pytest.mark.parametrize("generic", [None, np.nan])
def test_no_line_where_no_generic_error_is_known(generic):
    assert not candidates(TABLE, "near", "distance", {}, generic).layout.shapes
