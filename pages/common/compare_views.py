"""The views of the page "Compare"."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from pages.common.chart import draw
from pages.common.compare import (
    GENERIC_NAME,
    error_table,
    fact_table,
    pair_comparison,
    pair_table,
    parting,
)
from pages.common.frame import EXPERT, plain
from pages.common.pictures import show_strips
from pages.common.space import distances, map_link, records
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import called
from t2v_core.figures.compare import DRAWN, errors_side_by_side, filter_scatter, layer_contributions, pair_distances
from t2v_core.selection.meta_task import GENERIC
from t2v_core.space.compare import own_neighbours, shared_neighbours

BEST = 5
FILTERS_SHOWN = 200
FINE = st.column_config.NumberColumn(format="%.4f")
ONE_DIGIT = st.column_config.NumberColumn(format="%.1f")

FORMATS: dict[str, Callable[[float], str]] = {
    "classes": "{:,.0f}".format,
    "images": "{:,.0f}".format,
    "norm": "{:.3g}".format,
    "error of the embedding %": "{:.1f}".format,
    "head accuracy %": "{:.0f}".format,
}
WORDS = {"role": "role in this bank", "origin": "data set", "images": "training images"}


def show_facts(bank: Bank, tasks: list[str], names: dict[str, str]) -> None:
    """Distances with their spread, and what is known of each task."""
    pairs = pair_table(bank, tasks)
    called = pairs.assign(a=pairs["a"].map(names), b=pairs["b"].map(names))
    st.markdown("##### How far apart")
    draw(
        pair_distances(called),
        key="pairs",
        file="distances-of-pairs",
        alt="Distance of every pair of the chosen tasks with its spread",
    )
    st.caption(
        "Symmetric Task2Vec distance, from 0 (alike to the probe) upwards; bars: 95 % of what other images of the same "
        "tasks would give. Noise can only add distance, so for near pairs the bar lies to the right of its point. "
        "Where bars overlap, do not call one pair nearer."
    )
    table = called.drop(columns="spread").rename(
        columns={"a": "one task", "b": "other task", "low": "from", "high": "to", "taxonomic": "in taxonomy"}
    )
    st.dataframe(
        table,
        hide_index=True,
        column_config={name: FINE for name in ("distance", "from", "to")}
        | {
            "domain": st.column_config.NumberColumn(format="%.4f", help="By their images alone, without the labels."),
            "in taxonomy": st.column_config.NumberColumn(
                format="%d", help="As on the page Taxonomy: 0 is the same place, the largest number nothing in common."
            ),
        },
    )
    st.markdown("##### Side by side")
    st.markdown(parting([records(bank)[task] for task in tasks]))
    show_strips(bank, tasks, names)
    facts = fact_table(bank, tasks)
    shown = facts.copy()
    for column, form in FORMATS.items():
        shown[column] = [form(value) if pd.notna(value) else "–" for value in facts[column]]
    st.dataframe(
        shown.rename(index=names, columns=WORDS).T,
        height="content",
        column_config={"_index": st.column_config.Column(width=190)},
    )
    st.caption(
        "Norm: the size of the Fisher embedding; what it goes with in this bank is shown on the page Taxonomy. "
        "Error of the embedding: how much it would change with other images of the task. "
        "Head accuracy: of a linear head on the probe, on images kept aside."
    )
    with st.container(horizontal=True):
        download("Download the distances as CSV", pairs, "pairs")
        download("Download the facts as CSV", facts.rename_axis("task"), "tasks-side-by-side", index=True)


def show_layers(bank: Bank, tasks: list[str], names: dict[str, str]) -> None:
    """Which layers and filters of the probe two of the tasks use differently."""
    a, b = choose_pair(tasks, names)
    found = pair_comparison(bank, a, b)
    left, right = plain(names[a]), plain(names[b])
    st.markdown(
        f"Distance between **{left}** and **{right}**: {found.distance:.4f} ± {found.spread:.4f}. "
        "A filter's Fisher value says how much the probe's answers on a task would change if that filter were moved a "
        "little: near 0 where the filter is idle. It does not say what the filter sees."
    )
    draw(
        layer_contributions(found.layers, names[a], names[b]),
        key="layers",
        file="layers",
        alt="Each layer's part of the distance, and for which of the two tasks it matters more",
    )
    certain = found.filters["difference"].abs() > 2 * found.filters["error"]
    st.caption(
        "Left: the layers' parts of the distance, which add up to 100 %; layers of many filters have more to add. "
        f"Right: the layer's summed values, as ({left} − {right}) / ({left} + {right}), with twice their standard "
        "error; a bar that crosses 0 cannot be told from no difference."
    )
    st.markdown(
        f"##### Filters\n{certain.sum():,} of {len(certain):,} filters differ by more than twice their standard error; "
        f"by chance alone it would be about {0.05 * len(certain):,.0f}."
    )
    ranked = found.filters.assign(share=100 * found.filters["contribution"] / max(found.distance, 1e-12))
    ranked = ranked.sort_values("contribution", ascending=False, kind="stable")
    row = st.container(horizontal=True)  # side by side, or one below the other where the window is narrow
    with row.container(width=520):
        draw(
            filter_scatter(found.filters, names[a], names[b]),
            key="filters",
            file="filters",
            zoom=True,
            alt="Fisher value of every filter for one task against the other",
        )
    row.container(width=440).dataframe(
        ranked[["layer", "filter", "share", "difference", "error"]].head(FILTERS_SHOWN),
        hide_index=True,
        height=520,
        column_config={
            "layer": st.column_config.TextColumn(width=150),
            "filter": st.column_config.NumberColumn(width=55),
            "share": st.column_config.NumberColumn("part %", format="%.2f", width=65, help="Of the distance."),
            "difference": st.column_config.NumberColumn(
                format="%+.2f", width=85, help=f"1: it matters to {left} alone; −1: to {right} alone."
            ),
            "error": st.column_config.NumberColumn(
                "±", format="%.3f", width=60, help="Standard error of the difference."
            ),
        },
    )
    st.caption(
        "On the dashed line both tasks use a filter alike; values of 0 stand at the edge. Every filter counts by its "
        "relative difference, so one that hardly matters to either task can still add distance: look at its value and "
        f"its error, too. Table: the {min(FILTERS_SHOWN, len(ranked)):,} filters that add most."
        + (f" Points: the {DRAWN} that add most; grey: the others." if len(ranked) > DRAWN else "")
    )
    with st.container(horizontal=True):
        download("Download the layers as CSV", found.layers, "layers")
        download("Download all filters as CSV", ranked, "filters")


def choose_pair(tasks: list[str], names: dict[str, str]) -> tuple[str, str]:
    """Two of the tasks; where there are more, those in the address, else the first two."""
    if len(tasks) == 2:
        return tasks[0], tasks[1]

    def keep() -> None:
        st.query_params["pair"] = list(st.session_state["pair_choice"])

    options = [(a, b) for i, a in enumerate(tasks) for b in tasks[i + 1 :]]
    asked = tuple(st.query_params.get_all("pair"))
    wanted = asked if asked in options else options[0]
    if st.session_state.get("pair_choice") != wanted:
        st.session_state["pair_choice"] = wanted
    return st.selectbox(
        "Which two",
        options,
        format_func=lambda pair: " – ".join(names[i] for i in pair),
        key="pair_choice",
        on_change=keep,
    )


def show_neighbours(bank: Bank, tasks: list[str], names: dict[str, str]) -> None:
    """Tasks near to several of the chosen ones, and those near to one alone."""
    distance = distances(bank, "symmetric")
    if len(distance) <= len(tasks):
        st.info("The bank holds no other task.")
        return
    k = st.slider("Neighbours of each that count", 3, 50, 10, key="k", bind="query-params")
    shared = shared_neighbours(distance, tasks, k)
    everyone = int((shared["of"] == len(tasks)).sum())
    st.markdown("##### Shared")
    if shared.empty:
        st.write(f"No task is among the {k} nearest of more than one of them.")
    else:
        st.markdown(
            f"{everyone or 'No'} task{'s are' if everyone > 1 else ' is'} among the {k} nearest of "
            f"{'both' if len(tasks) == 2 else f'all {len(tasks)}'}."
        )
        st.dataframe(
            shared.rename(index=names, columns={"of": "near to", "mean": "mean distance"} | names).rename_axis("task"),
            column_config={
                "near to": st.column_config.NumberColumn(width="small", help="How many of the chosen tasks."),
                "mean distance": FINE,
            }
            | {names[task]: FINE for task in tasks},
        )
    st.markdown("##### Near to one alone")
    own = own_neighbours(distance, tasks, k)
    row = st.container(horizontal=True)
    for task, near in own.items():
        with row.container(width=300):
            st.markdown(f"**{plain(names[task])}**")
            if near.empty:
                st.write("None: all its neighbours are shared.")
            else:
                st.dataframe(
                    pd.DataFrame({"task": near.index.map(names), "distance": near.to_numpy()}),
                    hide_index=True,
                    column_config={
                        "task": st.column_config.TextColumn(width=195),
                        "distance": st.column_config.NumberColumn(format="%.4f", width=75),
                    },
                    key=f"own {task}",
                )
    st.caption(
        f"For each chosen task its {k} nearest tasks are looked up; the chosen ones do not count. Many shared "
        "neighbours mean that the tasks lie in one region of the space, few that something else is near each."
    )
    alone = pd.DataFrame(
        [(task, other, names[other], d) for task, near in own.items() for other, d in near.items()],
        columns=["of", "task", "name", "distance"],
    )
    with st.container(horizontal=True):
        download("Download the shared ones as CSV", shared.rename_axis("task"), "shared-neighbours", index=True)
        download("Download the others as CSV", alone, "own-neighbours")
        map_link([*shared.index[:20], *tasks], "See them on the Task map")


def show_experts(bank: Bank, tasks: list[str], names: dict[str, str]) -> None:
    """The best experts of each task, with their errors on all of them."""
    errors = error_table(bank, tasks)
    measured = [task for task in tasks if errors[task].drop(GENERIC, errors="ignore").notna().any()]
    if missing := [plain(names[task]) for task in tasks if task not in measured]:
        st.info(f"No expert's error was measured on {', '.join(missing)}. “Get an expert” ranks experts by distance.")
        st.page_link(EXPERT, label="Get an expert", icon=":material/arrow_forward:")
    if not measured:
        return
    experts = called(bank.experts()) | {GENERIC: GENERIC_NAME}
    picked = errors.drop(GENERIC, errors="ignore")
    best = {task: picked[task].nsmallest(BEST).index for task in measured}
    for task in measured:
        first = best[task][0]
        line = f"- **{plain(names[task])}**: best is {plain(experts[first])}, {picked.at[first, task]:.1f} % error"
        for other in measured:
            borrowed = best[other][0]
            if other != task and borrowed != first and pd.notna(picked.at[borrowed, task]):
                line += f"; the best for {plain(names[other])} would give {picked.at[borrowed, task]:.1f} %"
        st.markdown(line + ".")
    union = picked.loc[picked.index.isin([e for found in best.values() for e in found]), measured]
    shown = union.loc[union.mean(axis=1).sort_values(kind="stable").index]
    if GENERIC in errors.index:
        shown = pd.concat([shown, errors.loc[[GENERIC], measured]])
    shown = shown.rename(index=experts, columns=names)
    draw(
        errors_side_by_side(shown),
        key="errors",
        file="errors-side-by-side",
        alt="Test errors of the chosen tasks under the best experts of each",
    )
    st.caption(
        f"The {BEST} best experts of each task, by measured test error of a linear head on the expert's frozen "
        "features. A missing mark: the expert has seen images of that task and is no candidate, or was not measured. "
        "Tasks differ in difficulty: compare marks of one shape across experts, not shapes with each other."
    )
    st.dataframe(
        shown.rename_axis("expert"),
        height="content",
        placeholder="–",
        column_config={names[task]: ONE_DIGIT for task in measured},
    )
    download("Download all their errors as CSV", errors.rename_axis("expert"), "errors-side-by-side", index=True)
