"""Toy tasks (T2V supplement Fig. 4): a map on which every task is its own little picture, and a closer look at one."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image, ImageColor
from plotly.colors import sample_colorscale

from t2v_core.figures.theme import ACCENT, TEMPLATE, UPLOAD_COLOUR

POSITIVE, NEGATIVE = ACCENT, "#F3EBDD"

LENGTHS = "Purples"
"""Frames: pale around simple tasks, dark around complex ones."""

ZOOM, FRAME = 3, 6
"""Pixels of a picture per grid point, and of its frame: enough to be crisp when magnified."""

ICON = 0.07
"""Side of a picture on the map, in widths of the map."""

GAP = 0.2
"""Between the pictures of the closer look, in sides of a small one."""

HOVER = (
    "<b>task %{customdata[0]}</b><br>%{customdata[1]} clusters, boundary %{customdata[2]:.1f} sides long"
    "<br>head right on %{customdata[3]:.0%}<br>norm of the embedding %{customdata[4]:.3g}<extra></extra>"
)


def task_pictures(labels: NDArray, boundary: NDArray) -> list[str]:
    """Every task as a PNG in a data URI, framed in the colour of its boundary length.

    Args:
        labels: ``[T, S, S]`` zeros and ones, the first row at the bottom.
        boundary: ``[T]``.
    """
    span = float(np.ptp(boundary)) or 1.0
    frames = sample_colorscale(LENGTHS, ((boundary - boundary.min()) / span).tolist(), colortype="tuple")
    pictures = []
    for task, frame in zip(labels, frames, strict=True):
        points = np.kron(task[::-1], np.ones((ZOOM, ZOOM))).astype(np.uint8)
        image = Image.fromarray(np.pad(points, FRAME, constant_values=2), mode="P")
        colours = [ImageColor.getrgb(NEGATIVE), ImageColor.getrgb(POSITIVE), tuple(round(255 * c) for c in frame)]
        image.putpalette([value for colour in colours for value in colour])
        file = io.BytesIO()
        image.save(file, "PNG", optimize=True)
        pictures.append("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
    return pictures


def toy_map(
    tasks: pd.DataFrame,
    pictures: Sequence[str],
    selected: int | None = None,
    near: Sequence[int] = (),
    height: int = 540,
) -> go.Figure:
    """Draw every task as its picture.

    Args:
        tasks: ``task, clusters, boundary, accuracy, norm, x, y``, one row a picture.
        pictures: from ``task_pictures``.
        selected: row to ring.
        near: rows to ring thinly.
        height: pixels.

    Returns:
        A figure whose ``customdata[0]`` is ``task``.
    """
    at = tasks[["x", "y"]].to_numpy()
    at = (at - at.min(0)) / (np.ptp(at, axis=0).max() or 1.0)
    figure = go.Figure(
        go.Scatter(
            x=at[:, 0],
            y=at[:, 1],
            mode="markers",
            marker={
                "size": 26,
                "symbol": "square",
                "opacity": 0,
                "color": tasks["boundary"],
                "colorscale": LENGTHS,
                "colorbar": {
                    "title": {"text": "frame: length of the boundary", "side": "top"},
                    "orientation": "h",
                    "thickness": 8,
                    "len": 0.7,
                    "y": 0,
                    "yanchor": "top",
                    "outlinewidth": 0,
                },
            },
            customdata=tasks[["task", "clusters", "boundary", "accuracy", "norm"]].to_numpy().tolist(),
            hovertemplate=HOVER,
        )
    )
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        dragmode="pan",
        uirevision="toy map",
        images=[_picture(source, x, y, ICON) for source, (x, y) in zip(pictures, at, strict=True)],
        shapes=[_ring(at[row], 1.5) for row in near] + ([] if selected is None else [_ring(at[selected], 4)]),
    )
    edge = 0.75 * ICON
    figure.update_xaxes(visible=False, range=[-edge, at[:, 0].max() + edge])
    figure.update_yaxes(visible=False, range=[-edge, at[:, 1].max() + edge], scaleanchor="x")
    return figure


def _picture(source: str, x: float, y: float, side: float) -> dict:
    middle = {"xref": "x", "yref": "y", "xanchor": "center", "yanchor": "middle"}
    return {"source": source, "x": x, "y": y, "sizex": side, "sizey": side, "layer": "below", **middle}


def _ring(at: NDArray, width: float) -> dict:
    (x, y), half = at, 0.55 * ICON
    line = {"color": UPLOAD_COLOUR, "width": width}
    return {"type": "rect", "x0": x - half, "x1": x + half, "y0": y - half, "y1": y + half, "line": line}


def toy_task(
    labels: NDArray,
    decision: NDArray,
    accuracy: float,
    near: pd.DataFrame,
    pictures: Sequence[str],
    height: int = 410,
) -> go.Figure:
    """A task, what its head has learnt of it, and its nearest tasks below.

    Args:
        labels: ``[S, S]`` zeros and ones, the first row at the bottom.
        decision: ``[S, S]`` the head's p(positive).
        accuracy: of the head on these points.
        near: ``task, clusters, distance``, nearest first.
        pictures: of the nearest tasks.
        height: pixels.

    Returns:
        A figure whose ``customdata[0]`` is the nearest tasks' ``task``.
    """
    count = len(near)
    width = count + GAP * (count - 1)
    large = (width - GAP) / 2
    figure = go.Figure()
    for left, values, words in ((0.0, labels, "label %{z}"), (large + GAP, decision, "p(positive) = %{z:.2f}")):
        step = large / len(values)
        place = {"x0": left + step / 2, "dx": step, "y0": 1.9 + step / 2, "dy": step}
        colours = [[0, NEGATIVE], [1, POSITIVE]]
        figure.add_trace(
            go.Heatmap(
                z=np.round(values, 3),
                zmin=0,
                zmax=1,
                colorscale=colours,
                showscale=False,
                hovertemplate=words + "<extra></extra>",
                **place,
            )
        )
    figure.add_trace(
        go.Contour(
            z=np.round(decision, 3),
            contours={"start": 0.5, "end": 0.5, "coloring": "none"},
            line={"color": UPLOAD_COLOUR, "width": 2},
            showscale=False,
            hoverinfo="skip",
            **place,
        )
    )
    x = np.arange(count) * (1 + GAP) + 0.5
    figure.add_trace(
        go.Scatter(
            x=x,
            y=np.full(count, 0.7),
            mode="markers",
            marker={"size": 40, "symbol": "square", "opacity": 0},
            customdata=near[["task", "clusters", "distance"]].to_numpy().tolist(),
            hovertemplate="<b>task %{customdata[0]}</b><br>%{customdata[1]} clusters"
            "<br>distance %{customdata[2]:.3f}<extra></extra>",
        )
    )
    texts = [(large / 2, "the task"), (large * 1.5 + GAP, f"its head, right on {accuracy:.0%}")]
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        showlegend=False,
        dragmode=False,
        images=[_picture(source, at, 0.7, 1.0) for source, at in zip(pictures, x, strict=True)],
        annotations=[_text(at, 2.05 + large, text) for at, text in texts]
        + [_text(0, 1.45, "nearest tasks and their distance", xanchor="left")]
        + [_text(at, 0.02, f"{d:.2f}") for at, d in zip(x, near["distance"], strict=True)],
    )
    figure.update_xaxes(visible=False, range=[-0.1, width + 0.1])
    figure.update_yaxes(visible=False, range=[-0.2, 2.3 + large], scaleanchor="x")
    return figure


def _text(x: float, y: float, text: str, xanchor: str = "center") -> dict:
    return {"x": x, "y": y, "text": text, "showarrow": False, "xanchor": xanchor, "font": {"size": 13}}
