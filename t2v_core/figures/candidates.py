"""One task from near: the error of every candidate against what a rule goes by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from t2v_core.figures.theme import OTHER_COLOUR, SHADE, SHADE_LINE, TEMPLATE, as_text
from t2v_core.figures.violins import styles


def candidates(
    table: pd.DataFrame, score: str, what: str, marks: Mapping[str, Sequence[str]], generic: float | None = None
) -> go.Figure:
    """One task's candidates: their error against a score, and beside it the distribution of the errors.

    Args:
        table: by expert id: ``expert, error`` (%), and the column ``score``.
        score: its name.
        what: the score is.
        marks: by rule, or ``BEST``: ids of the experts to mark.
        generic: error in % of the expert that was not fine-tuned.
    """
    figure = make_subplots(cols=2, shared_yaxes=True, column_widths=[0.82, 0.18], horizontal_spacing=0.01)
    figure.add_trace(
        go.Scatter(
            x=table[score],
            y=table["error"],
            name="candidates",
            mode="markers",
            marker={"size": 7, "color": SHADE_LINE},
            text=table["expert"].map(as_text),
            hovertemplate="<b>%{text}</b><br>error %{y:.1f} %<br>" + as_text(what) + " %{x:.4g}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    for rule, (symbol, colour, size) in styles(list(marks)).items():
        rows = table.loc[table.index.isin(list(marks[rule]))]
        figure.add_trace(
            go.Scatter(
                x=rows[score],
                y=rows["error"],
                name=as_text(rule),
                mode="markers",
                marker={"symbol": symbol, "size": 1.3 * size, "color": colour, "line": {"width": 2}},
                hoverinfo="skip",
            ),
            row=1,
            col=1,
        )
    figure.add_trace(
        go.Violin(
            y=table["error"],
            points=False,
            line={"color": SHADE_LINE, "width": 1},
            fillcolor=SHADE,
            spanmode="hard",
            hoverinfo="skip",
            showlegend=False,
        ),
        row=1,
        col=2,
    )
    if generic is not None and np.isfinite(generic):
        figure.add_hline(
            y=generic,
            line={"color": OTHER_COLOUR, "dash": "dash", "width": 1.5},
            annotation={"text": f"generic {generic:.1f} %", "font": {"size": 12}},
            annotation_position="top left",
            row=1,
            col=1,
        )
    figure.update_layout(
        template=TEMPLATE, height=440, legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0}
    )
    figure.update_xaxes(title=as_text(what), row=1, col=1)
    figure.update_xaxes(visible=False, row=1, col=2)
    figure.update_yaxes(title="test error, %", row=1, col=1)
    return figure
