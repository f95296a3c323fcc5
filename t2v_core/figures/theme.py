"""One look for every figure: colours that colour-blind people can tell apart, on a light page and on a dark one.

Backgrounds are transparent and no text has a colour of its own, so that the page's theme gives both.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from unicodedata import east_asian_width

import plotly.graph_objects as go

PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#C2128F",
    "#56B4E9",
    "#88BB77",
    "#8877FF",
    "#666644",
    "#885566",
)
"""Five of Okabe and Ito's colours, and five that people who see no red, green or blue tell from them and from grey."""

LETTER, CAPITAL, IDEOGRAPH = 0.51, 0.68, 1.0
"""Width of a letter, at most on average, in sizes of its font."""

OTHER = "other"
OTHER_COLOUR = "#9AA0A6"
UPLOAD_COLOUR = "#D7263D"
ACCENT = PALETTE[0]
LINE = "#7A7F85"
"""Of axes, references and intervals: as far from white as from black."""

GRID = "rgba(128,128,128,0.18)"
SHADE, SHADE_LINE = "rgba(64,150,220,0.35)", "rgba(40,130,200,0.75)"
"""A distribution in the background, and its outline."""

ORDERED = ((0.0, PALETTE[0]), (0.5, OTHER_COLOUR), (1.0, PALETTE[1]))
"""From low to high: neither end is near white or black."""

AXIS = {"gridcolor": GRID, "zeroline": False, "automargin": True, "title": {"font": {"size": 14}}}

PNG_BUTTON = Path(__file__).with_name("png_button.js").read_text(encoding="utf-8")
"""Script of a button for Plotly's toolbar, ``PNG``: one for the pages and for files that open by themselves."""

TEMPLATE = go.layout.Template(
    layout={
        "font": {"size": 14},
        "colorway": PALETTE,
        "title": {"x": 0, "xref": "paper", "font": {"size": 15, "weight": 600}},
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left", "font": {"size": 13}},
        "xaxis": AXIS,
        "yaxis": AXIS | {"ticklabelstandoff": 4},
        "legend": {"itemsizing": "constant", "title": {"font": {"size": 14}}},
    }
)


def top_groups(values: Sequence[str]) -> list[str]:
    """The most frequent values, as many as there are colours, keep their name; all others become ``"other"``."""
    kept = _most_frequent(values)
    return [v if v in kept else OTHER for v in values]


def group_colours(groups: Sequence[str], every: Sequence[str] = ()) -> dict[str, str]:
    """A colour for each group, in alphabetical order; grey for ``"other"``.

    Args:
        groups: what ``top_groups`` made of the tasks that are shown.
        every: the group of each task there is, shown or not: a group keeps its colour when others are hidden. Beyond
            the most frequent of all, a group takes a colour that nothing shown has.
    """
    names = sorted({g for g in groups if g != OTHER})
    own = dict(zip(sorted(_most_frequent(every or names)), PALETTE, strict=False))
    free = (colour for colour in PALETTE if colour not in {own.get(name) for name in names})
    colours = {name: own.get(name) or next(free) for name in names}
    return colours | ({OTHER: OTHER_COLOUR} if OTHER in groups else {})


def _most_frequent(values: Sequence[str]) -> list[str]:
    """As many values as there are colours, ties in alphabetical order."""
    counts = Counter(values)
    return sorted(counts, key=lambda v: (-counts[v], v))[: len(PALETTE)]


def space_for(labels: Iterable[str], size: float) -> float:
    """Pixels for the longest of some labels beside an axis: a margin that the browser finds has it draw all twice."""
    return 14 + size * max((sum(map(_width, label)) for label in labels), default=0)


def _width(letter: str) -> float:
    if east_asian_width(letter) in "WF":
        return IDEOGRAPH
    return CAPITAL if letter.isupper() else LETTER


def as_text(name: str, most: int | None = None) -> str:
    """A name, cut to ``most`` letters, as Plotly shows it letter by letter.

    Otherwise it takes some HTML in it, as in ``<b>name``, for markup. Every figure does this for the names it is given.
    """
    return html.escape(name if most is None or len(name) <= most else f"{name[: most - 1]}…", quote=False)
