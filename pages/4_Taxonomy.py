"""Taxonomy: does distance follow the known taxonomy, and where not?"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.common.chart import draw
from pages.common.disagreements import show_disagreements
from pages.common.frame import BANK, EXPERT, open_page, plain, show_error
from pages.common.norms import show_norms
from pages.common.own_taxonomy import choose_taxonomy, offer_link
from pages.common.rule_curves import show_rule_curves
from pages.common.selected import carry_choice, selected
from pages.common.space import (
    METRICS,
    Held,
    Placed,
    available_metrics,
    curve_of,
    held,
    paths_of,
    placed,
    records,
)
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError
from t2v_core.figures.taxonomy import distance_by_level, neighbour_curves
from t2v_core.space.agreement import curve_table
from t2v_core.space.tables import kind_words, kinds_with_a_place

LEAST, SOME = 3, 4
"""Tasks that a curve takes, and names shown of a level."""

# ---- words ---------------------------------------------------------------------------------------------


def follows(rho: float, low: float, high: float) -> str:
    """What a rank correlation with a taxonomy means."""
    if np.isnan(rho):
        return "nothing can be said: all tasks are equally far apart"
    if low <= 0 <= high:
        return "distance and taxonomy agree no more than chance would"
    if high < 0:
        return "distance runs against the taxonomy"
    return f"distance follows the taxonomy {'closely' if rho >= 0.7 else 'in part' if rho >= 0.35 else 'a little'}"


# ---- views ---------------------------------------------------------------------------------------------


def show_curve(bank: Bank, found: Placed, metrics: list[str]) -> None:
    """The taxonomic distance of the nearest tasks, and the rank correlation of each metric."""
    results = {metric: held(bank, found, metric) for metric in metrics}
    curves = {METRICS[m]: h.curve for m, h in results.items()}
    chosen = selected(found.ids)
    own = {METRICS[m]: curve_of(bank, found, m, chosen) for m in metrics} if chosen else {}
    draw(
        neighbour_curves(curves, chosen=own),
        key="curve",
        file="taxonomy-curve",
        alt="Mean taxonomic distance of the k nearest tasks against k",
    )
    st.caption(
        f"For every task, its k nearest tasks are looked up in the taxonomy (0: the same place, {found.depth}: nothing "
        "in common) and averaged. A curve that stays near the ideal one for small k means that near tasks are related. "
        f"On the right all {len(found.ids)} tasks count and every curve ends at chance. Bands: 95 % over tasks; where "
        "they overlap, do not call one better."
        + (
            " The thin lines are the chosen tasks alone, with an ideal and a chance of their own: they may have more "
            "or fewer relatives than most."
            if chosen
            else ""
        )
    )
    st.markdown("**Over all pairs of tasks** (Spearman's rank correlation, 95 % interval over tasks)")
    st.markdown(
        "\n".join(
            f"- **{METRICS[m]}**: {follows(a.rho, a.low, a.high)} (ρ = {a.rho:+.2f}, {a.low:+.2f} to {a.high:+.2f})."
            + (" Measured on a sample of the tasks." if a.sampled else "")
            for m, a in ((m, h.agreement) for m, h in results.items())
        )
    )
    together = curves | {f"{name}, chosen tasks": curve for name, curve in own.items()}
    download("Download the curves as CSV", curve_table(together, "distance"), "taxonomy-curve")


def show_levels(bank: Bank, found: Placed, metrics: list[str]) -> None:
    """Task distances at every taxonomic distance."""
    metric = choose_metric(metrics)
    result, chosen = held(bank, found, metric), selected(found.ids)
    draw(
        level_boxes(result, found, metric, tuple(chosen), found.key),
        key="levels",
        file="distance-by-level",
        alt="Distances of all pairs of tasks by the finest level they share",
    )
    st.caption(
        "All pairs of tasks, grouped by how much of their path they share; in brackets the taxonomic distance. Boxes "
        "that climb from left to right mean that distance follows the taxonomy; boxes of equal height mean that this "
        "distance does not see that level. Box: the middle half; whiskers: 5 to 95 %. Boxes of few pairs move easily."
        + (" The second boxes are the pairs in which a chosen task is." if chosen else "")
    )
    common = [Counter(path[i] for paths in found.paths for path in paths if i < len(path)) for i in range(found.depth)]
    lines = []
    for level, counts in zip(found.levels, common, strict=True):
        some = [plain(name) for name, _ in counts.most_common(SOME)]
        lines.append(f"- **{plain(level)}**: {', '.join([*some, *(['…'] if len(counts) > SOME else [])])}")
    st.markdown("\n".join(lines))
    download("Download all pairs as CSV", lambda: pair_table(bank, found, result.distance), "pairs")


def pair_table(bank: Bank, found: Placed, distance: pd.DataFrame) -> pd.DataFrame:
    """Every pair of the tasks with its distance and its taxonomic distance."""
    tasks = records(bank)
    ids, names = np.array(found.ids), np.array([tasks[i].name for i in found.ids])
    a, b = np.triu_indices(len(ids), 1)
    apart = {"distance": distance.to_numpy()[a, b], "taxonomic": found.distance[a, b]}
    return pd.DataFrame({"a": ids[a], "b": ids[b], "name a": names[a], "name b": names[b]} | apart)


@st.cache_resource(show_spinner="Sorting all pairs …", max_entries=16)
def level_boxes(_result: Held, _found: Placed, metric: str, chosen: tuple[str, ...], key: tuple) -> go.Figure:
    """The distances of all pairs at each level, and of the chosen tasks' pairs beside."""
    wanted = np.isin(_found.ids, chosen)
    return distance_by_level(_result.distance.to_numpy(), _found.distance, _found.levels, wanted)


def choose_metric(metrics: list[str]) -> str:
    """One of the chosen metrics."""
    return st.segmented_control(
        "Look closer at",
        metrics,
        default=metrics[0],
        required=True,
        format_func=METRICS.get,
        key="closer",
        bind="query-params",
    )


# ---- the page ------------------------------------------------------------------------------------------

VIEWS = {
    "Nearest tasks": show_curve,
    "Level by level": show_levels,
    "Where they disagree": lambda bank, found, metrics: show_disagreements(bank, found, choose_metric(metrics)),
}
NORMS, RULES = "Norm, error and size", "Every method"

bank = open_page(
    "Taxonomy",
    "Does distance follow the known taxonomy, and where not? Tasks that are related should lie near each other.",
)
available = available_metrics(bank)
if not available:
    st.info("No task is in this bank yet. Embed a folder on the page “Get an expert”, or import a bank.")
    st.page_link(EXPERT, label="Get an expert", icon=":material/arrow_forward:")
    st.page_link(BANK, label="Open the bank", icon=":material/arrow_forward:")
    st.stop()
carry_choice()
view = st.segmented_control(
    "View", [*VIEWS, RULES, NORMS], default="Nearest tasks", required=True, key="view", bind="query-params"
)
if view == NORMS:
    show_norms(bank)
    st.stop()
try:
    content = choose_taxonomy(bank)
    places = paths_of(bank, content)
except InputError as error:
    show_error(error)
    st.stop()
tasks = records(bank)
kinds = sorted({tasks[i].kind for i in places})
if not kinds:
    st.info(
        "None of the bank's tasks, nor their classes, is in this taxonomy. Labels must be names of tasks or classes, "
        f"such as “{next(iter(tasks.values())).name}”."
        if content is not None
        else "No task of this bank has a place in a taxonomy. Choose “Your own” to bring one."
    )
    st.stop()
if content is not None:
    offer_link(bank, content)
if view == RULES:
    show_rule_curves(bank, places)
    st.stop()
controls = st.container(horizontal=True)  # side by side, or one below the other where the window is narrow
wanted = controls.multiselect(
    "Kinds of tasks that take part",
    kinds,
    default=kinds_with_a_place(kinds),
    format_func=kind_words,
    wrap=True,
    width=520,
    key="kinds" if content is None else "kinds_own",
    bind="query-params",
)
metrics = controls.multiselect(
    "Distances",
    available,
    default=available[:2],
    format_func=METRICS.get,
    key="distances",
    wrap=True,
    width=440,
    bind="query-params",
)
if not wanted or not metrics:
    st.info("Choose at least one kind of task and one distance.")
    st.stop()
found = placed(bank, wanted, metrics, content)
if len(found.ids) < LEAST:
    st.info(
        f"{len(found.ids)} task{' has' if len(found.ids) == 1 else 's have'} both a place in the taxonomy and these "
        f"distances; it takes {LEAST} to compare the two. Choose more kinds of tasks."
    )
    st.stop()
out = [kind_words(k) for k in kinds if k not in wanted]
st.caption(
    f"{len(found.ids)} tasks take part"
    + (f"; {found.without} of these kinds have no place in the taxonomy" if found.without else "")
    + (f". Left out: {'; '.join(out)}. " if out else ". ")
    + (
        "Mixtures and attributes are left out at first: a mixture of several branches, or a property, has no one place "
        "in a tree of things."
        if content is None and set(wanted) == set(kinds_with_a_place(kinds)) and out
        else ""
    )
)
VIEWS[view](bank, found, metrics)
