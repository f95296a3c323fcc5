"""The task map: one point a task, coloured by group, with uploads drawn on top."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from t2v_core.figures.theme import TEMPLATE, UPLOAD_COLOUR, group_colours, top_groups

HOVER = (
    "<b>%{customdata[1]}</b><br>%{customdata[2]}<br>%{customdata[3]} classes, %{customdata[4]:,} images"
    "<br>head accuracy %{customdata[5]}<extra></extra>"
)


def task_map(tasks: pd.DataFrame, selected: frozenset[str] = frozenset(), height: int = 620) -> go.Figure:
    """Draw tasks as points.

    Args:
        tasks: columns ``id, name, path, classes, images, accuracy, group, x, y, upload``; ``path`` is the
            taxonomy in words, ``upload`` marks tasks to draw on top with their name.
        selected: ids to ring.
        height: pixels.

    Returns:
        A figure whose ``customdata[0]`` is the task id.
    """
    figure = go.Figure()
    known = tasks[~tasks["upload"]].copy()
    known["group"] = top_groups(known["group"].tolist())
    for group, colour in group_colours(known["group"].tolist()).items():
        part = known[known["group"] == group]
        figure.add_trace(_points(part, group, {"color": colour, "size": 11, "opacity": 0.85}))
    ringed = tasks[tasks["id"].isin(selected)]
    if len(ringed):
        figure.add_trace(
            go.Scatter(
                x=ringed["x"],
                y=ringed["y"],
                mode="markers",
                marker={"size": 20, "color": "rgba(0,0,0,0)", "line": {"width": 2.5, "color": UPLOAD_COLOUR}},
                hoverinfo="skip",
                showlegend=False,
            )
        )
    uploads = tasks[tasks["upload"]]
    if len(uploads):
        trace = _points(
            uploads,
            "your uploads",
            {"color": UPLOAD_COLOUR, "size": 18, "symbol": "star", "line": {"width": 1, "color": "white"}},
        )
        trace.update(mode="markers+text", text=uploads["name"].str.slice(0, 28), textposition="top center")
        figure.add_trace(trace)
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        dragmode="pan",
        legend={"orientation": "h", "yanchor": "top", "y": -0.02, "x": 0, "title": None, "font": {"size": 13}},
        uirevision="task map",
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def _points(part: pd.DataFrame, name: str, marker: dict) -> go.Scatter:
    return go.Scatter(
        x=part["x"],
        y=part["y"],
        mode="markers",
        name=name,
        marker=marker,
        customdata=part[["id", "name", "path", "classes", "images", "accuracy"]].to_numpy(),
        hovertemplate=HOVER,
    )
