"""The task map (T2V Fig. 1): one point a task, coloured by group or by a value, with uploads drawn on top."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from zlib import crc32

import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from t2v_core.figures.theme import OTHER, TEMPLATE, UPLOAD_COLOUR, as_text, group_colours, top_groups

HOVER = (
    "<b>%{customdata[1]}</b><br>%{customdata[2]}<br>%{customdata[3]} classes, %{customdata[4]:,} images"
    "<br>head accuracy %{customdata[5]}"
)

SHOWN = ["id", "name", "path", "classes", "images", "accuracy"]
"""What a point tells of its task."""

SCALE = "Cividis"
"""Made for colour-blind readers."""

FADED = 0.18
RING = 13
"""Pixels from the middle of a task's point to what is drawn around it."""

LEGEND = {
    "orientation": "h",
    "yanchor": "top",
    "y": -0.02,
    "x": 0,
    "title": None,
    "font": {"size": 12},
    # Two columns: names of different lengths would otherwise take a line each.
    "entrywidth": 0.49,
    "entrywidthmode": "fraction",
}

LABEL = 28
"""Letters of a name: so many of a group's fit beside another in the legend of a narrow map."""

SIZES = {400: 11, 3000: 7}
"""Size of the points by the most tasks that are drawn so; of more they are smaller still."""

SIDES = ("middle right", "bottom center", "middle left", "top center")

MOST_ELEMENTS = 1000
"""With more tasks points are drawn by WebGL: as elements of the page they take twice the time at every answer."""


def task_map(
    tasks: pd.DataFrame,
    selected: Collection[str] = (),
    *,
    colour_title: str = "",
    title: str | None = None,
    links: tuple[str, Collection[str]] | None = None,
    labels: Mapping[str, str] | None = None,
    cloud: NDArray | None = None,
    height: int = 620,
    most: int | None = None,
    colours: Mapping[str, str] | None = None,
) -> go.Figure:
    """Draw tasks as points.

    Args:
        tasks: columns ``id, name, path, classes, images, accuracy, group, x, y, upload``; ``path`` is the
            taxonomy in words, ``upload`` marks tasks to draw on top with their name. Numbers in ``group`` are drawn
            on a scale, with grey for missing ones.
        selected: ids to bring out; all others fade, unless none of them is on the map.
        colour_title: what the colours show.
        title: above the map.
        links: a task's id and those of tasks to join with it by lines.
        labels: a few letters to write beside tasks, by id.
        cloud: ``[R, 2]`` where a task might as well lie.
        height: pixels.
        most: tasks that the same chart may have to show at another time; by default those given.
        colours: a colour for each group, for maps side by side; tasks of no such group are the ``"other"`` ones. By
            default the most frequent groups of this map have one.

    Returns:
        A figure whose ``customdata[0]`` is the task id, and ``meta`` tells a trace from those of other colours.
    """
    figure = go.Figure()
    known, uploads = tasks[~tasks["upload"]], tasks[tasks["upload"]]
    size = next((size for most, size in SIZES.items() if len(tasks) <= most), 5)
    many = (most or len(tasks)) > MOST_ELEMENTS  # a chart that changes its way of drawing is made anew
    if links is not None:
        figure.add_trace(_lines(tasks.set_index("id"), *links))
    if pd.api.types.is_numeric_dtype(known["group"]) and len(known):
        scale = _scale(known["group"], colour_title, size)
        trace = _points(known, colour_title, f"values {colour_title}", scale, many)
        figure.add_trace(trace.update(hovertemplate=f"{HOVER}<br>{colour_title} %{{marker.color:.4g}}<extra></extra>"))
    else:
        groups = known["group"].astype(str)
        colours = colours or group_colours(top_groups(groups.tolist()))
        groups = groups.where(groups.isin(colours), OTHER)
        for group, colour in colours.items():
            if len(part := known[groups == group]):
                look = {"color": colour, "size": size, "opacity": 0.85}
                figure.add_trace(_points(part, group, f"{colour_title} {as_text(group)}", look, many))
    if len(uploads):
        star = {"color": UPLOAD_COLOUR, "size": 18, "symbol": "star", "line": {"width": 1, "color": "white"}}
        trace = _points(uploads, "your uploads", "uploads", star, False)
        trace.update(mode="markers+text", text=[as_text(name, LABEL) for name in uploads["name"]])
        trace.update(textposition="top center")
        figure.add_trace(trace)
    if labels:
        figure.add_trace(_labels(tasks.set_index("id"), labels))
    if cloud is not None:
        figure.add_trace(_cloud(cloud))
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        dragmode="pan",
        margin={"t": 40 if title else 10},
        title={"text": title} if title else None,
        legend=LEGEND,
        # The zoom and what is hidden stay as long as tasks stand where they stood.
        uirevision=crc32(tasks[["x", "y"]].to_numpy(float).tobytes()),
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    if chosen := frozenset(selected).intersection(tasks["id"]):
        for trace in figure.data:
            if trace.customdata is not None:
                trace.selectedpoints = [i for i, (task, *_) in enumerate(trace.customdata) if task in chosen]
    return figure


def _points(part: pd.DataFrame, name: str, meta: str, marker: dict, many: bool) -> go.Scatter | go.Scattergl:
    return (go.Scattergl if many else go.Scatter)(
        x=part["x"],
        y=part["y"],
        mode="markers",
        meta=meta,
        name=as_text(name, LABEL),
        marker=marker,
        selected={"marker": {"size": marker["size"] + 4}},
        unselected={"marker": {"opacity": FADED}},
        customdata=part.assign(name=part["name"].map(as_text), path=part["path"].map(as_text))[SHOWN].to_numpy(),
        hovertemplate=f"{HOVER}<extra>%{{fullData.name}}</extra>",
    )


def ring(x: float, y: float) -> dict:
    """A shape around the point of the task that is looked at, as large whatever the zoom."""
    size = {"xsizemode": "pixel", "ysizemode": "pixel", "x0": -RING, "x1": RING, "y0": -RING, "y1": RING}
    return {"type": "circle", "xanchor": x, "yanchor": y, "line": {"width": 2.5, "color": UPLOAD_COLOUR}, **size}


def _scale(values: pd.Series, title: str, size: int) -> dict:
    bar = {"title": {"text": title}, "orientation": "h", "thickness": 10, "y": -0.02, "yanchor": "top", "len": 0.7}
    # A few outliers must not take the colours from all others.
    low, high = values.quantile([0.02, 0.98])
    colours = {"color": values, "cmin": low, "cmax": high, "colorscale": SCALE, "showscale": True, "colorbar": bar}
    return colours | {"size": size, "opacity": 0.9}


def _lines(places: pd.DataFrame, task: str, others: Collection[str]) -> go.Scatter:
    x, y = [], []
    for other in others:
        if task in places.index and other in places.index:
            x += [places.at[task, "x"], places.at[other, "x"], None]
            y += [places.at[task, "y"], places.at[other, "y"], None]
    line = {"width": 2, "color": "rgba(110,110,110,0.8)"}
    return go.Scatter(x=x, y=y, meta="links", mode="lines", line=line, hoverinfo="skip", showlegend=False)


def _labels(places: pd.DataFrame, labels: Mapping[str, str]) -> go.Scatter:
    """Letters beside points, each on another side than the last: those of near points would cover each other."""
    known = [task for task in labels if task in places.index]
    return go.Scatter(
        x=places.loc[known, "x"],
        y=places.loc[known, "y"],
        text=[f"<b>{as_text(labels[task])}</b>" for task in known],
        mode="text",
        textposition=[SIDES[n % len(SIDES)] for n in range(len(known))],
        textfont={"size": 14},
        meta="labels",
        hoverinfo="skip",
        showlegend=False,
    )


def _cloud(places: NDArray) -> go.Scatter:
    marker = {"size": 7, "color": UPLOAD_COLOUR, "opacity": 0.25}
    return go.Scatter(
        x=places[:, 0],
        y=places[:, 1],
        mode="markers",
        marker=marker,
        meta="cloud",
        name="where it might as well lie",
        showlegend=False,  # on one of two maps, whose legends stand side by side; the switch says what it is
        hoverinfo="skip",
        unselected={"marker": {"opacity": 0.25}},
    )
