"""The toy tasks of "Methods": small cases in which everything can be looked at."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from pages.common.chart import draw
from t2v_core.figures.toy import task_pictures, toy_map, toy_task

if TYPE_CHECKING:
    from t2v_core.toy import Correlation, ToySpace, ToyView

NEAREST = 6
SURE = 0.05


@st.cache_data(show_spinner="Drawing 64 tasks and embedding each twice …", max_entries=16)
def toy_tasks(fewest: int, most: int, noise: float, seed: int) -> ToySpace:
    """The toy tasks of these options."""
    # Loaded here: torch takes seconds that the rest of the page need not wait for.
    from t2v_core.toy import ToySettings, toy_space

    return toy_space(ToySettings(fewest=fewest, most=most, noise=noise, seed=seed))


def show_toys() -> None:
    """The toy tasks of T2V supplement Fig. 4: controls, both maps, a closer look at one task."""
    st.subheader("Toy tasks: the labels alone tell them apart")
    st.write(
        "Each picture is a task: say for every point of a square whether it is blue. All tasks have the very same "
        "points, so only the labels can tell them apart. Two tiny probes embed them, by the same code that embeds "
        "your images: the ten polynomials up to degree three, and ten random features max(0, ax + by + c)."
    )
    controls = st.columns([2, 2, 1, 2])
    fewest, most = controls[0].slider(
        "Clusters a task is made of", 2, 24, (3, 16), key="toy_clusters", bind="query-params"
    )
    noise = controls[1].slider(
        "Share of labels flipped", 0, 40, 0, step=5, format="%d %%", key="toy_noise", bind="query-params"
    )
    seed = controls[2].number_input("Seed", 0, 9999, 0, key="toy_seed", bind="query-params")
    space = toy_tasks(fewest, most, noise / 100, int(seed))
    names = [f"task {number}, {k} clusters" for number, k in enumerate(space.clusters, 1)]
    chosen = controls[3].selectbox(
        "Look at",
        range(1, len(names) + 1),
        format_func=lambda number: names[number - 1],
        key="toy_task",
        bind="query-params",
    )
    pictures = task_pictures(space.labels, space.boundary)
    for column, (title, view) in zip(st.columns(2, gap="large"), space.views.items(), strict=True):
        with column:
            _toy_view(title, view, space, pictures, chosen - 1)
    st.caption(
        "t-SNE of the symmetric Task2Vec distance; the Fisher information is exact. Click a picture to see what the "
        "head makes of it: its certainty as a colour, its boundary as a line. ρ is Spearman's rank correlation. "
        "Clusters on a map can be trusted, wide gaps cannot."
    )
    with st.expander("What to try"):
        st.markdown(
            "- **Flip 30 % of the labels.** Without flips the norm of the polynomial embedding grows with a task's "
            "complexity (ρ +0.5 to +0.8 over ten seeds); with them it no longer does, or shrinks (−0.5 to −0.1). A "
            "head that cannot solve its task is unsure of everything and leans on no feature: no weight matters much.\n"
            "- **Compare the probes.** The random features bend in few places. Their heads miss what is not nearly a "
            "straight line, and the norm of their embedding says nothing that would hold for every seed. Simple and "
            "complex tasks still group apart.\n"
            "- **Narrow the clusters to 3 to 5.** What then tells tasks apart is where their boundaries run."
        )
    table = pd.concat({title: _toy_table(space, view) for title, view in space.views.items()}, names=["probe"])
    st.download_button(
        "Download as CSV",
        table.reset_index("probe").to_csv(index=False),
        "toy-tasks.csv",
        "text/csv",
        on_click="ignore",
    )


def _toy_view(title: str, view: ToyView, space: ToySpace, pictures: list[str], row: int) -> None:
    st.markdown(f"##### {title}")
    st.markdown(_reading(view))
    near = np.argsort(view.distance[row], kind="stable")
    near = near[near != row][:NEAREST]
    for key, figure, words in (
        (f"map {title}", toy_map(_toy_table(space, view), pictures, row, near.tolist()), "Map of the toy tasks"),
        (
            f"task {title}",
            toy_task(
                space.labels[row],
                view.decisions[row],
                float(view.accuracy[row]),
                pd.DataFrame(
                    {"task": near + 1, "clusters": space.clusters[near], "distance": view.distance[row][near]}
                ),
                [pictures[i] for i in near],
            ),
            "The chosen task, its head and its nearest tasks",
        ),
    ):
        draw(
            figure,
            key=key,
            file=words.split(",")[0].lower().replace(" ", "-"),
            zoom=key.startswith("map"),
            chosen="points",
            on_choose=partial(_pick, len(pictures)),
            alt=f"{words}: {title}",
        )


def _pick(count: int, tasks: list[int]) -> None:
    """Choose the task of a clicked picture, of ``count``."""
    if tasks[0] in range(1, count + 1):
        st.session_state["toy_task"] = tasks[0]


def _toy_table(space: ToySpace, view: ToyView) -> pd.DataFrame:
    x, y = view.coordinates.T
    return pd.DataFrame(
        {
            "task": np.arange(1, len(x) + 1),
            "clusters": space.clusters,
            "boundary": space.boundary,
            "accuracy": view.accuracy,
            "norm": view.norm,
            "x": x,
            "y": y,
        }
    )


def _reading(view: ToyView) -> str:
    """What is to be seen on a map, and how far to trust it."""
    if view.grouping.p < SURE:
        apart = "Simple and complex tasks **group apart**: near tasks have boundaries of like length"
    else:
        apart = "Simple and complex tasks **do not group apart**: near tasks differ in boundary length like any others"
    if view.growth.p < SURE:
        growth = f"The more complex a task, the **{'larger' if view.growth.rho > 0 else 'smaller'}** its norm"
    else:
        growth = "The norm of the embedding says **nothing sure** about complexity"
    return (
        f"{apart} ({_rho(view.grouping)}). {growth} ({_rho(view.growth)}). "
        f"The heads are right on {view.accuracy.mean():.0%} of the points."
    )


def _rho(found: Correlation) -> str:
    return f"ρ = {found.rho:+.2f}, p {'< 0.001' if found.p < 1e-3 else f'= {found.p:.3f}'}"
