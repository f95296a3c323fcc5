"""The clustered matrix of T2V Fig. 2 left: heat map, dendrogram, and a colour bar of the true groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from zlib import crc32

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from t2v_core.figures.matrix_picture import SCALE, MatrixPicture, colour_range, matrix_picture
from t2v_core.figures.theme import LINE, TEMPLATE, UPLOAD_COLOUR, as_text, group_colours, space_for, top_groups

LABEL = 25
FONT = 11
"""Size of the names."""

LABELS_SHOWN = 55
"""Names on an axis at most: beyond, every second, fifth, ... task is named until one zooms in."""

STRIP = 0.6
"""Width of the strip beside a colour bar where chosen tasks are marked, in widths of the bar."""

MOST_TASKS = 4000
"""More have a tree whose order is not the best one, and names that take megabytes; show fewer kinds instead."""

MARKS = {20: 11, 100: 7, MOST_TASKS: 5}
"""Size of the marks by the most tasks that are marked so."""

MOST_CELLS = 500
"""With more tasks the matrix is drawn as a picture, and cell by cell where a part of it is enlarged."""

MOST_BETWEEN = 400
"""With more tasks, places between two tasks keep their number: silencing ten for each would send too much."""


def similarity_matrix(
    distance: pd.DataFrame,
    order: NDArray[np.int64],
    names: Sequence[str],
    groups: Sequence[str],
    *,
    every: Sequence[str] = (),
    dendrogram: tuple[NDArray, NDArray] | None = None,
    clusters: NDArray[np.int64] | None = None,
    cut: float | None = None,
    enlarged: int | None = None,
    picture: MatrixPicture | None = None,
    asymmetric: bool = False,
    selected: Collection[str] = (),
    named: bool = True,
    height: int = 860,
) -> go.Figure:
    """Draw a distance matrix with its tasks in the order of a tree's leaves.

    Args:
        distance: ``[n, n]`` by task id, without NaN; rows are targets, columns sources. It is drawn as it is.
        order: positions of the tasks to draw, from left to right and from top to bottom.
        names: ``[n]`` for people, in the order of ``distance``.
        groups: ``[n]`` the true group of each task, likewise.
        every: the groups of all tasks there are, so that none changes its colour when others are left out.
        dendrogram: a line along the leaves and in height, see ``Clustering.outline``.
        clusters: ``[n]`` a cluster for each task, in the order of ``distance``; neighbours in one are framed.
        cut: height at which the tree was cut.
        enlarged: the cluster to fill the view with.
        picture: of the ordered matrix, where it has been made before; it serves more than ``MOST_CELLS`` tasks.
        asymmetric: name the axes after target and source.
        selected: ids of tasks to mark at both colour bars.
        named: write names along the edges.
        height: pixels.

    Returns:
        A figure with tasks at 0, 1, ... on both axes (``x, y``), whose ticks show as names. ``customdata`` of the
        colour bars is the group; ``layout.meta["ids"]`` holds all ids from left to right.

    Raises:
        ValueError: there are more than ``MOST_TASKS``, or a distance is missing.
    """
    if len(order) > MOST_TASKS:
        raise ValueError(f"a matrix of {len(order)} tasks is too large to draw; choose at most {MOST_TASKS}")
    ids = [str(distance.index[i]) for i in order]
    labels = [as_text(names[i], LABEL) for i in order]
    count = len(ids)
    inside = np.arange(count)
    if enlarged is not None and clusters is not None:
        inside = np.flatnonzero(clusters[order] == enlarged)
    low, high = (inside[0] - 0.5, inside[-1] + 0.5) if len(inside) else (-0.5, count - 0.5)
    # Ticks are positions that show as names: they thin out by themselves and fill in as one zooms.
    shared = {
        "labelalias": _aliases(labels),
        "nticks": LABELS_SHOWN,
        "dtick": 1 if len(inside) <= LABELS_SHOWN else None,
        "showgrid": False,
        "showticklabels": named,
        "tickfont": {"size": FONT},
        "ticklabeloverflow": "allow",  # to look for names that stick out takes longer than to draw them
        "automargin": False,
        "minallowed": -0.5,
        "maxallowed": count - 0.5,
    }
    hidden = {"visible": False, "fixedrange": True}
    edge = space_for(labels if named else (), FONT) + 24 * asymmetric
    # Given to the figure when it is made: an update later takes longer.
    figure = go.Figure(
        layout={
            "template": TEMPLATE,
            "height": height,
            "margin": {"l": edge, "b": edge},
            "meta": {"ids": ids},
            "uirevision": crc32("\n".join(ids).encode()),  # the zoom stays as long as tasks stand where they stood
            "xaxis": {
                **shared,
                "domain": [0.025, 1],
                "range": [low, high],
                "tickangle": -90,
                "anchor": "y",
                "title": "source" if asymmetric else None,
            },
            "yaxis": {
                **shared,
                "domain": [0, 0.83],
                "range": [high, low],
                "anchor": "x2",
                "title": "target" if asymmetric else None,
            },
            # A bar lies between 0 and 1, the marks of what is chosen beside it: they would cover it.
            "xaxis2": {**hidden, "domain": [0, 0.022], "range": [-STRIP, 1]},
            "yaxis2": {**hidden, "domain": [0.836, 0.863], "range": [0, 1 + STRIP]},
            "yaxis3": {**hidden, "domain": [0.865, 1], "rangemode": "tozero"},
            "legend": {
                "orientation": "h",
                "yanchor": "bottom",
                "y": 1.01,
                "x": 0,
                "itemclick": False,
                "itemdoubleclick": False,
            },
        }
    )
    if count > MOST_CELLS:
        picture = picture or matrix_picture(_ordered(distance, order))
        _add_picture(figure, picture, count)
        if len(inside) <= MOST_CELLS:
            cells = _ordered(distance, order[inside])
            figure.add_trace(_heat_map(cells, inside, (picture.low, picture.high), asymmetric))
    else:
        cells = _ordered(distance, order)
        figure.add_trace(_heat_map(cells, np.arange(count), colour_range(cells), asymmetric))
    _add_groups(figure, [groups[i] for i in order], every)
    marked = [i for i, task in enumerate(ids) if task in frozenset(selected)]
    if marked:
        _add_marks(figure, marked, labels)
    if dendrogram is not None and count > 1:
        figure.add_trace(_dendrogram(*dendrogram))
        if cut is not None:
            figure.add_hline(y=cut, line={"dash": "dash", "color": LINE, "width": 1}, yref="y3")
    if clusters is not None:
        _add_frames(figure, clusters[order])
    return figure


def _ordered(distance: pd.DataFrame, order: NDArray[np.int64]) -> NDArray:
    values = distance.to_numpy()[np.ix_(order, order)]
    if np.isnan(values).any():
        raise ValueError("the matrix has missing distances; leave those tasks out")
    return values


def _aliases(labels: Sequence[str]) -> dict[str, str]:
    """A name for every tick: a task's at its place, none between two tasks, where ticks fall as one zooms far in."""
    between = range(10 * len(labels)) if len(labels) <= MOST_BETWEEN else ()
    return {f"{i / 10:.1f}": " " for i in between if i % 10} | {str(i): label for i, label in enumerate(labels)}


def _heat_map(values: NDArray, places: NDArray[np.int64], ends: tuple[float, float], asymmetric: bool) -> go.Heatmap:
    """Every cell of some neighbouring tasks, coloured between two distances."""
    between = "from <b>%{x}</b><br>to <b>%{y}</b>" if asymmetric else "<b>%{x}</b><br><b>%{y}</b>"
    return go.Heatmap(
        x=places,
        y=places,
        z=values.astype(np.float32),
        hovertemplate=between + "<br>distance %{z:.4f}<extra></extra>",
        **_colours(*ends),
    )


def _add_picture(figure: go.Figure, picture: MatrixPicture, count: int) -> None:
    """A picture of all cells, and over it invisible coarser ones that say what lies under the pointer."""
    figure.add_layout_image(
        source=picture.source,
        xref="x",
        yref="y",
        x=-0.5,
        y=-0.5,
        sizex=count,
        sizey=count,
        sizing="stretch",
        layer="below",
    )
    figure.add_trace(
        go.Heatmap(
            x=picture.middles,
            y=picture.middles,
            z=picture.means,
            opacity=0,
            hovertemplate="around <b>%{x}</b><br>and <b>%{y}</b><br>mean distance %{z:.4f}<br>Enlarge a cluster to see "
            "single tasks.<extra></extra>",
            **_colours(picture.low, picture.high),
        )
    )


def _colours(low: float, high: float) -> dict:
    ticks = np.linspace(low, high, 5)
    return {
        "zmin": low,
        "zmax": high,
        "colorscale": SCALE,
        "colorbar": {
            "title": {"text": "distance"},
            "tickvals": ticks,
            "ticktext": [f"{t:.2g}" for t in ticks],
            "thickness": 12,
            "len": 0.83,
            "yanchor": "bottom",
            "y": 0,
        },
    }


def _add_groups(figure: go.Figure, groups: Sequence[str], every: Sequence[str]) -> None:
    """Colour bars of the groups above and left of the matrix; ten groups and "other"."""
    if not groups:
        return
    shown = top_groups(groups)
    colours = group_colours(shown, every)
    number = {group: i for i, group in enumerate(colours)}
    steps = np.linspace(0, 1, len(colours) + 1)
    known = {
        "zmin": -0.5,
        "zmax": len(colours) - 0.5,
        "colorscale": [(end, c) for i, c in enumerate(colours.values()) for end in steps[i : i + 2]],
        "showscale": False,
    }
    about = "<br>%{customdata}<extra></extra>"
    places, codes = np.arange(len(groups)), np.array([number[group] for group in shown], dtype=np.int8)
    named = np.array([as_text(group) for group in groups], dtype=object)
    above = {"x": places, "y": [0, 1], "z": codes[None], "customdata": named[None], "yaxis": "y2"}
    left = {"x": [0, 1], "y": places, "z": codes[:, None], "customdata": named[:, None], "xaxis": "x2"}
    figure.add_trace(go.Heatmap(above, hovertemplate="<b>%{x}</b>" + about, **known))
    figure.add_trace(go.Heatmap(left, hovertemplate="<b>%{y}</b>" + about, **known))
    for group, colour in colours.items():  # marks without a place: the legend of both bars
        marker = {"symbol": "square", "size": 12, "color": colour}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", name=as_text(group), marker=marker))


def _add_marks(figure: go.Figure, places: Sequence[int], labels: Sequence[str]) -> None:
    """A triangle beside both colour bars for each of some tasks, pointing at it."""
    marker = {"size": next(size for most, size in MARKS.items() if len(places) <= most), "color": UPLOAD_COLOUR}
    known = {
        "mode": "markers",
        "text": [labels[i] for i in places],
        "hovertemplate": "<b>%{text}</b><br>chosen<extra></extra>",
        "cliponaxis": False,
        "name": "chosen",
        "legendgroup": "chosen",
    }
    above, left = [1 + STRIP / 2] * len(places), [-STRIP / 2] * len(places)
    down, right = ({**marker, "symbol": f"triangle-{way}"} for way in ("down", "right"))
    figure.add_trace(go.Scatter(x=places, y=above, yaxis="y2", marker=down, **known))
    figure.add_trace(go.Scatter(x=left, y=places, xaxis="x2", marker=right, showlegend=False, **known))


def _dendrogram(along: NDArray, heights: NDArray) -> go.Scatter:
    return go.Scatter(
        x=along.astype(np.float32),
        y=heights.astype(np.float32),
        yaxis="y3",
        mode="lines",
        line={"color": LINE, "width": 1.2},
        hovertemplate="joined at distance %{y:.4f}<extra></extra>",
        showlegend=False,
    )


def _add_frames(figure: go.Figure, clusters: NDArray) -> None:
    """A frame around each run of tasks of one cluster; shapes, so that another cut leaves all data as they are."""
    starts = (np.flatnonzero(np.append(True, clusters[1:] != clusters[:-1])) - 0.5).tolist()
    frame = {"type": "rect", "xref": "x", "yref": "y", "line": {"color": "white", "width": 1.5}}
    frames = [frame | {"x0": a, "y0": a, "x1": b, "y1": b} for a, b in pairwise([*starts, len(clusters) - 0.5])]
    figure.layout.shapes = [*figure.layout.shapes, *frames]
