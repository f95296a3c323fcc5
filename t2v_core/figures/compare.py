"""Two tasks side by side: which layers and filters differ; and the distances of several with their spread."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from t2v_core.figures.theme import ACCENT, ORDERED, OTHER_COLOUR, PALETTE, TEMPLATE, as_text

ROW = 22

LABEL = 32
"""Letters of a name in a title: it fits above a panel on a narrow screen."""

DRAWN, CELLS = 700, 48
"""Filters drawn one by one, and cells to a side in which the others are counted."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon")
"""Tasks are told apart without colour, too."""

MOST = len(SYMBOLS)
"""Tasks compared at once: more marks, colours and columns cannot be told apart."""


def layer_contributions(layers: pd.DataFrame, a: str, b: str) -> go.Figure:
    """Each layer's part of the distance, and for which task the layer matters more, with twice the standard error.

    Args:
        layers: ``layer, filters, share, difference, error``, in network order (first on top).
        a, b: names of the tasks.
    """
    figure = make_subplots(
        cols=2,
        rows=1,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=["part of the distance", f"← more for {as_text(b, LABEL)}<br>more for {as_text(a, LABEL)} →"],
    )
    figure.add_trace(
        go.Bar(
            x=100 * layers["share"],
            y=layers["layer"],
            orientation="h",
            marker={"color": ACCENT},
            customdata=layers["filters"],
            hovertemplate="<b>%{y}</b><br>%{x:.1f} % of the distance<br>%{customdata} filters<extra></extra>",
        ),
        row=1,
        col=1,
    )
    figure.add_trace(
        go.Scatter(
            x=layers["difference"],
            y=layers["layer"],
            mode="markers",
            marker={"size": 9, "color": PALETTE[2]},
            error_x={"array": 2 * layers["error"], "color": PALETTE[2], "thickness": 1.5},
            hovertemplate="<b>%{y}</b><br>relative difference %{x:+.3f}<extra></extra>",
        ),
        row=1,
        col=2,
    )
    figure.add_vline(x=0, line={"color": OTHER_COLOUR, "width": 1}, row=1, col=2)
    figure.update_layout(template=TEMPLATE, height=130 + ROW * len(layers), showlegend=False, margin={"t": 60})
    figure.update_xaxes(ticksuffix=" %", row=1, col=1)
    figure.update_yaxes(autorange="reversed", tickmode="linear", tickfont={"size": 12})
    figure.update_annotations(font={"size": 14})
    return figure


def filter_scatter(filters: pd.DataFrame, a: str, b: str, height: int = 560) -> go.Figure:
    """The Fisher value of every filter for one task against the other's; early layers are blue, late ones orange.

    Of more than ``DRAWN`` filters, points are those with the largest part of the distance; the others are shading.

    Args:
        filters: ``layer, filter, a, b, contribution, difference, error``, in network order.
        a, b: names of the tasks.
        height: pixels.
    """
    values = filters[["a", "b"]].to_numpy()
    alive = values[values > 0]
    # A logarithm has no place for zero: such values stand at the edge.
    low, high = (alive.min() / 2, alive.max()) if len(alive) else (0.5, 1.0)
    shown = np.maximum(values, low)
    layers = pd.factorize(filters["layer"])[0]
    last = layers.max(initial=0)
    figure = go.Figure()
    if len(filters) > DRAWN:
        order = np.argsort(-filters["contribution"].to_numpy(), kind="stable")
        figure.add_trace(_density(shown[order[DRAWN:]], low, high))
        drawn = np.sort(order[:DRAWN])
        filters, shown, layers = filters.iloc[drawn], shown[drawn], layers[drawn]
    figure.add_trace(
        go.Scatter(
            x=shown[:, 0].astype(np.float32),
            y=shown[:, 1].astype(np.float32),
            mode="markers",
            marker={
                "size": 5,
                "opacity": 0.7,
                "color": layers.astype(np.int16),
                "colorscale": ORDERED,
                "cmin": 0,
                "cmax": last,
                "colorbar": {
                    "title": {"text": "layer"},
                    "thickness": 12,
                    "tickvals": [0, last],
                    "ticktext": ["first", "last"],
                },
            },
            text=filters["layer"],
            customdata=filters[["filter", "difference", "error"]].to_numpy(np.float32),
            hovertemplate="<b>%{text}, filter %{customdata[0]:d}</b><br>relative difference %{customdata[1]:+.2f} "
            "± %{customdata[2]:.2f}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[low, high],
            y=[low, high],
            mode="lines",
            line={"color": OTHER_COLOUR, "dash": "dash", "width": 1},
            hoverinfo="skip",
        )
    )
    # Margins are given, not found by the browser, which would have to draw the whole figure twice.
    figure.update_layout(template=TEMPLATE, height=height, showlegend=False, margin={"l": 80, "b": 64})
    powers = {"type": "log", "dtick": 1, "exponentformat": "power", "automargin": False}
    figure.update_xaxes(**powers, title=f"Fisher information for {as_text(a)}")
    figure.update_yaxes(**powers, title=f"for {as_text(b)}")
    return figure


def _density(values: NDArray, low: float, high: float) -> go.Heatmap:
    """How many of ``[n, 2]`` values lie where, between two bounds of a logarithmic axis."""
    edges = np.geomspace(low, high, CELLS + 1)
    counts = np.histogram2d(values[:, 1], values[:, 0], bins=edges)[0]
    return go.Heatmap(
        x=edges,
        y=edges,
        z=np.where(counts > 0, np.log1p(counts), np.nan),
        customdata=counts,
        colorscale=[[0, "rgba(128,128,128,0.08)"], [1, "rgba(128,128,128,0.6)"]],
        showscale=False,
        hovertemplate="%{customdata} other filters<extra></extra>",
    )


def pair_distances(pairs: pd.DataFrame) -> go.Figure:
    """Distances of pairs of tasks with the middle 95 % of the bootstrap rounds, nearest on top.

    Args:
        pairs: ``a, b, distance, low, high``; ``a`` and ``b`` are names.
    """
    rows = pairs.sort_values("distance", ascending=False)
    figure = go.Figure(
        go.Scatter(
            x=rows["distance"],
            y=(rows["a"] + " – " + rows["b"]).map(as_text),
            mode="markers",
            marker={"size": 11, "color": ACCENT},
            error_x={
                # Noise adds distance: between near tasks the whole interval lies above the estimate.
                "array": (rows["high"] - rows["distance"]).clip(lower=0),
                "arrayminus": (rows["distance"] - rows["low"]).clip(lower=0),
                "color": ACCENT,
                "thickness": 1.5,
            },
            customdata=rows[["low", "high"]],
            hovertemplate="<b>%{y}</b><br>distance %{x:.4f}<br>with other images %{customdata[0]:.4f} to "
            "%{customdata[1]:.4f}<extra></extra>",
        )
    )
    figure.update_layout(template=TEMPLATE, height=90 + 2 * ROW * len(rows), showlegend=False)
    figure.update_xaxes(title="distance between the tasks")
    return figure


def errors_side_by_side(errors: pd.DataFrame) -> go.Figure:
    """Test errors of several tasks under the same experts, a row an expert and a mark a task.

    Args:
        errors: in %, by names of experts (the first on top) and of tasks; NaN where an expert is no candidate.
    """
    rows = errors[::-1]
    labels = [as_text(name) for name in rows.index]
    figure = go.Figure(
        [
            go.Scatter(
                x=rows[task],
                y=labels,
                name=as_text(task),
                mode="markers",
                marker={"size": 11, "color": PALETTE[i % len(PALETTE)], "symbol": SYMBOLS[i % len(SYMBOLS)]},
                hovertemplate="<b>%{y}</b><br>error %{x:.1f} %",
            )
            for i, task in enumerate(rows)
        ]
    )
    figure.update_layout(
        template=TEMPLATE,
        height=130 + ROW * len(rows),
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    figure.update_xaxes(title="test error, %", rangemode="tozero")
    figure.update_yaxes(showgrid=True, tickmode="linear")
    return figure
