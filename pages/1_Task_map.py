"""Task map: which tasks are alike, and where an upload lies among them."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.common.data import distance_table, kind_words, task_map_table
from pages.common.frame import BANK, EXPERT, open_page
from t2v_core.figures.task_map import task_map

COLOURS = {
    "branch of the taxonomy": "level 2",
    "top of the taxonomy": "level 1",
    "fine branch": "level 3",
    "role in this bank": "role",
    "data set": "origin",
}
NEIGHBOURS = 10

bank = open_page(
    "Task map",
    "Which tasks are alike? Each point is a task; near points ask the same of a network.",
)
tasks = task_map_table(bank)
if tasks.empty:
    st.info("No task is in this bank yet. Embed a folder on the page “Get an expert”, or import a bank.")
    st.page_link(EXPERT, label="Get an expert", icon=":material/arrow_forward:")
    st.page_link(BANK, label="Open the bank", icon=":material/arrow_forward:")
    st.stop()

controls = st.columns([1.3, 2, 2])
colour = controls[0].selectbox("Colour by", list(COLOURS), key="map_colour")
kinds = sorted(tasks["kind"].unique())
shown_kinds = controls[1].multiselect("Show", kinds, default=kinds, format_func=kind_words, key="map_kinds")
names = tasks["name"].to_dict()


def choose() -> None:
    """Keep the chosen task's id, and put it into the address so that a link opens the same view."""
    st.query_params["task"] = st.session_state["map_task"] or ""


wanted = st.query_params.get("task")
if wanted in names and st.session_state.get("map_task") != wanted:
    st.session_state["map_task"] = wanted
chosen = controls[2].selectbox(
    "Find a task",
    list(names),
    index=None,
    format_func=lambda i: names[i],
    placeholder="type a name, or click a point",
    key="map_task",
    on_change=choose,
)

visible = tasks[tasks["kind"].isin(shown_kinds)].copy()
visible["group"] = visible[COLOURS[colour]]
picture, panel = st.columns([2.4, 1])
with picture:
    if visible.empty:
        st.info("Every kind of task is hidden; choose some under “Show”.")
    else:
        figure = task_map(visible, frozenset([chosen] if chosen else []))
        event = st.plotly_chart(
            figure,
            key="task_map",
            on_select="rerun",
            selection_mode="points",
            config={"scrollZoom": True, "displaylogo": False},
            alt="Map of all tasks in the bank",
        )
        clicked = [point["customdata"][0] for point in event.selection.points if point.get("customdata")]
        if clicked and clicked[0] != st.session_state.get("map_clicked"):
            st.session_state["map_clicked"] = clicked[0]
            st.query_params["task"] = clicked[0]
            st.rerun()
    st.caption(
        "t-SNE of the symmetric Task2Vec distance (Fisher information of the probe's filters). Clusters can be "
        "trusted; gaps between far clusters and their sizes mean nothing. Stars are uploads, placed among their "
        "nearest tasks without moving any other point."
    )

with panel:
    if not chosen:
        st.subheader("Pick a task")
        st.write("Click a point or search above to see what a task is made of and which tasks are nearest to it.")
    else:
        row = tasks.loc[chosen]
        st.subheader(row["name"])
        st.write(row["path"])
        st.write(f"{row['classes']} classes · {row['images']:,} images · a linear head is right on {row['accuracy']}")
        distance = distance_table(bank)[chosen].drop(chosen).nsmallest(NEIGHBOURS)
        near = pd.DataFrame({"nearest tasks": [names[i] for i in distance.index], "distance": distance.to_numpy()})
        columns = {
            "nearest tasks": st.column_config.TextColumn(width=190),
            "distance": st.column_config.NumberColumn(format="%.3f", width=70),
        }
        st.dataframe(near, hide_index=True, column_config=columns)
        st.download_button(
            "Download all distances of this task", distance_table(bank)[chosen].to_csv(), f"{chosen}.csv"
        )
