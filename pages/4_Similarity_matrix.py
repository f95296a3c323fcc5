"""Similarity matrix: what clusters are there?"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from pages.common.chart import draw, kept
from pages.common.data import task_table
from pages.common.frame import BANK, EXPERT, open_page, plain
from pages.common.selected import selected
from pages.common.space import METRICS, available_metrics, distances, kinds_of, map_link, paths_of
from pages.common.takeaway import download
from pages.common.trees import among, key_of, picture, shown_tasks, tree, tree_fidelity, tree_metric
from t2v_core.bank.bank import Bank, content_key
from t2v_core.bank.records import UPLOAD
from t2v_core.figures.similarity import MOST_TASKS, similarity_matrix
from t2v_core.space.clustering import LINKAGES, adjusted_rand, central_first
from t2v_core.space.tables import OTHER_GROUPS, kind_words, level_words

LEAST, MOST_CLUSTERS, CLUSTERS = 3, 40, 10
EXAMPLES = 6
NAMES, NAMED = "cluster_names", "named"
"""Of clusters: in the session, and in the address."""

LONGEST_NAME = 60

HOW_TO_READ = (
    "White frames are the clusters; the tree above shows at which distance they join, its dashed line where it was "
    "cut. Scroll or drag to enlarge until every name can be read; double-click to go back. Where the window is narrow, "
    "hide the names and point at cells instead. Low joins can be trusted; joins near the top would change with a few "
    "other tasks. "
)
ASYMMETRIC = (
    "Rows are the task to be solved, columns the task an expert comes from: a dark column is a source that is near to "
    "many. Order and clusters stem from the symmetric distance."
)


def words(value: float) -> str:
    """How strong an agreement between 0 and 1 is."""
    return "hardly" if value < 0.2 else "partly" if value < 0.5 else "mostly" if value < 0.8 else "closely"


def cluster_table(ids: list[str], labels: NDArray, distance: NDArray, groups: list[str]) -> pd.DataFrame:
    """One row a cluster, by number: its tasks from the most central on, and what they have in common."""
    rows, given = [], given_names()
    for number, (central, within) in central_first(labels, distance).items():
        group, share = Counter(groups[i] for i in central).most_common(1)[0]
        count = len(central)
        most = group if share == count else f"mostly {group}" if 2 * share > count else f"mixed, most often {group}"
        tasks = [ids[i] for i in central]
        rows.append(
            {
                "cluster": number,
                "name": given.get(content_of(tasks), most),
                "tasks": count,
                "within": within,
                "largest group": f"{group} ({share} of {count})",
                "members": tasks,
            }
        )
    return pd.DataFrame(rows).set_index("cluster")


def content_of(tasks: list[str]) -> str:
    """What tells a cluster from others, whatever its number in the present cut."""
    return content_key("cluster", sorted(tasks))[:10]


def editor_of(table: pd.DataFrame) -> str:
    """The editor of these clusters: changes to others, even as many, must not be laid over them."""
    return f"cluster_editor_{content_of([content_of(members) for members in table['members']])}"


def given_names() -> dict[str, str]:
    """The names that people gave to clusters, by what these hold: of this session, and in the address."""
    found = st.session_state.setdefault(NAMES, {})
    for entry in st.query_params.get_all(NAMED):
        cluster, _, name = entry.partition(" ")
        found[cluster] = name[:LONGEST_NAME]
    return found


def keep_names(table: pd.DataFrame) -> None:
    """Keep the names a person gave, so that they outlive another cut; those of this cut stand in the address."""
    given = st.session_state[NAMES]
    contents = [content_of(members) for members in table["members"]]
    for row, change in st.session_state[editor_of(table)]["edited_rows"].items():
        if name := (change.get("name") or "").strip():
            given[contents[int(row)]] = name
        else:  # taken away: it is called after what is in it again
            given.pop(contents[int(row)], None)
    st.query_params[NAMED] = [f"{cluster} {given[cluster]}" for cluster in contents if cluster in given]


def show_clusters(table: pd.DataFrame, names: dict[str, str]) -> None:
    """The clusters; names can be changed."""
    shown = table.assign(examples=[" · ".join(names[i] for i in m[:EXAMPLES]) for m in table["members"]])
    st.data_editor(
        shown[["name", "tasks", "within", "largest group", "examples"]],
        key=editor_of(table),
        placeholder="–",
        disabled=["cluster", "tasks", "within", "largest group", "examples"],
        column_config={
            "cluster": st.column_config.NumberColumn(width="small"),
            "name": st.column_config.TextColumn("name (edit me)", max_chars=LONGEST_NAME),
            "tasks": st.column_config.NumberColumn(width="small"),
            "within": st.column_config.NumberColumn("mean distance", format="%.3f", help="Between its tasks."),
            "examples": st.column_config.TextColumn("most central tasks", width="large"),
        },
        on_change=keep_names,
        args=(table,),
    )
    st.caption(
        "Clusters are numbered from left to right. A cluster always comes out, whether or not tasks really fall into "
        "groups: trust those whose frame is dark inside and pale around."
    )


def say_agreement(
    bank: Bank, metric: str, linkage: str, ids: list[str], labels: NDArray, colour: str, groups: NDArray
) -> None:
    """How faithful the tree is, and how far clusters and the true groups agree."""
    fidelity = tree_fidelity(bank, metric, linkage, ids)
    lines = []
    if not np.isnan(fidelity.distances):
        lines.append(
            f"**The tree keeps the distances {words(fidelity.distances)}** (cophenetic correlation "
            f"{fidelity.distances:.2f}; 1 would be exactly)."
        )
    if not np.isnan(fidelity.taxonomy):
        lines.append(
            f"**The tree follows the taxonomy {words(fidelity.taxonomy)}** (cophenetic correlation "
            f"{fidelity.taxonomy:.2f} over {fidelity.placed.sum()} tasks, those that the page Taxonomy takes at first: "
            "mixtures, attributes and uploads have no one place in a tree of things)."
        )
    places = paths_of(bank, None)
    used = np.array([i in places or colour in OTHER_GROUPS for i in ids])
    if used.sum() >= LEAST and len(set(groups[used])) > 1:
        rand = adjusted_rand(labels[used], groups[used])
        lines.append(
            f"**The {len(set(labels))} clusters and the colour bar ({colour}, {len(set(groups[used]))} groups) agree "
            f"{words(rand)}** (adjusted Rand index {rand:.2f}; 0 is as by chance, 1 the same)."
        )
    st.markdown("\n".join(f"- {line}" for line in lines))


@st.fragment
def show_matrix(bank: Bank, ids: list[str], chosen_tasks: list[str]) -> None:
    """The matrix and its clusters. A fragment: another cut draws nothing else anew."""
    version = bank.version()  # before anything is read: what is drawn of it must not pass for a later bank's
    metric, linkage, colour, edges = (st.session_state[key] for key in ("distance", "linkage", "colour", "names"))
    if not set(ids) <= set(distances(bank, metric).index):  # tasks were removed since the page was drawn
        st.rerun()
    every = task_table(bank).set_index("id")
    tasks, column = every.loc[ids], (level_words(every) | OTHER_GROUPS)[colour]
    names, groups = tasks["name"].to_dict(), tasks[column].tolist()
    clustering = tree(bank, metric, linkage, ids)
    left, right = st.columns(2)
    with left:
        # No slider: it waits after every step for the next before it answers.
        wanted = st.number_input(
            "Clusters", 2, min(MOST_CLUSTERS, len(ids)), min(CLUSTERS, len(ids)), key="clusters", bind="query-params"
        )
    labels = clustering.cut(clusters=wanted)
    drawn, behind_tree = among(bank, metric, ids), among(bank, tree_metric(metric), ids)
    table = cluster_table(ids, labels, behind_tree.to_numpy(), groups)
    with right:
        # Numbers alone: an option whose words change, as names do, would lose the choice.
        chosen = st.selectbox(
            "Enlarge a cluster",
            table.index.tolist(),
            index=None,
            placeholder="all tasks",
            key="cluster",
            bind="query-params",
            help="Clusters are numbered from left to right, as in the table below.",
        )
    order = clustering.leaves

    def figure() -> go.Figure:
        return similarity_matrix(
            drawn,
            order,
            [names[i] for i in ids],
            groups,
            every=every.loc[every["kind"] != UPLOAD, column].tolist(),
            dendrogram=clustering.outline(),
            clusters=labels,
            cut=clustering.cut_height(wanted),
            enlarged=chosen,
            picture=picture(bank, metric, linkage, ids),
            asymmetric=metric == "asymmetric",
            selected=chosen_tasks,
            named=edges == "shown",
        )

    settings = ("matrix", bank.location, version, metric, linkage, colour, edges, wanted, chosen)
    draw(
        kept(figure, *settings, key_of(ids), key_of(chosen_tasks)),
        key="matrix",
        file="similarity-matrix",
        zoom=True,
        alt="Distances between all tasks, ordered by hierarchical clustering",
    )
    st.caption(HOW_TO_READ + (ASYMMETRIC if metric == "asymmetric" else ""))
    say_agreement(bank, metric, linkage, ids, labels, colour, np.array(groups))
    st.subheader("Clusters")
    show_clusters(table, names)
    if chosen is not None:
        row = table.loc[chosen]
        members = " · ".join(plain(names[i]) for i in row["members"])
        st.markdown(f"**Cluster {chosen}, {plain(row['name'])}:** {members}")
        map_link(row["members"][::-1], "See it on the Task map")
    else:
        st.caption("Choose one under “Enlarge a cluster” to see all its tasks and to open it on the Task map.")
    with st.container(horizontal=True):
        members = pd.DataFrame({"task": ids, "name": list(names.values()), "cluster": labels, "group": groups})
        download(
            "Download the clusters as CSV",
            members.assign(**{"cluster name": table["name"].loc[labels].to_numpy()}).iloc[order],
            "clusters",
        )
        download(
            "Download the matrix as CSV", lambda: drawn.iloc[order, order].rename_axis("task"), "distances", index=True
        )


bank = open_page(
    "Similarity matrix",
    "What clusters are there? Every cell is the distance between two tasks; dark is near.",
)
available = available_metrics(bank)
if not available:
    st.info("No task is in this bank yet. Embed a folder on the page “Get an expert”, or import a bank.")
    st.page_link(EXPERT, label="Get an expert", icon=":material/arrow_forward:")
    st.page_link(BANK, label="Open the bank", icon=":material/arrow_forward:")
    st.stop()
controls = st.container(horizontal=True)
metric = controls.selectbox(
    "Distance", available, format_func=METRICS.get, key="distance", width=220, bind="query-params"
)
linkage = controls.selectbox(
    "Linkage",
    list(LINKAGES),
    width=220,
    key="linkage",
    bind="query-params",
    help="\n".join(f"- **{name}**: {text}" for name, text in LINKAGES.items()),
)
bars = [*level_words(task_table(bank)), *OTHER_GROUPS]
colour = controls.selectbox("Colour bar", bars, key="colour", width=220, bind="query-params")
edges = controls.selectbox("Names at the edges", ["shown", "hidden"], key="names", width=220, bind="query-params")
every_kind = kinds_of(bank)
kinds = st.multiselect(
    "Kinds of tasks", every_kind, default=every_kind, format_func=kind_words, key="kinds", bind="query-params"
)
ids = shown_tasks(bank, metric, kinds)
chosen_tasks = selected(ids)
if len(chosen_tasks) >= LEAST and st.toggle(
    f"Only the {len(chosen_tasks)} chosen tasks", key="only", bind="query-params"
):
    ids = [i for i in ids if i in set(chosen_tasks)]
if len(ids) < LEAST:
    st.info(f"{len(ids)} task{'' if len(ids) == 1 else 's'} to show; clusters need {LEAST} or more.")
    st.stop()
if len(ids) > MOST_TASKS:
    st.info(
        f"{len(ids):,} tasks are more than a browser can draw as a matrix; choose kinds with {MOST_TASKS:,} or fewer."
    )
    st.stop()
show_matrix(bank, ids, chosen_tasks)
