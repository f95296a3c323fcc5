"""Task distance held against a taxonomy: the curve of T2V Fig. 2 and WLF Fig. 4, and the distances level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from t2v_core.figures.theme import ACCENT, LINE, OTHER_COLOUR, PALETTE, TEMPLATE, as_text

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
"""Told apart without colour, beside the palette."""

QUANTILES = (5, 25, 50, 75, 95)


def neighbour_curves(
    curves: Mapping[str, Any],
    height: int = 480,
    of: str = "nearest tasks counted (k)",
    chosen: Mapping[str, Any] | None = None,
) -> go.Figure:
    """Mean taxonomic distance of the k nearest tasks against k; a line with its 95 % band for each method.

    Args:
        curves: by the method's name, all over the same tasks: objects with ``k, mean, low, high, ideal, chance,
            tasks``, as ``space.agreement.neighbour_curve`` makes them.
        height: pixels.
        of: title of the horizontal axis.
        chosen: by the method's name, the curve of some of the tasks: a thin line with rings and without a band. They
            have more or fewer relatives than most, and so an ideal and a chance of their own, drawn thin, too.
    """
    figure = go.Figure()
    for i, (name, curve) in enumerate(curves.items()):
        colour = PALETTE[i % len(PALETTE)]
        figure.add_trace(
            go.Scatter(
                x=np.concatenate([curve.k, curve.k[::-1]]),
                y=np.concatenate([curve.high, curve.low[::-1]]),
                fill="toself",
                fillcolor=colour,
                opacity=0.18,
                line={"width": 0},
                hoverinfo="skip",
                legendgroup=name,
                showlegend=False,
            )
        )
        figure.add_trace(
            go.Scatter(
                x=curve.k,
                y=curve.mean,
                name=name,
                legendgroup=name,
                mode="lines",
                line={"color": colour, "width": 2.5, "dash": DASHES[i % len(DASHES)]},
                customdata=np.column_stack([curve.low, curve.high]),
                hovertemplate="%{y:.2f} (95 %: %{customdata[0]:.2f} to %{customdata[1]:.2f})",
            )
        )
        if chosen and name in chosen:
            figure.add_trace(
                go.Scatter(
                    x=chosen[name].k,
                    y=chosen[name].mean,
                    name=f"{name}: {_chosen_words(chosen[name].tasks)}",
                    mode="lines+markers",
                    line={"color": colour, "width": 1},
                    marker={"size": 5, "symbol": "circle-open"},
                    hovertemplate="%{y:.2f}",
                )
            )
    if curves:
        _add_references(figure, next(iter(curves.values())), "", 2)
    if chosen:
        own = next(iter(chosen.values()))
        _add_references(figure, own, f" for {_chosen_words(own.tasks)}", 1)
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    figure.update_xaxes(title=of)
    figure.update_yaxes(title="their mean distance in the taxonomy", rangemode="tozero")
    return figure


def _add_references(figure: go.Figure, curve: Any, of: str, width: int) -> None:
    """The curve of the taxonomy itself, and the level of neighbours at random."""
    for name, x, y, line in (
        (f"ideal{of}: the taxonomy itself", curve.k, curve.ideal, {"color": LINE}),
        (f"chance{of}", curve.k[[0, -1]], [curve.chance] * 2, {"color": OTHER_COLOUR, "dash": "dot"}),
    ):
        trace = go.Scatter(x=x, y=y, name=name, mode="lines", line=line | {"width": width}, hovertemplate="%{y:.2f}")
        figure.add_trace(trace)


def _chosen_words(tasks: int) -> str:
    return "the chosen task" if tasks == 1 else f"the {tasks} chosen tasks"


def distance_by_level(
    distance: NDArray,
    taxonomic: NDArray,
    levels: Sequence[str] = (),
    chosen: NDArray | None = None,
    height: int = 420,
) -> go.Figure:
    """The task distances of all pairs at each taxonomic distance, as boxes: quartiles, whiskers from 5 to 95 %.

    Only these five numbers a level are sent, not a million pairs.

    Args:
        distance: ``[n, n]``; the diagonal is left out, and so are pairs with NaN.
        taxonomic: ``[n, n]`` whole numbers 0..H.
        levels: names of the H levels from coarse to fine, where they have any.
        chosen: ``[n]`` tasks whose pairs, with each other and with all, get boxes of their own; by default none.
        height: pixels.
    """
    pairs = ~np.eye(len(distance), dtype=bool) & np.isfinite(distance) & np.isfinite(taxonomic)
    depth = len(levels) or int(taxonomic[pairs].max(initial=0))
    drawn = {"all pairs": (pairs, ACCENT, "rgba(0,114,178,0.25)")}
    if chosen is not None and chosen.any():
        drawn[f"pairs of {_chosen_words(int(chosen.sum()))}"] = (
            pairs & chosen[:, None],
            PALETTE[1],
            "rgba(230,159,0,0.25)",
        )
    figure = go.Figure()
    for name, (some, colour, pale) in drawn.items():
        values, steps = distance[some], taxonomic[some].astype(np.int64)
        found = np.unique(steps)
        boxes = [np.percentile(values[steps == step], QUANTILES) for step in found]
        low, lower, middle, upper, high = np.array(boxes).reshape(-1, len(QUANTILES)).T
        figure.add_trace(
            go.Box(
                x=[_level_name(int(step), depth, levels) for step in found],
                lowerfence=low,
                q1=lower,
                median=middle,
                q3=upper,
                upperfence=high,
                name=name,
                marker={"color": colour},
                fillcolor=pale,
            )
        )
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        showlegend=len(drawn) > 1,
        boxmode="group",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    figure.update_xaxes(title="the finest level that two tasks share", type="category")
    figure.update_yaxes(title="distance between the tasks")
    return figure


def _level_name(step: int, depth: int, levels: Sequence[str]) -> str:
    """What two tasks at taxonomic distance ``step`` share, in words."""
    if step >= depth:
        return f"nothing ({step})"
    if step == 0:
        return "the same place (0)"
    return f"{as_text(levels[depth - 1 - step]) if levels else f'level {depth - step}'} ({step})"
