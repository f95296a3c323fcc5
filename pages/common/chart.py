"""Figures on the pages: Plotly as a component of our own, which works a change into what is drawn.

Streamlit's own chart is built anew whenever anything in its figure changes, which takes most of a second with a
thousand tasks and forgets the zoom.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal

import plotly
import plotly.graph_objects as go
import streamlit as st
from plotly.io.json import to_json_plotly
from streamlit.components.v1 import declare_component

from t2v_core.figures.theme import PNG_BUTTON

CSS = """
.chart {position: relative;}
.chart:focus-within .modebar {opacity: 1;}
.chart .legendtoggle:focus-visible {outline: 2px solid var(--st-primary-color);}
.chart:fullscreen {background: var(--st-background-color);}
"""

NAME = "chart"

_mount = st.components.v2.component(
    NAME,
    css=CSS,
    js=PNG_BUTTON + Path(__file__).with_name("chart.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def _library() -> str:
    """Address of the script that the plotly package brings."""
    # Never mounted: it is how Streamlit serves a folder.
    folder = declare_component("plotly", path=Path(plotly.__file__).parent / "package_data")
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    return f"{'/' if base else ''}{base}/component/{folder.name}/plotly.min.js?v={plotly.__version__}"


def as_json(figure: go.Figure) -> str:
    """A figure as it is sent to the browser.

    Its shapes stand in a line of their own: Plotly draws those in no time, where everything else costs a tenth of a
    second.
    """
    rest = figure.to_dict()
    shapes = rest["layout"].pop("shapes", ())
    return f"{to_json_plotly(shapes)}\n{to_json_plotly(rest)}"


@st.cache_resource(show_spinner=False, max_entries=48)
def kept(_make: Callable[[], go.Figure], *settings: object) -> str:
    """A figure for ``draw``, made once for all answers with the same settings: all that it hangs on."""
    return as_json(_make())


def draw(
    figure: go.Figure | str,
    *,
    key: str,
    alt: str,
    file: str,
    zoom: bool = False,
    toolbar: bool = False,
    chosen: Literal["points", "areas"] | None = None,
    lit: Sequence[Any] | None = None,
    hidden: Sequence[str] | None = None,
    shapes: Sequence[dict] = (),
    on_choose: Callable[[list[Any]], None] | None = None,
    on_hide: Callable[[list[str]], None] | None = None,
) -> None:
    """Draw a figure, as wide as there is place.

    Args:
        figure: or what ``kept`` made of it before. Its template leaves the colour of text to the page. A
            ``layout.uirevision`` that stays the same keeps the zoom when the figure changes.
        key: of the element, and its class ``st-key-…`` on the page.
        alt: what it shows, for people who do not see it.
        file: name of the picture that the toolbar saves, without ``.svg`` or ``.png``.
        zoom: the wheel enlarges.
        toolbar: always shown, not only under the pointer.
        chosen: how a person chooses on it: click ``points``, or also draw around them in ``areas``.
        lit: what to bring out, by the first entry of ``customdata``; of nothing all points look alike.
        hidden: traces to leave in the legend alone, by their ``meta``. Charts that are given some show the same ones.
        shapes: to draw over the figure's own, at every answer without making the figure anew.
        on_choose: called before the next run with the first entry of ``customdata`` of the points chosen; in areas,
            none where the choice was cleared.
        on_hide: called before the next run with all that is hidden since a click on the legend.
    """
    about = {
        "alt": alt,
        "chosen": chosen,
        "lit": lit,
        "hidden": hidden,
        "config": {
            "scrollZoom": zoom,
            "toImageButtonOptions": {"format": "svg", "filename": file},
            **({"displayModeBar": True} if toolbar else {}),
        },
        "library": _library(),
    }

    source = figure if isinstance(figure, str) else as_json(figure)
    if shapes:
        own, source = source.split("\n", 1)
        source = f"{to_json_plotly([*json.loads(own), *shapes])}\n{source}"

    def told(name: str, kinds: type | UnionType) -> list[Any]:
        found = getattr(st.session_state[key], name)  # by a browser: it may be anything
        return [entry for entry in found if isinstance(entry, kinds)] if isinstance(found, list) else []

    def take() -> None:
        found = told("chosen", str | int)
        if on_choose is not None and (found or chosen == "areas"):
            on_choose(found)

    def take_hidden() -> None:
        if on_hide is not None:
            on_hide(told("hidden", str))

    _mount(
        key=key,
        data=f"{json.dumps(about)}\n{source}".encode(),
        on_chosen_change=take,
        on_hidden_change=take_hidden,
    )
