"""What is chosen on the Task map: a table of the tasks, and one of them from near with its neighbours."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from pages.common.frame import COMPARE, SIMILARITY, plain
from pages.common.maps import Surroundings
from pages.common.pictures import show_strip
from pages.common.selected import address, select
from pages.common.space import METRICS, distances, records
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import called
from t2v_core.selection.words import counted

LINES = "map_lines"
"""Whether a task's surroundings are drawn on the maps."""

COLUMNS = {
    "name": st.column_config.TextColumn("task", width=150),
    "path": st.column_config.TextColumn("place in the taxonomy", width=130),
    "role": st.column_config.TextColumn(width=95),
    "classes": st.column_config.NumberColumn(width=62),
    "images": st.column_config.NumberColumn(width=62),
    "error": st.column_config.NumberColumn("error, %", format="%.0f", width=65, help="Of a linear head on the probe."),
    "norm": st.column_config.NumberColumn(format="compact", width=60, help="Sum of the embedding's values."),
}
MATRIX = 3
"""Tasks that a matrix needs."""


def say_chosen(visible: int, chosen: int, hidden: int, show_every_kind: Callable[[], None]) -> None:
    """How many tasks are chosen, above the maps: the table of them may be out of sight.

    Args:
        visible: tasks on the maps.
        chosen: of these.
        hidden: tasks that are chosen, too, and of a kind that is not shown.
        show_every_kind: shows them.
    """
    row = st.container(horizontal=True, vertical_alignment="center", key="say_chosen")
    tasks = counted(visible, "task")
    told = f"**{chosen:,} of {tasks} chosen**" if chosen else f"{tasks}, none chosen"
    if hidden:
        told += f"; {counted(hidden, 'chosen task')} of a kind that is not shown"
    row.markdown(told, width="content")
    if hidden:
        row.button("Show every kind", icon=":material/visibility:", type="tertiary", on_click=show_every_kind)
    if chosen or hidden:
        row.button("Clear", icon=":material/close:", type="tertiary", on_click=select, args=([],))


def show_table(tasks: pd.DataFrame, chosen: list[str], as_file: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """The chosen tasks, or all.

    Args:
        tasks: all that are shown, by id.
        chosen: ids of some.
        as_file: what to write of the tasks of the table; asked when it is wanted.
    """
    rows = tasks.loc[chosen] if chosen else tasks
    all_of_them = f"All {len(tasks):,} tasks" if len(tasks) > 1 else "1 task"
    st.subheader(f"{len(chosen):,} chosen" if chosen else all_of_them)
    st.dataframe(
        rows[list(COLUMNS)],
        key="map_table",
        hide_index=True,
        column_config=COLUMNS,
        height=min(420, 38 + 35 * max(1, len(rows))),
        on_select=lambda: take_row(rows, chosen),
        selection_mode="single-row",
    )
    with st.container(horizontal=True):
        download("Download as CSV", lambda: as_file(rows).drop(columns="id").rename_axis("task"), "tasks", index=True)
        if len(chosen) > 1:
            known = address(chosen)
            st.page_link(COMPARE, label="Compare them", icon=":material/compare:", query_params=known)
        if len(chosen) >= MATRIX:
            alone = known | {"only": "true"}
            st.page_link(SIMILARITY, label="See their matrix", icon=":material/grid_on:", query_params=alone)


def take_row(rows: pd.DataFrame, chosen: list[str]) -> None:
    """Look at the task of the row that was clicked; where nothing was chosen yet, choose it."""
    picked = st.session_state["map_table"].selection.rows
    if not picked:
        return
    task = rows.index[picked[0]]
    st.query_params["focus"] = task
    if not chosen:
        select([task])


def focused(chosen: list[str]) -> str | None:
    """The one of the chosen tasks that is looked at."""
    wanted = st.query_params.get("focus")
    if wanted is None or wanted in chosen:
        return wanted or next(iter(chosen), None)
    del st.query_params["focus"]
    return next(iter(chosen), None)


def lines_wanted() -> bool:
    """Whether a task's surroundings are to be drawn: the switch stands below the maps, so a link is asked itself."""
    return st.session_state.get(LINES, st.query_params.get(LINES) == "true")


def show_focus(bank: Bank, tasks: pd.DataFrame, focus: str | None, around: Surroundings | None) -> None:
    """A task and its neighbours."""
    if focus is None or around is None:
        st.subheader("Nothing chosen yet")
        st.write("Click a point, a row of the table, or search above, to see what a task is made of and what is near.")
        return
    row = tasks.loc[focus]
    st.subheader(plain(row["name"]))
    st.write(
        f"{plain(row['path'])}  \n{row['classes']} classes · {row['images']:,} images · a linear head is right on "
        f"{row['accuracy']}"
    )
    show_strip(bank, focus)
    names = called(records(bank).values())
    near = pd.DataFrame(
        {
            "nearest tasks": [names[i] for i in around.neighbours.index],
            "distance": around.neighbours["distance"],
            "±": around.neighbours["spread"],
        }
    )
    st.caption(f"Distances by {METRICS[around.metric]}.")
    numbers = {
        "nearest tasks": st.column_config.TextColumn(width=190),
        "distance": st.column_config.NumberColumn(format="%.3f", width=70),
        "±": st.column_config.NumberColumn(
            format="%.3f", width=60, help="How far the distance varies with other images of the same tasks (1 s.d.)."
        ),
    }
    st.dataframe(near, hide_index=True, column_config=numbers)
    st.toggle(
        "Draw its neighbours and noise",
        key=LINES,
        bind="query-params",
        help=f"On the maps. Lines lead to the nearest tasks by {METRICS[around.metric]}; the pale dots show where the "
        "task might as well lie, had its images been others (on maps by Task2Vec or by the domain).",
    )
    download(
        "Download all its distances",
        distances(bank, around.metric)[focus].rename("distance").rename_axis("task").reset_index(),
        focus,
    )
