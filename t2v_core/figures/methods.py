"""Methods side by side: what they lose and cost, initialisations, networks, values of embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from t2v_core.figures.theme import ACCENT, GRID, LINE, OTHER_COLOUR, PALETTE, TEMPLATE

NEEDS_COLOURS = {
    "nothing": OTHER_COLOUR,
    "images": PALETTE[2],
    "images, labels": PALETTE[0],
    "images, every expert": PALETTE[4],
    "images, labels, every expert": PALETTE[3],
    "not measured": LINE,
}
"""What a rule has to be given of a target, as a colour."""

ROW = 25

TICK_WIDTH = 14
"""Letters in a line below an axis that is parted in four."""


def losses(table: pd.DataFrame, kind: str) -> go.Figure:
    """What every rule loses on one kind of target, the best on top; its cost stands beside its name.

    Args:
        table: of ``comparison.method_table``.
        kind: of target; rules silent on it are left out.

    Returns:
        A figure with one trace for all that need the same of a target.
    """
    table = table[table[kind].notna()].sort_values(kind, ascending=False, kind="stable")
    names = pd.Series([f"{rule}{_cost(s)}" for rule, s in table["target"].items()], index=table.index, dtype=object)
    figure = go.Figure()
    for needs, colour in NEEDS_COLOURS.items():
        part = table[table["needs"] == needs]
        if part.empty:
            continue
        low, high = part[f"{kind}_low"], part[f"{kind}_high"]
        figure.add_trace(
            go.Scatter(
                x=part[kind],
                y=names[part.index],
                name=needs,
                mode="markers",
                marker={"size": 10, "color": colour},
                error_x={"array": high - part[kind], "arrayminus": part[kind] - low, "thickness": 1.5, "width": 0},
                customdata=np.column_stack([low, high]),
                text=part.index,
                hovertemplate="<b>%{text}</b><br>loses %{x:.1f} % [%{customdata[0]:.1f}, %{customdata[1]:.1f}]"
                "<extra></extra>",
                cliponaxis=False,
            )
        )
    figure.update_layout(
        template=TEMPLATE,
        height=110 + ROW * len(table),
        margin={"t": 60},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0, "title": "needs"},
    )
    figure.update_xaxes(title="loses, % above the best error", rangemode="tozero")
    figure.update_yaxes(categoryorder="array", categoryarray=names.tolist(), showgrid=True)
    return figure


def by_kind(rows: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> go.Figure:
    """The loss of a few rules on every kind of target, side by side (WLF Fig. 6).

    Args:
        rows: by the name of a rule, ``kind, mean, low, high``.
        titles: a heading for each kind.
    """
    figure = go.Figure()
    kinds = list(titles)
    for number, (name, part) in enumerate(rows.items()):
        part = part.set_index("kind").reindex(kinds)
        figure.add_trace(
            go.Bar(
                x=[titles[k] for k in kinds],
                y=part["mean"],
                name=name,
                marker={"color": PALETTE[number % len(PALETTE)] if name != "chance" else OTHER_COLOUR},
                error_y={
                    "array": part["high"] - part["mean"],
                    "arrayminus": part["mean"] - part["low"],
                    "color": LINE,
                    "thickness": 1.5,
                },
                customdata=part[["low", "high"]],
                hovertemplate=f"<b>{name}</b>, %{{x}}<br>loses %{{y:.1f}} % [%{{customdata[0]:.1f}}, "
                "%{customdata[1]:.1f}]<extra></extra>",
            )
        )
    figure.update_layout(
        template=TEMPLATE,
        height=480,
        barmode="group",
        margin={"t": 50},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    # In lines of a word or two, or a narrow page would turn them and leave the bars no room.
    words = ["<br>".join(wrap(title, TICK_WIDTH)) for title in titles.values()]
    figure.update_xaxes(tickvals=list(titles.values()), ticktext=words, tickangle=0)
    figure.update_yaxes(title="loses, % above the best error", rangemode="tozero")
    return figure


def networks_curve(table: pd.DataFrame, lines: Mapping[str, float]) -> go.Figure:
    """The kernel's loss by the number of networks that share a budget of batches (WLF Fig. 7).

    Args:
        table: of ``comparison.networks_table``.
        lines: losses to compare with, by name, drawn across.
    """
    figure = go.Figure(
        go.Scatter(
            x=table["networks"].astype(str),
            y=table["mean"],
            mode="lines+markers",
            marker={"size": 10, "color": ACCENT},
            error_y={
                "array": table["high"] - table["mean"],
                "arrayminus": table["mean"] - table["low"],
                "color": OTHER_COLOUR,
                "thickness": 1.5,
            },
            customdata=table[["batches", "low", "high"]],
            hovertemplate="%{x} networks, %{customdata[0]} batches each<br>loses %{y:.1f} % "
            "[%{customdata[1]:.1f}, %{customdata[2]:.1f}]<extra></extra>",
        )
    )
    for name, loss in lines.items():
        figure.add_hline(
            y=loss,
            line={"color": LINE, "dash": "dash"},
            annotation={"text": name, "font": {"size": 12}},
            annotation_position="top left",
        )
    figure.update_layout(template=TEMPLATE, height=360, showlegend=False)
    figure.update_xaxes(title="random networks; the budget of batches is shared among them", type="category")
    figure.update_yaxes(title="loses, %", rangemode="tozero")
    return figure


def value_histograms(edges: Sequence[float], shares: Mapping[str, Sequence[float]]) -> go.Figure:
    """The values of embeddings relative to the mean of each (WLF Fig. 8).

    Args:
        edges: log10 of the relative values between the bins.
        shares: of the values in each bin, by method.
    """
    middles = 10 ** ((np.asarray(edges)[1:] + np.asarray(edges)[:-1]) / 2)
    figure = go.Figure(
        [
            go.Scatter(
                x=middles,
                y=100 * np.asarray(values),
                name=name,
                mode="lines",
                line={"shape": "hvh", "width": 2, "color": PALETTE[number % len(PALETTE)]},
                hovertemplate=f"<b>{name}</b><br>%{{y:.1f}} % of the filters near %{{x:.2g}} times the mean"
                "<extra></extra>",
            )
            for number, (name, values) in enumerate(shares.items())
        ]
    )
    figure.add_vline(x=1, line={"color": GRID, "width": 2})
    figure.update_layout(
        template=TEMPLATE,
        height=400,
        margin={"t": 50},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    figure.update_xaxes(type="log", title="a filter's value over the mean of its embedding")
    figure.update_yaxes(title="% of the filters", rangemode="tozero")
    return figure


def agreement_by_layer(layers: Sequence[str], rho: Sequence[Sequence[float]]) -> go.Figure:
    """How far two estimates of the Fisher diagonal agree, layer by layer: the median over tasks and their range.

    Args:
        layers: names in network order.
        rho: ``[tasks, layers]`` rank correlations.
    """
    values = np.asarray(rho, dtype=float)
    low, middle, high = np.nanmin(values, 0), np.nanmedian(values, 0), np.nanmax(values, 0)
    spread = {"array": high - middle, "arrayminus": middle - low, "color": OTHER_COLOUR, "thickness": 1.5}
    figure = go.Figure(
        go.Scatter(
            x=list(layers),
            y=middle,
            mode="markers",
            marker={"size": 10, "color": ACCENT},
            error_y=spread,
            hovertemplate="%{x}<br>median rank correlation %{y:.2f}<extra></extra>",
        )
    )
    figure.update_layout(template=TEMPLATE, height=360, showlegend=False)
    figure.update_xaxes(title="layer, from the images on", type="category", tickangle=-45)
    figure.update_yaxes(title="rank correlation", range=[min(0.0, float(np.nanmin(low))) - 0.05, 1.05])
    return figure


def _cost(seconds: float) -> str:
    """Seconds to two digits, after a name; nothing where they are none or unknown."""
    return f" · {seconds:.2g} s" if 0 < seconds < 10 else f" · {seconds:.0f} s" if seconds > 0 else ""
