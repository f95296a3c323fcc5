"""The norm of a task's embedding held against its error (T2V Fig. 2 right) and its size (T2V suppl. Fig. 2)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from t2v_core.figures.theme import TEMPLATE, as_text, group_colours, top_groups

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon", "hexagon", "triangle-down")
"""Groups are told apart without colour, too."""

TITLES = {
    "norm": "norm of the embedding",
    "error": "test error of the generic expert (%)",
    "images": "training images",
}


def norm_against_error(tasks: pd.DataFrame, selected: Collection[str] = (), height: int = 480) -> go.Figure:
    """The norm across, the error upwards; a point a task.

    Args:
        tasks: index task id; ``name, group, norm, error`` (in %). Rows with a missing value are left out.
        selected: ids of tasks to bring out; all others fade.
        height: pixels.
    """
    figure = _scatter(tasks, "norm", "error", selected, height)
    figure.update_yaxes(rangemode="tozero")
    return figure


def norm_against_images(tasks: pd.DataFrame, selected: Collection[str] = (), height: int = 480) -> go.Figure:
    """The number of training images across, the norm upwards; a point a task.

    Args:
        tasks: index task id; ``name, group, norm, images``. Rows with a missing value are left out.
        selected: ids of tasks to bring out; all others fade.
        height: pixels.
    """
    return _scatter(tasks, "images", "norm", selected, height)


def _scatter(tasks: pd.DataFrame, x: str, y: str, selected: Collection[str], height: int) -> go.Figure:
    known = tasks.dropna(subset=[x, y])
    known = known.assign(shown=top_groups(known["group"].tolist()))
    chosen = frozenset(selected) & frozenset(known.index)
    figure = go.Figure()
    for i, (group, colour) in enumerate(group_colours(known["shown"].tolist(), tasks["group"].tolist()).items()):
        part = known[known["shown"] == group]
        figure.add_trace(
            go.Scatter(
                x=part[x],
                y=part[y],
                mode="markers",
                name=as_text(group),
                # Without outlines, as on the map: a browser would take half as long again for 1,500 of them.
                marker={"size": 9, "color": colour, "symbol": SYMBOLS[i % len(SYMBOLS)], "opacity": 0.8},
                selectedpoints=[n for n, task in enumerate(part.index) if task in chosen] if chosen else None,
                customdata=[[task] for task in part.index],
                text=part["name"].map(as_text),
                hovertemplate=f"<b>%{{text}}</b><br>{TITLES[x]}: %{{x:,.4~g}}<br>{TITLES[y]}: %{{y:,.4~g}}",
            )
        )
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    # Both spread over orders of magnitude, and rank correlation does not mind.
    figure.update_xaxes(type="log", tickvals=_ticks(known[x]), title=TITLES[x])
    figure.update_yaxes(title=TITLES[y])
    if y == "norm":
        figure.update_yaxes(type="log", tickvals=_ticks(known[y]))
    return figure


def _ticks(values: pd.Series) -> list[float]:
    """1, 2, 5, 10, 20, ... around some values; those that are not positive have no place on the axis."""
    positive = values[values > 0]
    if positive.empty:
        return []
    low, high = np.floor(np.log10([positive.min(), positive.max()])).astype(int).tolist()
    return [float(f"{digit}e{power}") for power in range(low, high + 1) for digit in (1, 2, 5)] + [10.0 ** (high + 1)]
