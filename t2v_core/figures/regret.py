"""Pictures of an audit: what every rule loses, how it compares with the static rule, how it depends on alpha."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from t2v_core.figures.choice import RULE_COLOURS
from t2v_core.figures.theme import ACCENT, LINE, OTHER_COLOUR, TEMPLATE, as_text
from t2v_core.figures.violins import styles

ROW = 30


def regret_intervals(rows: pd.DataFrame) -> go.Figure:
    """Points with 95 % intervals: the relative error increase, and the paired difference to the static rule.

    Args:
        rows: of ``audit_table`` for one kind of target, first on top: ``rule, mean, low, high, vs_static,
            vs_static_low, vs_static_high``.
    """
    rows = rows[::-1]
    colours = [colour for _, colour, _ in styles(rows["rule"].tolist()).values()]
    figure = make_subplots(
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=["loses", "better than static by"],
    )
    for column, value, unit in ((1, "mean", "%"), (2, "vs_static", "points")):
        low, high = ("low", "high") if column == 1 else (f"{value}_low", f"{value}_high")
        figure.add_trace(
            go.Scatter(
                x=rows[value],
                y=rows["rule"].map(as_text),
                mode="markers",
                marker={"size": 11, "color": colours},
                error_x={
                    "array": rows[high] - rows[value],
                    "arrayminus": rows[value] - rows[low],
                    "color": OTHER_COLOUR,
                    "thickness": 2,
                },
                customdata=rows[[low, high]],
                hovertemplate=f"<b>%{{y}}</b><br>%{{x:.1f}} {unit} [%{{customdata[0]:.1f}}, %{{customdata[1]:.1f}}]"
                "<extra></extra>",
            ),
            row=1,
            col=column,
        )
        figure.add_vline(x=0, line={"color": LINE, "width": 1, "dash": "dot"}, row=1, col=column)
    figure.update_layout(template=TEMPLATE, height=90 + ROW * len(rows), showlegend=False, margin={"t": 40})
    figure.update_xaxes(title="% above the best error", row=1, col=1)
    figure.update_xaxes(title="percentage points", row=1, col=2)
    figure.update_annotations(font={"size": 14})
    return figure


def alpha_curve(table: pd.DataFrame, used: float) -> go.Figure:
    """Mean relative error increase against the weight of the source's complexity, with its 95 % interval.

    Args:
        table: ``alpha, mean, low, high``.
        used: the alpha in use.
    """
    figure = go.Figure(
        go.Scatter(
            x=table["alpha"],
            y=table["mean"],
            mode="lines+markers",
            marker={"size": 9, "color": RULE_COLOURS["asymmetric"]},
            error_y={
                "array": table["high"] - table["mean"],
                "arrayminus": table["mean"] - table["low"],
                "color": OTHER_COLOUR,
                "thickness": 1.5,
            },
            customdata=table[["low", "high"]],
            hovertemplate="alpha %{x}<br>%{y:.1f} % [%{customdata[0]:.1f}, %{customdata[1]:.1f}]<extra></extra>",
        )
    )
    figure.add_vline(x=used, line={"color": ACCENT, "dash": "dash"}, annotation={"text": "in use"})
    figure.update_layout(template=TEMPLATE, height=320, showlegend=False)
    figure.update_xaxes(title="alpha: credit for complex sources")
    figure.update_yaxes(title="loses, %", rangemode="tozero")
    return figure
