"""A report as one HTML file: plotly.js is in it once, it opens offline, and it may not ask anyone for anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd
import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from t2v_core.figures.theme import PNG_BUTTON

STYLE = """
:root {color-scheme: light dark; --text: #202124; --page: #fff; --quiet: #5f6368; --line: #dadce0;}
@media (prefers-color-scheme: dark) {:root {--text: #e8eaed; --page: #171614; --quiet: #9aa0a6; --line: #3c4043;}}
body {font: 16px/1.55 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 1200px;
  margin: 0 auto; padding: 2rem 1.2rem 4rem;}
h1 {margin-bottom: .2rem;}
h2 {margin: 2.6rem 0 .3rem;}
p {max-width: 75ch; margin: .4rem 0;}
.wide {overflow-x: auto;}
table {border-collapse: collapse; font-size: 14px; margin: .8rem 0;}
th, td {border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left; vertical-align: top;
  max-width: 36rem; font-variant-numeric: tabular-nums;}
footer {margin-top: 3rem; color: var(--quiet); font-size: 14px;}
"""

POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
"""The browser itself refuses every request to anywhere."""

DRAW = """
const dark = matchMedia("(prefers-color-scheme: dark)"), places = [];

// Figures have no colours of their own for text and background.
function look() {
  const style = getComputedStyle(document.documentElement), of = name => style.getPropertyValue(`--${name}`).trim();
  return {
    "font.color": of("text"),
    "hoverlabel.bgcolor": of("page"),
    "hoverlabel.bordercolor": of("line"),
    "hoverlabel.font.color": of("text"),
    "modebar.bgcolor": "rgba(0,0,0,0)",
    "modebar.color": of("quiet"),
    "modebar.activecolor": of("text"),
  };
}
dark.addEventListener("change", () => places.forEach(place => Plotly.relayout(place, look())));

async function draw(place, figure) {
  figure.layout.dragmode = "zoom";
  places.push(place);
  await Plotly.newPlot(place, figure.data, figure.layout, {
    displaylogo: false,
    showSendToCloud: false,
    responsive: true,
    toImageButtonOptions: {format: "svg", filename: place},
    modeBarButtonsToAdd: [PNG],
  });
  await Plotly.relayout(place, look());
}
"""


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: its heading.
        words: what is seen and how far to trust it; plain text, as the title.
        figure: of Plotly.
        table: cells and headings are plain text or numbers.
    """

    title: str
    words: str
    figure: go.Figure | None = None
    table: pd.DataFrame | None = None


def html_report(title: str, words: str, sections: Sequence[Section], footer: str) -> str:
    """The whole file.

    Args:
        title, words: what the report is; plain text.
        sections: from top to bottom.
        footer: where it comes from; plain text.
    """
    # Loaded here: 5 MB that only a report needs.
    from plotly.offline import get_plotlyjs

    parts = [
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n<script>{get_plotlyjs()}</script>\n"
        f"<script>{PNG_BUTTON}{DRAW}</script>\n</head>\n<body>",
        f"<h1>{escape(title)}</h1>\n<p>{escape(words)}</p>",
        *(_section(section, number) for number, section in enumerate(sections)),
        f"<footer>{escape(footer)}</footer>\n</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _section(section: Section, number: int) -> str:
    parts = [f"<section>\n<h2>{escape(section.title)}</h2>"]
    if section.figure is not None:
        place = f"figure-{number}"
        # In a script, "<" could begin the end of it.
        figure = to_json_plotly(section.figure).replace("<", "\\u003c")
        parts.append(f'<div id="{place}"></div>\n<script>draw("{place}", {figure})</script>')
    parts.append(f"<p>{escape(section.words)}</p>")
    if section.table is not None:
        table = section.table.to_html(index=False, escape=True, border=0, float_format="{:.4g}".format, na_rep="–")
        parts.append(f'<div class="wide">{table}</div>')
    return "\n".join([*parts, "</section>"])
