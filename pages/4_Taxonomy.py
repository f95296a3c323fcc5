"""Taxonomy: does distance follow the known taxonomy, and where not?"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import streamlit as st

from pages.common.data import kind_words
from pages.common.frame import BANK, EXPERT, open_page, show_error
from pages.common.space import (
    METRICS,
    Held,
    Placed,
    available_metrics,
    default_kinds,
    download,
    held,
    map_link,
    norm_table,
    paths_of,
    placed,
    records,
    toolbar,
)
from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError
from t2v_core.figures.norms import norm_against_error, norm_against_images
from t2v_core.figures.taxonomy import distance_by_level, neighbour_curves
from t2v_core.space.correlation import RankCorrelation, rank_correlation

BANKS, OWN = "The bank's", "Your own"
LEAST = 3
NEAREST = 5
SHOWN = 10
MOST_PAIRS = 50_000  # more would be made anew for every click, for a file nobody opens
EXAMPLE = "label,group,family\nwolf,mammal,dog family\nfox,mammal,dog family\ntrout,fish,salmon family\n"


def choose_taxonomy() -> bytes | None:
    """The content of a person's own taxonomy; None for the bank's."""
    source = st.segmented_control("Taxonomy", [BANKS, OWN], default=BANKS, required=True, key="taxonomy")
    if source == BANKS:
        return None
    file = st.file_uploader(
        "A table (CSV: a label and one column a level, coarse to fine) or a tree (Newick)",
        type=["csv", "tsv", "txt", "nwk", "newick", "tree", "tre"],
        key="taxonomy_file",
        max_upload_size=10,
    )
    if file is None:
        st.info(
            "Labels are names of tasks or of classes. A task of several classes stands at the places of all of them, "
            "and the nearest place counts. Your file stays in this browser session; a link does not carry it."
        )
        st.download_button("Download an example", EXAMPLE, "taxonomy.csv", "text/csv", on_click="ignore")
        st.stop()
    return file.getvalue()


# ---- words ---------------------------------------------------------------------------------------------


def interval(found: RankCorrelation) -> str:
    """A correlation as people read it."""
    return f"ρ = {found.rho:+.2f}, 95 %: {found.low:+.2f} to {found.high:+.2f}, {found.tasks} tasks"


def follows(rho: float, low: float, high: float) -> str:
    """What a rank correlation with a taxonomy means."""
    if np.isnan(rho):
        return "nothing can be said: all tasks are equally far apart"
    if low <= 0 <= high:
        return "distance and taxonomy agree no more than chance would"
    if high < 0:
        return "distance runs against the taxonomy"
    return f"distance follows the taxonomy {'closely' if rho >= 0.7 else 'in part' if rho >= 0.35 else 'a little'}"


def grows(found: RankCorrelation, norm: str, other: str) -> str:
    """What a rank correlation with the norm means."""
    if np.isnan(found.rho):
        return f"too few tasks to say how {norm} and {other} go together"
    if found.low <= 0 <= found.high:
        return f"no relation between {norm} and {other} can be told from chance ({interval(found)})"
    return f"{norm} {'rises' if found.rho > 0 else 'falls'} with {other} ({interval(found)})"


# ---- views ---------------------------------------------------------------------------------------------


def show_curve(bank: Bank, found: Placed, metrics: list[str]) -> None:
    """The taxonomic distance of the nearest tasks, and the rank correlation of each metric."""
    results = {metric: held(bank, found, metric) for metric in metrics}
    st.plotly_chart(
        neighbour_curves({METRICS[m]: h.curve for m, h in results.items()}),
        key="curve",
        config=toolbar("taxonomy-curve"),
        alt="Mean taxonomic distance of the k nearest tasks against k",
    )
    st.caption(
        f"For every task, its k nearest tasks are looked up in the taxonomy (0: the same place, {found.depth}: nothing "
        "in common) and averaged. A curve that stays near the ideal one for small k means that near tasks are related. "
        f"On the right all {len(found.ids)} tasks count and every curve ends at chance. Bands: 95 % over tasks; where "
        "they overlap, do not call one better."
    )
    st.markdown("**Over all pairs of tasks** (Spearman's rank correlation, 95 % interval over tasks)")
    st.markdown(
        "\n".join(
            f"- **{METRICS[m]}**: {follows(a.rho, a.low, a.high)} (ρ = {a.rho:+.2f}, {a.low:+.2f} to {a.high:+.2f})."
            + (" Measured on a sample of the tasks." if a.sampled else "")
            for m, a in ((m, h.agreement) for m, h in results.items())
        )
    )
    table = pd.concat(
        {
            METRICS[m]: pd.DataFrame({f: getattr(h.curve, f) for f in ("k", "mean", "low", "high", "ideal", "chance")})
            for m, h in results.items()
        },
        names=["distance"],
    )
    download("Download the curves as CSV", table.reset_index("distance"), "taxonomy-curve")


def show_levels(bank: Bank, found: Placed, metrics: list[str]) -> None:
    """Task distances at every taxonomic distance."""
    metric = choose_metric(metrics)
    result = held(bank, found, metric)
    st.plotly_chart(
        distance_by_level(result.distance.to_numpy(), found.distance, found.levels),
        key="levels",
        config=toolbar("distance-by-level"),
        alt="Distances of all pairs of tasks by the finest level they share",
    )
    st.caption(
        "All pairs of tasks, grouped by how much of their path they share; in brackets the taxonomic distance. Boxes "
        "that climb from left to right mean that distance follows the taxonomy; boxes of equal height mean that this "
        "distance does not see that level. Box: the middle half; whiskers: 5 to 95 %. Boxes of few pairs move easily."
    )
    common = [Counter(path[i] for paths in found.paths for path in paths if i < len(path)) for i in range(found.depth)]
    st.markdown(
        "\n".join(
            f"- **{level}**: {', '.join(name for name, _ in counts.most_common(4))}{', …' if len(counts) > 4 else ''}"
            for level, counts in zip(found.levels, common, strict=True)
        )
    )
    upper = np.triu_indices(len(found.ids), 1)
    ids, names = np.array(found.ids), np.array([records(bank)[i].name for i in found.ids])
    pairs = pd.DataFrame({"a": ids[upper[0]], "b": ids[upper[1]]})
    pairs["name a"], pairs["name b"] = names[upper[0]], names[upper[1]]
    pairs["distance"], pairs["taxonomic"] = result.distance.to_numpy()[upper], found.distance[upper]
    if len(pairs) <= MOST_PAIRS:
        download("Download all pairs as CSV", pairs, "pairs")


def show_disagreements(bank: Bank, found: Placed, metrics: list[str]) -> None:
    """The tasks and pairs on which the two distances differ most."""
    metric = choose_metric(metrics)
    result = held(bank, found, metric)
    names = {i: records(bank)[i].name for i in found.ids}
    pairs = result.agreement.pairs
    listed = pairs.assign(**{"one task": pairs["a"].map(names), "other task": pairs["b"].map(names)})
    columns = {
        "distance": st.column_config.NumberColumn(format="%.3f", help=f"{METRICS[metric]}."),
        "taxonomic": st.column_config.NumberColumn("in taxonomy", format="%d", help="0 is the same place."),
    }
    st.caption(
        "Pairs are compared by rank among all pairs. A disagreement may be a fault of the distance or of the taxonomy, "
        "or something they share that the taxonomy does not know, such as their images. Choose a row to look at it."
    )
    shown = ["one task", "other task", "distance", "taxonomic"]
    for part, key, title in (
        (listed[listed["difference"] > 0], "far_pairs", "Related, but far apart"),
        (listed[listed["difference"] < 0], "near_pairs", "Near, but hardly related"),
    ):
        part = part.head(SHOWN).reset_index(drop=True)
        st.markdown(f"##### {title}")
        if part.empty:
            st.write("None.")
            continue
        st.dataframe(
            part[shown],
            hide_index=True,
            column_config=columns,
            key=key,
            on_select=lambda key=key, part=part: inspect_row(key, part[["a", "b"]].to_numpy().tolist()),
            selection_mode="single-row",
        )
    worst = result.agreement.tasks.dropna().head(SHOWN)
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
        on_select=lambda: inspect_row("worst_tasks", [[i] for i in worst.index]),
        selection_mode="single-row",
    )
    with st.container(horizontal=True):
        download("Download the pairs as CSV", listed, "disagreeing-pairs")
        tasks = result.agreement.tasks.assign(name=lambda t: t.index.map(names)).rename_axis("task")
        download("Download all tasks as CSV", tasks, "agreement-by-task", index=True)
    look = [i for i in st.query_params.get_all("look") if i in names]
    if look:
        inspect(found, result, look[:2], names)


def inspect_row(key: str, rows: list[list[str]]) -> None:
    """Put the tasks of the chosen row into the address, so that a link opens the same view."""
    chosen = st.session_state[key].selection.rows
    if chosen:
        st.query_params["look"] = rows[chosen[0]]


def inspect(found: Placed, result: Held, look: list[str], names: dict[str, str]) -> None:
    """One or two tasks with their places and their nearest tasks."""
    st.subheader(" and ".join(names[i] for i in look))
    for column, task in zip(st.columns(len(look)), look, strict=True):
        with column:
            st.markdown(f"**{names[task]}**  \n{place(found, task)}")
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


def choose_metric(metrics: list[str]) -> str:
    """One of the chosen metrics."""
    return st.segmented_control(
        "Look closer at", metrics, default=metrics[0], required=True, format_func=METRICS.get, key="closer"
    )


def show_norms(bank: Bank) -> None:
    """The norm against error and against size."""
    tasks = norm_table(bank)
    st.markdown("##### Norm against error")
    if tasks["error"].notna().any():
        st.plotly_chart(
            norm_against_error(tasks),
            key="norm_error",
            config=toolbar("norm-against-error"),
            alt="Norm of every task's embedding against the error of the generic expert",
        )
        found = rank_correlation(tasks["norm"].to_numpy(), tasks["error"].to_numpy())
        within = within_kinds(tasks, "error")
        st.markdown(
            f"The Task2Vec paper (Fig. 2, right) finds that the norm rises with the error: hard tasks lie far from the "
            f"origin. **Here, {grows(found, 'the norm', 'the error')}.** {verdict(found, within)}"
        )
        st.caption(
            "A point is a task; the error is that of a head on the network before fine-tuning. Tasks of different "
            "kinds differ in their number of classes and images, which moves both axes: trust what holds within a "
            "kind. Click a kind in the legend to hide it."
        )
        show_within(within)
    else:
        st.info("The bank holds no errors of a generic expert, so the norm cannot be held against them.")
    st.markdown("##### Norm against the number of images")
    st.plotly_chart(
        norm_against_images(tasks),
        key="norm_images",
        config=toolbar("norm-against-images"),
        alt="Norm of every task's embedding against its number of training images",
    )
    found = rank_correlation(tasks["images"].to_numpy(float), tasks["norm"].to_numpy())
    within = within_kinds(tasks, "images")
    st.markdown(
        "The paper (supplement, Fig. 2) finds that one and the same task gets a larger norm with more images. "
        f"**Across the tasks here, {grows(found, 'the norm', 'the number of images')}.** {verdict(found, within)}"
    )
    st.caption(
        "A point is a task. Tasks here differ in more than their size, so this picture cannot prove or refute the "
        "paper's claim, which grows one task at a time."
    )
    show_within(within)
    download("Download norms, errors and images as CSV", tasks.rename_axis("task"), "norms", index=True)


def within_kinds(tasks: pd.DataFrame, other: str) -> pd.DataFrame:
    """Rank correlation of the norm within each kind that has enough tasks: ``kind, tasks, ρ, from, to``."""
    found = {
        kind: rank_correlation(t["norm"].to_numpy(), t[other].to_numpy(float)) for kind, t in tasks.groupby("group")
    }
    rows = [(kind, f.tasks, f.rho, f.low, f.high) for kind, f in found.items() if not np.isnan(f.rho)]
    return pd.DataFrame(rows, columns=["kind", "tasks", "ρ", "from", "to"])


def verdict(found: RankCorrelation, within: pd.DataFrame) -> str:
    """How all tasks together, and single kinds of tasks, stand to a claimed rise."""
    up, down = int((within["from"] > 0).sum()), int((within["to"] < 0).sum())
    together = 0 if np.isnan(found.rho) or found.low <= 0 <= found.high else np.sign(found.rho)
    words = ""
    if len(within) > 1:
        words = (
            f"Within single kinds of tasks it rises in {up}, falls in {down} and is not to be told from chance in "
            f"{len(within) - up - down} of {len(within)}. "
        )
    single = np.sign(up - down) if len(within) > 1 else together
    if together > 0 and single > 0:
        return words + "That is in line with the paper."
    if together <= 0 and single <= 0:
        return words + "So the paper's finding is not seen in this bank."
    return words + "All tasks together and single kinds do not agree, so this bank neither confirms nor refutes it."


def show_within(within: pd.DataFrame) -> None:
    """The numbers behind a verdict."""
    if len(within) > 1:
        with st.expander("Within each kind of task"):
            numbers = {c: st.column_config.NumberColumn(format="%+.2f") for c in ("ρ", "from", "to")}
            st.dataframe(within, hide_index=True, column_config=numbers)


# ---- the page ------------------------------------------------------------------------------------------

VIEWS = {
    "Nearest tasks": show_curve,
    "Level by level": show_levels,
    "Where they disagree": show_disagreements,
}
NORMS = "Norm, error and size"

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
view = st.segmented_control(
    "View", [*VIEWS, NORMS], default="Nearest tasks", required=True, key="view", bind="query-params"
)
if view == NORMS:
    show_norms(bank)
    st.stop()
try:
    content = choose_taxonomy()
    places = paths_of(bank, content)
except InputError as error:
    show_error(error)
    st.stop()
kinds = sorted({records(bank)[i].kind for i in places})
if not kinds:
    st.info(
        "None of the bank's tasks, nor their classes, is in this taxonomy. Labels must be names of tasks or classes, "
        f"such as “{next(iter(records(bank).values())).name}”."
        if content is not None
        else "No task of this bank has a place in a taxonomy. Choose “Your own” to bring one."
    )
    st.stop()
left, right = st.columns([1.6, 1])
wanted = left.multiselect(
    "Kinds of tasks that take part",
    kinds,
    default=default_kinds(kinds),
    format_func=kind_words,
    key="kinds" if content is None else "kinds_own",
    bind="query-params" if content is None else None,
)
metrics = right.multiselect(
    "Distances",
    available,
    default=available[:2],
    format_func=METRICS.get,
    key="distances",
    wrap=True,
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
        if content is None and set(wanted) == set(default_kinds(kinds)) and out
        else ""
    )
)
VIEWS[view](bank, found, metrics)
