"""Pictures of a choice of experts: the ranking with its spread, heads fitted on an upload, and the audit."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from t2v_core.figures.theme import ACCENT, LINE, OTHER_COLOUR, PALETTE, TEMPLATE, as_text

RULE_COLOURS = {
    "chance": OTHER_COLOUR,
    "generic": OTHER_COLOUR,
    "static": LINE,
    "domain": PALETTE[1],
    "symmetric": PALETTE[0],
    "asymmetric": PALETTE[2],
}
KIND_TITLES = {
    "twin": "Same classes, new images",
    "mixed": "Mixed classes",
    "attribute": "Same images, new labels",
    "attribute without expert": "New labels, no expert",
    "upload": "Your own tasks",
}
"""Headings of the kinds of target."""

ROW, RULE_ROW = 34, 20


def ranking_chart(rows: Sequence[dict]) -> go.Figure:
    """Distance of each expert's task with twice its bootstrap spread, nearest on top.

    Args:
        rows: of a recommendation's ``ranking``: ``name, distance, spread, p_first``.
    """
    rows = list(rows)[::-1]
    figure = go.Figure(
        go.Scatter(
            x=[r["distance"] for r in rows],
            y=list(range(len(rows))),
            mode="markers",
            marker={"size": 12, "color": ACCENT},
            error_x={"array": [2 * r["spread"] for r in rows], "color": ACCENT, "thickness": 1.5},
            customdata=[[_placed(r), r["p_first"], r["p_top3"]] for r in rows],
            hovertemplate="<b>%{customdata[0]}</b><br>distance %{x:.4f}<br>first in %{customdata[1]:.0%}, "
            "among the first three in %{customdata[2]:.0%} of cases<extra></extra>",
        )
    )
    figure.update_xaxes(title="distance to your task")
    return _in_rows(figure, [_placed(r) for r in rows])


def fitted_chart(rows: Sequence[dict], generic: dict | None) -> go.Figure:
    """Accuracy of a head fitted on each expert's features, with 95 % intervals, best on top.

    Args:
        rows: of a recommendation's ``ranking`` with a ``fitted`` part.
        generic: the generic expert's ``fitted`` part, drawn as a row of its own.
    """
    drawn = [(_placed(r), r["fitted"], PALETTE[2]) for r in rows if r["fitted"]]
    if generic:
        drawn.append(("generic, not fine-tuned", generic, LINE))
    drawn.sort(key=lambda row: row[1]["accuracy"])
    figure = go.Figure()
    for place, (name, found, colour) in enumerate(drawn):
        figure.add_scatter(
            x=[100 * found["accuracy"]],
            y=[place],
            mode="markers",
            marker={"size": 12, "color": colour},
            error_x={
                "array": [100 * (found["high"] - found["accuracy"])],
                "arrayminus": [100 * (found["accuracy"] - found["low"])],
                "color": colour,
                "thickness": 1.5,
            },
            customdata=[name],
            hovertemplate="<b>%{customdata}</b><br>%{x:.1f} % correct<extra></extra>",
        )
    figure.update_xaxes(title="% of your images right")
    return _in_rows(figure, [name for name, _, _ in drawn])


def _placed(row: dict) -> str:
    return f"{row['rank']}. {as_text(row['name'])}"


def _in_rows(figure: go.Figure, names: list[str]) -> go.Figure:
    """Rows named from below; by number, as two experts may share rank and name."""
    figure.update_layout(template=TEMPLATE, height=78 + ROW * len(names), showlegend=False, margin={"t": 8})
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, range=[-0.6, len(names) - 0.4])
    return figure


def audit_chart(audit: pd.DataFrame, titles: dict[str, str]) -> go.Figure:
    """Mean relative error increase of every rule with its interval, one panel a kind of target.

    Args:
        audit: columns ``kind, rule, tasks, mean, low, high``.
        titles: a heading for each kind.
    """
    from plotly.subplots import make_subplots

    kinds = [k for k in titles if k in set(audit["kind"])]
    rules = audit["rule"].nunique()
    figure = make_subplots(
        cols=max(1, len(kinds)),
        rows=1,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[titles[k] for k in kinds],
    )
    for column, kind in enumerate(kinds, start=1):
        part = audit[audit["kind"] == kind][::-1]
        colours = [RULE_COLOURS.get(rule, ACCENT) for rule in part["rule"]]
        figure.add_trace(
            go.Bar(
                x=part["mean"],
                y=part["rule"].map(as_text),
                orientation="h",
                marker={"color": colours, "opacity": 0.6},  # the interval shows in front
                error_x={
                    "array": part["high"] - part["mean"],
                    "arrayminus": part["mean"] - part["low"],
                    "color": LINE,
                    "thickness": 1.5,
                },
                hovertemplate="%{y}: +%{x:.1f} %<extra></extra>",
            ),
            row=1,
            col=column,
        )
        figure.update_xaxes(ticksuffix=" %", row=1, col=column)
    figure.update_layout(template=TEMPLATE, height=max(300, 90 + RULE_ROW * rules), showlegend=False, margin={"t": 40})
    figure.update_yaxes(dtick=1)  # every rule has its name
    figure.update_annotations(font={"size": 14})
    return figure
