"""The view of the page "Taxonomy" that shows where taxonomy and distance disagree, ready to inspect."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.common.frame import COMPARE, plain
from pages.common.selected import address, selected
from pages.common.space import METRICS, Held, Placed, held, map_link, records
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import called

NEAREST = 5
SHOWN = 10


def show_disagreements(bank: Bank, found: Placed, metric: str) -> None:
    """The tasks and pairs on which the two distances differ most."""
    result = held(bank, found, metric)
    tasks = records(bank)
    names = called(tasks[i] for i in found.ids)
    listed = result.agreement.pairs
    listed = listed.assign(**{"one task": listed["a"].map(names), "other task": listed["b"].map(names)})
    columns = {
        "distance": st.column_config.NumberColumn(format="%.3f", help=f"{METRICS[metric]}."),
        "taxonomic": st.column_config.NumberColumn(
            "in taxonomy", format="%d", help="0 is the same place, the largest number nothing in common."
        ),
    }
    st.caption(
        "Pairs are compared by rank among all pairs. A disagreement may be a fault of the distance or of the taxonomy, "
        "or something they share that the taxonomy does not know, such as their images. Choose a row to look at it."
    )
    pairs = {"far_pairs": listed[listed["difference"] > 0], "near_pairs": listed[listed["difference"] < 0]}
    pairs = {key: part.head(SHOWN).reset_index(drop=True) for key, part in pairs.items()}
    worst = result.agreement.tasks.dropna().head(SHOWN)
    rows = {key: part[["a", "b"]].to_numpy().tolist() for key, part in pairs.items()}
    rows["worst_tasks"] = [[i] for i in worst.index]
    look = [i for i in dict.fromkeys(st.query_params.get_all("look")) if i in names][:2]

    def look_below(key: str) -> None:
        """What is looked at, below the table it was chosen in: elsewhere it would be out of sight."""
        if look in rows[key]:
            inspect(found, result, look, names)

    if (wanted := look or selected(names)[:2]) and not any(look in part for part in rows.values()):
        inspect(found, result, wanted, names)
    titles = {"far_pairs": "Related, but far apart", "near_pairs": "Near, but hardly related"}
    for key, part in pairs.items():
        st.markdown(f"##### {titles[key]}")
        if part.empty:
            st.write("None.")
            continue
        st.dataframe(
            part[["one task", "other task", "distance", "taxonomic"]],
            hide_index=True,
            column_config=columns,
            key=key,
            on_select=lambda key=key: inspect_row(key, rows[key]),
            selection_mode="single-row",
        )
        look_below(key)
    st.markdown("##### Tasks whose neighbours the taxonomy would not have given them")
    st.dataframe(
        pd.DataFrame(
            {
                "task": [names[i] for i in worst.index],
                "path": [place(found, i) for i in worst.index],
                "ρ": worst["rho"].to_numpy(),
            }
        ),
        hide_index=True,
        column_config={
            "ρ": st.column_config.NumberColumn(
                format="%.2f", help="Rank correlation of the task's own distances with the taxonomy."
            )
        },
        key="worst_tasks",
        on_select=lambda: inspect_row("worst_tasks", rows["worst_tasks"]),
        selection_mode="single-row",
    )
    look_below("worst_tasks")
    with st.container(horizontal=True):
        download("Download the pairs as CSV", listed, "disagreeing-pairs")
        tasks = result.agreement.tasks.assign(name=lambda t: t.index.map(names)).rename_axis("task")
        download("Download all tasks as CSV", tasks, "agreement-by-task", index=True)


def inspect_row(key: str, rows: list[list[str]]) -> None:
    """Put the tasks of the chosen row into the address, so that a link opens the same view."""
    chosen = st.session_state[key].selection.rows
    if chosen:
        st.query_params["look"] = rows[chosen[0]]


def inspect(found: Placed, result: Held, look: list[str], names: dict[str, str]) -> None:
    """One or two tasks with their places and their nearest tasks."""
    st.subheader(" and ".join(plain(names[i]) for i in look))
    if len(look) == 2:
        st.page_link(COMPARE, label="Compare the two", icon=":material/compare:", query_params=address(look))
    row = st.container(horizontal=True)
    for task in look:
        with row.container(width=470):
            st.markdown(f"**{plain(names[task])}**  \n{plain(place(found, task))}")
            near = result.distance.loc[task].drop(task).nsmallest(NEAREST)
            steps = found.distance[found.ids.index(task)]
            st.dataframe(
                pd.DataFrame(
                    {
                        "nearest tasks": [names[i] for i in near.index],
                        "distance": near.to_numpy(),
                        "in taxonomy": [int(steps[found.ids.index(i)]) for i in near.index],
                    }
                ),
                hide_index=True,
                column_config={"distance": st.column_config.NumberColumn(format="%.3f", width="small")},
                key=f"near {task}",
            )
            map_link([task], "See it on the Task map")


def place(found: Placed, task: str) -> str:
    """Where a task stands, in words."""
    paths = found.paths[found.ids.index(task)]
    return " › ".join(paths[0]) + (f" (and {len(paths) - 1} more)" if len(paths) > 1 else "")
