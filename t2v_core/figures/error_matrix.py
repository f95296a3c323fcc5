"""Every error over the distance a rule goes by, its picks and the best experts framed (T2V Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from t2v_core.figures.theme import PALETTE, TEMPLATE, as_text, space_for
from t2v_core.figures.violins import FONT, LABEL, named_axis

MOST_NUMBERS = 1200
"""With more cells the errors are not written into them: they show when pointed at."""

MOST_NAMES = 24
"""With more experts only some are named, so that the names do not run into each other in a narrow window."""

FRAMES = {"picked, not the best": PALETTE[3], "best, not picked": PALETTE[0], "picked, and the best": PALETTE[2]}

SCALE = [[0, "#5A6069"], [1, "#E4E7EB"]]
"""Light is near. Grey, so that frames stand out; never white or black, so that empty cells do on any page."""


def error_matrix(
    errors: NDArray,
    background: NDArray,
    picked: NDArray,
    best: NDArray,
    tasks: Sequence[str],
    experts: Sequence[str],
    what: str,
    *,
    selected: int | None = None,
) -> go.Figure:
    """Draw targets down and experts across.

    Args:
        errors: ``[T, E]`` in %, NaN where an expert is no candidate or was not measured: such cells stay empty.
        background: ``[T, E]`` what the cells are coloured by; low is dark, as near is in every matrix.
        picked: ``[T, E]`` true where the rule picks.
        best: ``[T, E]`` true at the lowest error of a row.
        tasks: ``[T]`` names.
        experts: ``[E]`` names.
        what: the background is, with its unit.
        selected: index of a task to stress.
    """
    values = np.where(np.isfinite(errors), background, np.nan)
    known = values[np.isfinite(values)]
    # A few outliers must not take the colours from all others.
    low, high = np.percentile(known, [1, 99]) if known.size else (0.0, 1.0)
    written = errors.size <= MOST_NUMBERS
    figure = go.Figure(
        go.Heatmap(
            z=values.astype(np.float32),
            zmin=low,
            zmax=high,
            colorscale=SCALE,
            customdata=errors.astype(np.float32),
            text=np.char.mod("%.0f", errors) if written else None,
            texttemplate="%{text}" if written else None,
            colorbar={"title": {"text": as_text(what), "side": "right"}, "thickness": 10},
            hoverongaps=False,
            xgap=1 if written else 0,
            ygap=1 if written else 0,
            hovertemplate="<b>%{y}</b><br>expert %{x}<br>error %{customdata:.1f} %"
            f"<br>{as_text(what)} %{{z:.4g}}<extra></extra>",
        )
    )
    cells = (picked & ~best, best & ~picked, picked & best)
    for (name, colour), mask in zip(FRAMES.items(), cells, strict=True):
        figure.add_trace(_frames(mask, name, colour))
    if selected is not None:
        figure.add_hrect(y0=selected - 0.5, y1=selected + 0.5, line={"color": PALETTE[7], "width": 2})
    count, width = errors.shape
    left, below = (24 + space_for((name[:LABEL] for name in group), FONT) for group in (tasks, experts))
    figure.update_layout(
        template=TEMPLATE,
        margin={"l": left, "b": below},
        height=min(1100, max(360, 260 + (22 if written else 9) * count)),
        uirevision=f"matrix {count} {width} {list(tasks[:1])}",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0},
    )
    figure.update_xaxes(**named_axis(experts, MOST_NAMES), range=[-0.5, width - 0.5], showgrid=False, title="expert")
    down = named_axis(tasks) | {"tickangle": 0}
    figure.update_yaxes(**down, range=[count - 0.5, -0.5], showgrid=False, title="target task")
    return figure


def _frames(cells: NDArray, name: str, colour: str) -> go.Scatter:
    """A frame just inside each marked cell, as one line."""
    t, e = np.nonzero(cells)
    left, right, top, bottom, gap = e - 0.42, e + 0.42, t - 0.42, t + 0.42, np.full(len(t), np.nan)
    return go.Scatter(
        x=np.column_stack([left, right, right, left, left, gap]).ravel(),
        y=np.column_stack([top, top, bottom, bottom, top, gap]).ravel(),
        mode="lines",
        line={"color": colour, "width": 2.5},
        name=name,
        hoverinfo="skip",
    )
