"""Task map: which tasks are alike, by what is asked of a network and by what the images look like."""

from __future__ import annotations

from functools import partial
from zlib import crc32

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from pages.common.chart import draw, kept
from pages.common.chosen import focused, lines_wanted, say_chosen, show_focus, show_table
from pages.common.frame import BANK, EXPERT, open_page
from pages.common.hover import hover_cards
from pages.common.maps import (
    MOST_CLUSTERED,
    Surroundings,
    added,
    cloud,
    clusters,
    colours,
    draw_anew,
    map_table,
    surroundings,
)
from pages.common.selected import select, selected
from pages.common.space import METRICS, available_metrics, kinds_of
from pages.common.trees import tree_metric
from t2v_core.bank.bank import Bank
from t2v_core.figures.task_map import ring, task_map
from t2v_core.figures.theme import group_colours, top_groups
from t2v_core.space.projection import PERPLEXITY
from t2v_core.space.tables import kind_words

SIDES = {"left": "symmetric", "right": "domain"}
NEIGHBOURS = 10
HEIGHT = 600
WIDTHS = (220, 230, 220, 150)  # of the controls, in pixels

HIDDEN = "hidden"
"""In the address: what the legends hide."""

ANEW = (
    "From all tasks but uploads, for everyone who uses this bank. It happens by itself when more than a quarter of the "
    "tasks have come since the maps were drawn."
)

CAPTIONS = {
    "symmetric": "by **what is asked of a network** (Fisher information of the probe's filters)",
    "domain": "by **what the images look like** (mean features, labels ignored)",
}


def wanted_maps(bank: Bank, late: int) -> tuple[dict[str, str], float, list[str]]:
    """The distance behind each map, by side, the perplexity, and the kinds of tasks to show.

    Args:
        bank: the bank.
        late: how many tasks came after the maps were drawn.
    """
    kinds = kinds_of(bank)
    metrics = [metric for metric in available_metrics(bank) if tree_metric(metric) == metric]
    with st.popover("Options", icon=":material/tune:", width="stretch"):
        found = {
            side: st.selectbox(
                f"Map on the {side}",
                metrics,
                index=metrics.index(SIDES[side]) if SIDES[side] in metrics else 0,
                format_func=METRICS.get,
                key=f"map_{side}",
                bind="query-params",
            )
            for side in SIDES
        }
        perplexity = st.slider(
            "Perplexity",
            5,
            50,
            int(PERPLEXITY),
            5,
            key="perplexity",
            bind="query-params",
            help="How many neighbours t-SNE tries to keep near each task: small for fine structure, large for coarse.",
        )
        shown = st.multiselect(
            "Kinds of tasks", kinds, default=kinds, format_func=kind_words, key="map_kinds", bind="query-params"
        )
        if late:
            st.button("Draw the maps anew", on_click=draw_anew, args=(bank,), help=ANEW, width="stretch")
    return found, float(perplexity), shown


def coloured(bank: Bank, tasks: pd.DataFrame, column: str, metric: str) -> pd.DataFrame:
    """The tasks with the ``group`` that decides their colour; clusters are those of a metric."""
    if column == "cluster":
        return tasks.assign(group=clusters(bank, metric, tasks.index.tolist()))
    return tasks.assign(group=tasks[column])


def shared_colours(visible: pd.DataFrame, every: pd.DataFrame) -> dict[str, str] | None:
    """A colour for each group of the tasks to show, the same on both maps and whatever else is hidden.

    Args:
        visible: tasks with the ``group`` that decides their colour; None where it is a number.
        every: all tasks that can be shown, likewise.
    """
    if pd.api.types.is_numeric_dtype(every["group"]):
        return None
    shown, there = (t.loc[~t["upload"], "group"].astype(str).tolist() for t in (visible, every))
    return group_colours(top_groups(shown), there)


def figure_of(
    table: pd.DataFrame,
    colour: str,
    colours: dict[str, str] | None,
    metric: str,
    most: int,
    focus: str | None,
    joined: Surroundings | None,
    moved: NDArray | None,
) -> go.Figure:
    """A map.

    Args:
        table: its tasks.
        colour: what the colours show, in words.
        colours: by ``shared_colours``.
        metric: the distance behind the map.
        most: tasks that can be shown.
        focus: the task that is looked at.
        joined: what lies around it, to be drawn too.
        moved: where it might as well lie, by ``cloud``.
    """
    there = focus in table.index
    return task_map(
        table,
        colour_title=colour,
        title=METRICS[metric],
        links=(focus, joined.neighbours.index) if focus and joined and there else None,
        cloud=None if moved is None or not there else moved + table.loc[focus, ["x", "y"]].to_numpy(float),
        height=HEIGHT,
        most=most,
        colours=colours,
    )


def with_places(tasks: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Tasks with their places on both maps, in place of those on one."""
    places = {f"{side} {axis}": table[axis] for side, table in tables.items() for axis in ("x", "y")}
    return tasks.drop(columns=["x", "y"]).join(pd.DataFrame(places))


# ---- what is chosen ------------------------------------------------------------------------------------


def take_task() -> None:
    """Choose the task found by name."""
    task = st.session_state["map_find"]
    select([task] if task else [])


def hide(groups: list[str]) -> None:
    """Hide groups, by what tells them from those of other colours, on both maps and in the address."""
    st.query_params[HIDDEN] = groups


def show_every_kind(bank: Bank) -> None:
    """Hide no kind of task any more."""
    st.session_state["map_kinds"] = kinds_of(bank)


def take_group(tasks: pd.DataFrame) -> None:
    """Choose the tasks of a group."""
    group = st.session_state["map_group"]
    st.session_state["map_group"] = None
    select(tasks.index[tasks["group"] == group].tolist())


# ---- views ---------------------------------------------------------------------------------------------


@st.fragment
def explore(bank: Bank) -> None:
    """The maps, and what is chosen on them. A fragment: an answer to a click draws nothing else anew."""
    row = st.container(horizontal=True, vertical_alignment="bottom")  # in several lines where the window is narrow
    controls = [row.container(width=width) for width in WIDTHS]
    with controls[3]:
        late = added(bank)
        maps, perplexity, shown = wanted_maps(bank, late)
    version = bank.version()  # before the tables are made: what is drawn of them must not pass for a later bank's
    tables = {side: map_table(bank, metric, perplexity) for side, metric in maps.items()}
    every, right = tables.values()
    known = set(every.index)
    if alone := [task for task in right.index if task not in known]:  # one without labels has no Task2Vec distance
        every = pd.concat([every, right.loc[alone]])
    offered = colours(every)
    if not 3 <= len(every) <= MOST_CLUSTERED:
        del offered["cluster"]
    colour = controls[0].selectbox("Colour by", list(offered), key="map_colour", bind="query-params")
    every = coloured(bank, every, offered[colour], maps["left"])
    visible = every[every["kind"].isin(shown)]
    names = visible["name"].to_dict()
    kept_choice = selected(every.index)
    chosen = [task for task in kept_choice if task in names]
    st.session_state["map_find"] = chosen[0] if len(chosen) == 1 else None
    controls[1].selectbox(
        "Find a task",
        list(names),
        index=None,
        format_func=names.get,
        placeholder="type a name",
        key="map_find",
        on_change=take_task,
    )
    numeric = pd.api.types.is_numeric_dtype(visible["group"])
    controls[2].selectbox(
        "Select a group",
        [] if numeric else sorted(visible["group"].unique()),
        index=None,
        placeholder="colours are values" if numeric else "choose",
        disabled=numeric,
        key="map_group",
        on_change=take_group,
        args=(visible,),
    )
    say_chosen(len(visible), len(chosen), len(kept_choice) - len(chosen), partial(show_every_kind, bank))
    if visible.empty:
        st.info("Every kind of task is hidden; choose some under “Options”.")
        return
    focus = focused(chosen)
    lines = bool(focus) and lines_wanted()
    measures = list(maps.values())
    joined = surroundings(bank, focus, measures, NEIGHBOURS) if focus and lines else None
    groups = shared_colours(visible, every)
    columns = st.container(key="wrap").columns(len(maps))
    for column, (side, metric) in zip(columns, maps.items(), strict=True):
        table = tables[side]
        table = table.loc[table.index.intersection(visible.index)].assign(group=visible["group"])
        chart = f"map_{side}_chart"
        places = crc32(table[["x", "y"]].to_numpy(float).tobytes())  # they change without the bank: maps drawn anew
        settings = (
            *("map", bank.location, version, colour, metric, shown, perplexity, places),
            *maps.values(),  # whose tasks decide the colours, as do the clusters of the left one
            focus if joined else None,
        )
        moved = cloud(bank, focus, metric, perplexity) if focus and joined else None
        with column:
            draw(
                kept(partial(figure_of, table, colour, groups, metric, len(every), focus, joined, moved), *settings),
                key=chart,
                alt=f"Map of the tasks, {METRICS[metric]}",
                file=f"task-map-{side}",
                zoom=True,
                toolbar=True,
                chosen="areas",
                lit=chosen,
                shapes=[ring(*table.loc[focus, ["x", "y"]])] if focus in table.index else (),
                on_choose=select,
                hidden=st.query_params.get_all(HIDDEN),
                on_hide=hide,
            )
    say_what_is_seen(maps, late)
    # Takes a while: the maps come first.
    around = surroundings(bank, focus, measures, NEIGHBOURS) if focus else None
    left, right = st.container(key="wrap_chosen").columns([1.7, 1])
    with left:
        show_table(visible, chosen, partial(with_places, tables=tables))
    with right:
        show_focus(bank, visible, focus, around)
    hover_cards(bank, [f"map_{side}_chart" for side in maps], [*chosen, *(around.neighbours.index if around else ())])


def say_what_is_seen(maps: dict[str, str], late: int) -> None:
    """How to read the maps, and how to choose on them; ``late`` tasks came after they were drawn."""
    parts = [f"{side.capitalize()}: {CAPTIONS[metric]}." for side, metric in maps.items() if metric in CAPTIONS]
    st.caption(
        f"{' '.join(parts)} Each point is a task; stars are uploads, placed among their nearest tasks without moving "
        "any other. t-SNE: clusters can be trusted, gaps between far clusters and their sizes mean nothing. Click a "
        "point, or draw around several with the lasso or box of the toolbar: the choice lights up on both maps and "
        "stays with you on the other pages; a ring marks the one looked at below. Double-click a group in a legend to "
        "see it alone, the map to clear the choice."
        + (
            f" {late} task{' that came' if late == 1 else 's that came'} after the maps were drawn stand"
            f"{'s' if late == 1 else ''} among the nearest, too; “Options” lets you draw the maps anew."
            if late
            else ""
        )
    )


bank = open_page(
    "Task map",
    "Which tasks are alike, by what they ask of a network and by what their images look like?",
)
if not available_metrics(bank):
    st.info("No task is in this bank yet. Embed a folder on the page “Get an expert”, or import a bank.")
    st.page_link(EXPERT, label="Get an expert", icon=":material/arrow_forward:")
    st.page_link(BANK, label="Open the bank", icon=":material/arrow_forward:")
    st.stop()
explore(bank)
