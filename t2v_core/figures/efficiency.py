"""How many images it takes: error against the size of the training sample (T2V Fig. 4)."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from t2v_core.figures.theme import OTHER_COLOUR, PALETTE, TEMPLATE

LINES = {
    "picked": (PALETTE[2], "x"),
    "generic": (OTHER_COLOUR, "triangle-up"),
    "best": (PALETTE[7], "circle"),
}
"""Colour and symbol of each role."""

DASHES = {"frozen": "solid", "fine-tuned": "dash"}
APART = 1.012
"""Factor between the lines' places on the logarithmic axis, so that no interval hides another."""


def efficiency_curves(rows: pd.DataFrame, height: int = 460) -> go.Figure:
    """A line a role and mode, with its spread over repeats.

    Args:
        rows: ``role, mode, per_class, mean, spread, repeats, tasks``: errors in %.
        height: pixels.
    """
    figure = go.Figure()
    for number, ((role, mode), line) in enumerate(rows.groupby(["role", "mode"], sort=False)):
        line = line.sort_values("per_class")
        colour, symbol = LINES[role]
        figure.add_trace(
            go.Scatter(
                x=line["per_class"] * APART ** (number - 2.5),
                y=line["mean"],
                name=f"{role}, {mode}",
                mode="lines+markers",
                line={"color": colour, "dash": DASHES[mode], "width": 2},
                marker={"size": 9, "symbol": symbol},
                error_y={"array": line["spread"].fillna(0.0), "thickness": 1.2, "width": 3},
                customdata=line[["per_class", "spread", "repeats"]],
                hovertemplate="%{customdata[0]} images a class<br>%{y:.1f} % ± %{customdata[1]:.1f} "
                "over %{customdata[2]} repeats",
            )
        )
    sizes = sorted(rows["per_class"].unique())
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    figure.update_xaxes(
        type="log", tickvals=sizes, ticktext=[str(s) for s in sizes], title="training images of each class"
    )
    figure.update_yaxes(title="test error (%)", rangemode="tozero")
    return figure
