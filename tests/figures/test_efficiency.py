"""Picture of data efficiency: a line a role and mode, told apart by colour and dash."""

from __future__ import annotations

import numpy as np
import pandas as pd

from t2v_core.figures.efficiency import efficiency_curves


def test_a_line_for_each_role_and_mode_with_its_spread():
    rows = [
        (role, mode, size, 10.0 * size, spread, 3, 2)
        for role in ("picked", "generic", "best")
        for mode in ("frozen", "fine-tuned")
        for size, spread in ((20, np.nan), (2, 1.5))
    ]
    columns = ["role", "mode", "per_class", "mean", "spread", "repeats", "tasks"]
    figure = efficiency_curves(pd.DataFrame(rows, columns=columns))
    assert len({line.name for line in figure.data}) == 6
    assert len({(line.line.color, line.line.dash) for line in figure.data}) == 6
    for line in figure.data:
        np.testing.assert_allclose(line.x, [2, 20], rtol=0.05)
        assert list(line.y) == [20, 200]
        assert list(line.error_y.array) == [1.5, 0.0]  # one repeat has no spread to draw
    assert list(figure.layout.xaxis.tickvals) == [2, 20]
