"""The error of every expert on every task, and what each rule picks (T2V Fig. 3, WLF Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from t2v_core.figures.choice import RULE_COLOURS
from t2v_core.figures.theme import ACCENT, OTHER_COLOUR, PALETTE, SHADE, SHADE_LINE, TEMPLATE, as_text, space_for

BEST = "best possible"
"""Name of the mark at the lowest error there is."""

MARKS = {
    BEST: ("circle-open", PALETTE[7], 15),
    "chance": ("line-ew-open", OTHER_COLOUR, 9),
    "generic": ("triangle-up-open", OTHER_COLOUR, 9),
    "static": ("square-open", RULE_COLOURS["static"], 9),
    "asymmetric": ("x-thin-open", PALETTE[2], 8),
    "symmetric": ("cross-thin-open", PALETTE[0], 10),
    "domain": ("diamond-open", PALETTE[1], 10),
    "model2vec": ("triangle-down-open", PALETTE[3], 10),
}
"""Symbol, colour and size. All are open: marks on one spot can be told apart, and a pick in the ring is the best."""

OTHERS = (
    ("hexagon-open", PALETTE[4], 11),
    ("asterisk-open", PALETTE[9], 8),
    ("bowtie-open", ACCENT, 9),
    ("star-open", PALETTE[1], 11),
    ("triangle-left-open", PALETTE[8], 10),
    ("hourglass-open", PALETTE[5], 9),
    ("pentagon-open", PALETTE[6], 11),
    ("triangle-right-open", PALETTE[3], 10),
    ("octagon-open", PALETTE[0], 10),
    ("diamond-tall-open", PALETTE[2], 10),
    ("square-cross-open", PALETTE[7], 9),
    ("hexagram-open", PALETTE[9], 11),
    ("diamond-wide-open", ACCENT, 10),
    ("circle-x-open", PALETTE[4], 9),
    ("star-square-open", PALETTE[5], 10),
    ("triangle-ne-open", PALETTE[6], 10),
    ("square-x-open", PALETTE[1], 9),
    ("y-up-open", PALETTE[3], 10),
    ("star-diamond-open", PALETTE[8], 10),
    ("circle-cross-open", PALETTE[0], 9),
    ("y-down-open", PALETTE[6], 10),
    ("star-triangle-up-open", PALETTE[2], 10),
)
"""The same for rules without a mark of their own."""

LABEL, FONT = 24, 11
"""Letters of a name on the axis."""

WIDEST = 40
"""With more tasks a violin is too narrow to be read: bars of quantiles take its place."""

MOST_POINTS = 3000
"""With more errors only their distribution is drawn."""


def violins(
    ids: Sequence[str],
    names: Sequence[str],
    errors: NDArray,
    experts: Sequence[str],
    marks: Mapping[str, tuple[NDArray, Sequence[str]]],
    height: int = 560,
) -> go.Figure:
    """Draw tasks from left to right as they are given.

    Args:
        ids: ``[T]`` of the tasks.
        names: ``[T]`` for people.
        errors: ``[T, E]`` in %, NaN where an expert is no candidate.
        experts: ``[E]`` names.
        marks: by rule, or ``BEST``: ``[T]`` errors (NaN for no mark) and the names of what is picked.
        height: pixels.

    Returns:
        A figure with one trace for the distributions (three for many tasks) and one a mark; every point's
        ``customdata[0]`` is the task id.
    """
    count, shown = len(ids), [as_text(name) for name in names]
    figure = go.Figure(_bars(ids, shown, errors) if count > WIDEST else _violins(ids, shown, errors, experts))
    places = np.arange(count)
    scale, width = (0.65, 1.2) if count > WIDEST else (1.0, 2.0)
    for rule, (symbol, colour, size) in styles(list(marks)).items():
        values, chosen = marks[rule]
        figure.add_trace(
            go.Scatter(
                x=places,
                y=values,
                name=as_text(rule),
                meta=rule,
                mode="markers",
                marker={"symbol": symbol, "size": scale * size, "color": colour, "line": {"width": width}},
                customdata=list(zip(ids, shown, map(as_text, chosen), strict=True)),
                hovertemplate=f"<b>%{{customdata[1]}}</b><br>{as_text(rule)}: %{{customdata[2]}}<br>error %{{y:.1f}} %"
                "<extra></extra>",
            )
        )
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        margin={"l": 64, "b": space_for((name[:LABEL] for name in names), FONT)},
        dragmode="zoom",
        uirevision=f"violins {count} {list(ids[:1])}",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0},
    )
    figure.update_xaxes(**named_axis(names), range=[-0.6, max(count, 1) - 0.4], showgrid=False)
    figure.update_yaxes(title="test error, %", rangemode="tozero", fixedrange=True, automargin=False)
    return figure


def styles(rules: Sequence[str]) -> dict[str, tuple[str, str, int]]:
    """Symbol, colour and size of each rule's mark; rules without one of their own take turns."""
    strangers = [rule for rule in rules if rule not in MARKS]
    return {rule: MARKS[rule] if rule in MARKS else OTHERS[strangers.index(rule) % len(OTHERS)] for rule in rules}


def named_axis(names: Sequence[str], most: int = WIDEST) -> dict[str, Any]:
    """An axis on which the i-th name stands at i: all names, or about ``most`` of them where they are more."""
    count = len(names)
    return {
        # Ticks are positions that show as names: they thin out by themselves and fill in as one zooms.
        "tickformat": "d",
        "labelalias": {str(i): as_text(name, LABEL) for i, name in enumerate(names)},
        **({"dtick": 1} if count <= most else {"nticks": most}),
        "tickangle": -90,
        "tickfont": {"size": FONT if count <= 30 else FONT - 1},
        "automargin": False,
        "minallowed": -0.6,
        "maxallowed": max(count, 1) - 0.4,
    }


def _violins(ids: Sequence[str], names: Sequence[str], errors: NDArray, experts: Sequence[str]) -> list[go.Violin]:
    t, e = np.nonzero(np.isfinite(errors))
    pointed = len(t) <= MOST_POINTS
    return [
        go.Violin(
            x=t,
            y=errors[t, e].astype(np.float32),
            name="all experts",
            width=0.85,
            points="all" if pointed else False,
            pointpos=0,
            jitter=0.35,
            marker={"size": 3, "color": SHADE_LINE},
            line={"color": SHADE_LINE, "width": 1},
            fillcolor=SHADE,
            spanmode="hard",
            scalemode="width",
            hoveron="points",
            customdata=[(ids[i], names[i], as_text(experts[j])) for i, j in zip(t.tolist(), e.tolist(), strict=True)]
            if pointed
            else None,
            hovertemplate="<b>%{customdata[1]}</b><br>%{customdata[2]}<br>error %{y:.1f} %<extra></extra>",
        )
    ]


def _bars(ids: Sequence[str], names: Sequence[str], errors: NDArray) -> list[go.Scatter]:
    """From the lowest to the highest error a thin line, over the middle half a thick one, at the median a dash."""
    low, lower, middle, upper, high = np.nanpercentile(errors, [0, 25, 50, 75, 100], axis=1)
    places, gap = np.arange(len(errors)), np.full(len(errors), np.nan)
    line = {"x": np.column_stack([places, places, gap]).ravel(), "mode": "lines", "legendgroup": "all experts"}
    return [
        go.Scatter(
            **line,
            y=np.column_stack([low, high, gap]).ravel(),
            line={"color": SHADE, "width": 2},
            name="all experts",
            hoverinfo="skip",
            showlegend=False,
        ),
        go.Scatter(
            **line,
            y=np.column_stack([lower, upper, gap]).ravel(),
            line={"color": SHADE, "width": 5},
            name="all experts: middle half",
            hoverinfo="skip",
        ),
        go.Scatter(
            x=places,
            y=middle,
            name="all experts: median",
            legendgroup="all experts",
            mode="markers",
            marker={"symbol": "line-ew-open", "size": 5, "color": SHADE_LINE, "line": {"width": 2}},
            customdata=list(zip(ids, names, *np.stack([low, lower, upper, high]).tolist(), strict=True)),
            hovertemplate="<b>%{customdata[1]}</b><br>errors %{customdata[2]:.1f} to %{customdata[5]:.1f} %, "
            "half of them %{customdata[3]:.1f} to %{customdata[4]:.1f} %, median %{y:.1f} %<extra></extra>",
        ),
    ]
