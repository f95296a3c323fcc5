"""What is chosen on the Task map: a table of the tasks, and one of them from near with its neighbours."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.common.frame import COMPARE, SIMILARITY, plain
from pages.common.maps import Surroundings
from pages.common.pictures import show_strip
from pages.common.selected import address, select
from pages.common.space import METRICS, distances, records
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank

LINES = "map_lines"
"""Whether a task's surroundings are drawn on the maps."""

COLUMNS = {
    "name": st.column_config.TextColumn("task", width="medium"),
    "path": st.column_config.TextColumn("place in the taxonomy", width="medium"),
    "role": "role",
    "classes": st.column_config.NumberColumn(width="small"),
    "images": st.column_config.NumberColumn(width="small"),
    "error": st.column_config.NumberColumn("head's error, %", format="%.0f", help="Of a linear head on the probe."),
    "norm": st.column_config.NumberColumn(format="compact", help="Sum of the embedding's values."),
}


def show_table(tasks: pd.DataFrame, chosen: list[str]) -> None:
    """The chosen tasks, or all."""
    rows = tasks.loc[chosen] if chosen else tasks
    head, clear = st.columns([3, 1], vertical_alignment="bottom")
    head.subheader(f"{len(chosen)} chosen" if chosen else f"All {len(tasks):,} tasks")
    if chosen and clear.button("Clear", icon=":material/close:", width="stretch"):
        select([])
        st.rerun(scope="fragment")
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
        download("Download as CSV", rows.drop(columns="id").rename_axis("task"), "tasks", index=True)
        if len(chosen) > 1:
            known = address(chosen)
            st.page_link(COMPARE, label="Compare them", icon=":material/compare:", query_params=known)
            st.page_link(SIMILARITY, label="See their matrix", icon=":material/grid_on:", query_params=known)


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
    known = records(bank)
    near = pd.DataFrame(
        {
            "nearest tasks": [known[i].name for i in around.neighbours.index],
            "distance": around.neighbours["distance"],
            "±": around.neighbours["spread"],
        }
    )
    if around.metric != "symmetric":
        st.caption(f"It has no Task2Vec distance, so what follows is by {METRICS[around.metric]}.")
    numbers = {
        "nearest tasks": st.column_config.TextColumn(width=190),
        "distance": st.column_config.NumberColumn(format="%.3f", width=70),
        "±": st.column_config.NumberColumn(
            format="%.3f", width=60, help="How far the distance varies with other images of the same tasks (1 s.d.)."
        ),
    }
    st.dataframe(near, hide_index=True, column_config=numbers)
    st.toggle(
        "Draw its neighbours and uncertainty on the maps",
        key=LINES,
        bind="query-params",
        help="Lines lead to the nearest tasks. The pale dots show where the task might as well lie, had its images "
        "been others.",
    )
    download(
        "Download all its distances",
        distances(bank, around.metric)[focus].rename("distance").rename_axis("task").reset_index(),
        focus,
    )
