"""The clustered matrix of T2V Fig. 2 left: heat map, dendrogram, and a colour bar of the true groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from t2v_core.figures.theme import LINE, TEMPLATE, UPLOAD_COLOUR, group_colours, top_groups

SCALE = "Cividis"
"""Made for colour-blind readers; dark is near."""

LABEL = 32
LABELS_SHOWN = 55
"""Names on an axis at most: beyond, every second, fifth, ... task is named until one zooms in."""

MOST_TASKS = 1600
"""More would send over 8 MB and stop a browser; show a cluster or a selection instead."""

MOST_FLOATS = 1000
"""With more tasks, distances go as whole ten-thousandths in two bytes: 1,500 tasks then take 6 MB instead of 12."""

MOST_BETWEEN = 400
"""With more tasks, places between two tasks keep their number: silencing ten for each would send too much."""


def similarity_matrix(
    distance: pd.DataFrame,
    order: NDArray[np.int64],
    names: Sequence[str],
    groups: Sequence[str],
    *,
    brackets: tuple[NDArray, NDArray] | None = None,
    clusters: NDArray[np.int64] | None = None,
    cut: float | None = None,
    asymmetric: bool = False,
    selected: Collection[str] = (),
    height: int = 860,
) -> go.Figure:
    """Draw a distance matrix with its tasks in the order of a tree's leaves.

    Args:
        distance: ``[n, n]`` by task id, without NaN; rows are targets, columns sources. It is drawn as it is.
        order: positions of the tasks to draw, from left to right and from top to bottom.
        names: ``[n]`` for people, in the order of ``distance``.
        groups: ``[n]`` the true group of each task, likewise.
        brackets: the dendrogram along the leaves and in height, ``[n - 1, 4]`` each.
        clusters: ``[n]`` a cluster for each task, in the order of ``distance``; neighbours in one are framed.
        cut: height at which the tree was cut.
        asymmetric: name the axes after target and source.
        selected: ids of tasks to mark at both colour bars.
        height: pixels.

    Returns:
        A figure with tasks at 0, 1, ... on both axes (``x, y``). ``customdata`` of the colour bars is the task
        id; ``layout.meta["ids"]`` holds all ids from left to right.

    Raises:
        ValueError: there are more than ``MOST_TASKS``, or a distance is missing.
    """
    if len(order) > MOST_TASKS:
        raise ValueError(f"a matrix of {len(order)} tasks is too large to draw; choose at most {MOST_TASKS}")
    values = distance.to_numpy()[np.ix_(order, order)]
    if np.isnan(values).any():
        raise ValueError("the matrix has missing distances; leave those tasks out")
    ids = [str(distance.index[i]) for i in order]
    labels = [_short(names[i]) for i in order]
    count = len(ids)
    figure = go.Figure(_heat_map(values, asymmetric))
    if clusters is not None:
        figure.add_trace(_frames(clusters[order]))
    _add_groups(figure, [groups[i] for i in order], ids, labels)
    marked = [i for i, task in enumerate(ids) if task in frozenset(selected)]
    if marked:
        _add_marks(figure, marked, labels)
    if brackets is not None and count > 1:
        figure.add_trace(_dendrogram(*brackets))
        if cut is not None:
            figure.add_hline(y=cut, line={"dash": "dash", "color": LINE, "width": 1}, yref="y3")
    # Ticks are positions that show as names: they thin out by themselves and fill in as one zooms.
    shared = {
        "labelalias": _aliases(labels),
        "nticks": LABELS_SHOWN,
        "showgrid": False,
        "tickfont": {"size": 11},
        "minallowed": -0.5,
        "maxallowed": count - 0.5,
    }
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        meta={"ids": ids},
        bargap=0,
        uirevision="similarity matrix",
        xaxis={
            **shared,
            "domain": [0.025, 1],
            "range": [-0.5, count - 0.5],
            "tickangle": -90,
            "anchor": "y",
            "title": "source" if asymmetric else None,
        },
        yaxis={
            **shared,
            "domain": [0, 0.83],
            "range": [count - 0.5, -0.5],
            "anchor": "x2",
            "title": "target" if asymmetric else None,
        },
        xaxis2={**hidden, "domain": [0, 0.018], "range": [0, 1]},
        yaxis2={**hidden, "domain": [0.838, 0.858], "range": [0, 1]},
        yaxis3={**hidden, "domain": [0.865, 1], "rangemode": "tozero"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0},
    )
    return figure


def _aliases(labels: Sequence[str]) -> dict[str, str]:
    """A name for every tick: a task's at its place, none between two tasks, where ticks fall as one zooms far in."""
    between = range(10 * len(labels)) if len(labels) <= MOST_BETWEEN else ()
    return {f"{i / 10:.1f}": " " for i in between if i % 10} | {str(i): label for i, label in enumerate(labels)}


def _heat_map(values: NDArray, asymmetric: bool) -> go.Heatmap:
    count = len(values)
    whole = count > MOST_FLOATS
    apart = values[~np.eye(count, dtype=bool)] if count > 1 else values.ravel()
    # A few outliers must not take the colours from all others.
    low, high = np.percentile(apart, [0.5, 99.5]) if apart.size else (0.0, 1.0)
    factor = 1e4 if whole else 1.0
    ticks = np.linspace(low, high, 5)
    between = "from <b>%{x}</b><br>to <b>%{y}</b>" if asymmetric else "<b>%{x}</b><br><b>%{y}</b>"
    return go.Heatmap(
        z=np.rint(factor * values).astype(np.int16) if whole else values.astype(np.float32),
        zmin=factor * low,
        zmax=factor * high,
        colorscale=SCALE,
        colorbar={
            "title": {"text": "distance"},
            "tickvals": factor * ticks,
            "ticktext": [f"{t:.2g}" for t in ticks],
            "thickness": 12,
            "len": 0.83,
            "yanchor": "bottom",
            "y": 0,
        },
        hovertemplate=between
        + ("<br>distance %{z:,d} ten-thousandths" if whole else "<br>distance %{z:.4f}")
        + "<extra></extra>",
    )


def _add_groups(figure: go.Figure, groups: Sequence[str], ids: Sequence[str], labels: Sequence[str]) -> None:
    """Colour bars of the groups above and left of the matrix; ten groups and "other"."""
    shown = np.array(top_groups(groups))
    for group, colour in group_colours(shown.tolist()).items():
        places = np.flatnonzero(shown == group)
        known = {
            "name": group,
            "legendgroup": group,
            "marker": {"color": colour, "line": {"width": 0}},
            "width": 1.0,
            "customdata": [[ids[i], labels[i], groups[i]] for i in places.tolist()],
            "hovertemplate": "<b>%{customdata[1]}</b><br>%{customdata[2]}<extra></extra>",
        }
        ones = np.ones(len(places), dtype=np.int8)
        figure.add_trace(go.Bar(x=places, y=ones, yaxis="y2", **known))
        figure.add_trace(go.Bar(x=ones, y=places, xaxis="x2", orientation="h", showlegend=False, **known))


def _add_marks(figure: go.Figure, places: Sequence[int], labels: Sequence[str]) -> None:
    """A diamond on both colour bars for each of some tasks."""
    known = {
        "mode": "markers",
        "marker": {"symbol": "diamond", "size": 11, "color": UPLOAD_COLOUR, "line": {"width": 1.5, "color": "white"}},
        "text": [labels[i] for i in places],
        "hovertemplate": "<b>%{text}</b><br>chosen<extra></extra>",
        "cliponaxis": False,
        "name": "chosen",
        "legendgroup": "chosen",
    }
    middle = [0.5] * len(places)
    figure.add_trace(go.Scatter(x=places, y=middle, yaxis="y2", **known))
    figure.add_trace(go.Scatter(x=middle, y=places, xaxis="x2", showlegend=False, **known))


def _dendrogram(along: NDArray, heights: NDArray) -> go.Scatter:
    gap = np.full((len(along), 1), np.nan)
    return go.Scatter(
        x=np.hstack([along, gap]).ravel().astype(np.float32),
        y=np.hstack([heights, gap]).ravel().astype(np.float32),
        yaxis="y3",
        mode="lines",
        line={"color": LINE, "width": 1.2},
        hovertemplate="joined at distance %{y:.4f}<extra></extra>",
        showlegend=False,
    )


def _frames(clusters: NDArray) -> go.Scatter:
    """A frame around each run of tasks of one cluster."""
    starts = np.flatnonzero(np.append(True, clusters[1:] != clusters[:-1])) - 0.5
    ends = np.append(starts[1:], len(clusters) - 0.5)
    gap = np.full(len(starts), np.nan)
    return go.Scatter(
        x=np.column_stack([starts, ends, ends, starts, starts, gap]).ravel(),
        y=np.column_stack([starts, starts, ends, ends, starts, gap]).ravel(),
        mode="lines",
        line={"color": "white", "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
    )


def _short(name: str) -> str:
    return name if len(name) <= LABEL else name[: LABEL - 1] + "…"
