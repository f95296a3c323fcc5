"""Maps of the task space by any of its distances, and what lies around a task. Cached by the bank's version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from pages.common.data import task_table
from pages.common.space import distances, records
from pages.common.trees import tree
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import UPLOAD
from t2v_core.embedding.record import DOMAIN, TASK2VEC, Embedding
from t2v_core.selection.ranking import between
from t2v_core.space.distances import cosine, cosine_rounds, symmetric, symmetric_rounds
from t2v_core.space.kept import map_base
from t2v_core.space.projection import PERPLEXITY, place
from t2v_core.space.tables import OTHER_GROUPS, level_words
from t2v_core.space.tables import map_table as table_of_places

RESAMPLED = {"symmetric": (TASK2VEC, symmetric, symmetric_rounds), "domain": (DOMAIN, cosine, cosine_rounds)}
"""Distances whose embeddings every task keeps in chunks to draw anew: method, distance, and distance round by round."""

ROUNDS = 60
REACH = 100
"""Nearest tasks among which a drawing of the task's images may land: its place is decided by five of them."""
MOST_CLUSTERED = 2000
"""Tasks up to which the map offers clusters: beyond, building the tree takes longer than a page may."""
CLUSTERS = 10
UNKNOWN = "no such distance"
"""In place of the cluster of a task that the clustered distance does not know."""

OTHER_COLOURS = OTHER_GROUPS | {
    "cluster": "cluster",
    "norm of the embedding": "norm",
    "error of a linear head, %": "error",
}


def colours(tasks: pd.DataFrame) -> dict[str, str]:
    """What tasks from ``task_table`` can be coloured by, in words, with its column (``cluster`` has none)."""
    return level_words(tasks) | OTHER_COLOURS


def map_table(bank: Bank, metric: str = "symmetric", perplexity: float = PERPLEXITY) -> pd.DataFrame:
    """``task_table`` by id with ``x, y``, ``upload`` and ``placed``; tasks without such a distance are left out.

    Args:
        bank: the bank.
        metric: a symmetric one of ``space.METRICS``.
        perplexity: of t-SNE.
    """
    return _map_table(bank, metric, perplexity, bank.location, bank.version())


@st.cache_resource(show_spinner="Drawing the map …", max_entries=8)
def _map_table(_bank: Bank, metric: str, perplexity: float, location: str, version: int) -> pd.DataFrame:
    return table_of_places(_bank, task_table(_bank), distances(_bank, metric), perplexity)


def added(bank: Bank) -> int:
    """How many tasks, uploads apart, came after the maps were drawn."""
    return _added(bank, bank.location, bank.version())


@st.cache_resource(show_spinner=False, max_entries=4)
def _added(_bank: Bank, location: str, version: int) -> int:
    ids = _not_uploads(_bank)
    return len(ids) - len(map_base(_bank, ids))


def draw_anew(bank: Bank) -> None:
    """Draw the bank's maps from all of its tasks but uploads, for everyone who uses this bank."""
    map_base(bank, _not_uploads(bank), anew=True)
    for kept in (_map_table, _added, _cloud):
        kept.clear()


def _not_uploads(bank: Bank) -> list[str]:
    return [i for i, task in records(bank).items() if task.kind != UPLOAD]


def clusters(bank: Bank, metric: str, ids: list[str]) -> pd.Series:
    """The cluster of each task by a metric, by id, as the page "Similarity matrix" first shows them."""
    known = distances(bank, metric).index.intersection(ids).tolist()
    if not known:
        return pd.Series(UNKNOWN, index=ids)
    found = tree(bank, metric, "complete", known).cut(clusters=min(CLUSTERS, len(known)))
    return pd.Series([f"cluster {number:02d}" for number in found], index=known).reindex(ids).fillna(UNKNOWN)


def place_task(bank: Bank, embedding: Embedding) -> tuple[float, float] | None:
    """Where a task that is not in the bank lies on its map: among the tasks nearest by an embedding of whatever method.

    Returns:
        x and y; None where fewer than three tasks of the map have such an embedding.
    """
    tasks = map_table(bank)
    found = bank.embeddings(embedding.method, embedding.weights_hash, chunks=False)
    fixed = [i for i in tasks.index[~tasks["placed"]] if i in found and found[i].space == embedding.space]
    if len(fixed) < 3:
        return None
    ranking = {TASK2VEC: "symmetric"}.get(embedding.method, embedding.method)
    distance = between([embedding], [found[i] for i in fixed], next(iter(bank.probes().values())), ranking)
    x, y = place(tasks.loc[fixed, ["x", "y"]].to_numpy(), distance)[0]
    return float(x), float(y)


@dataclass(frozen=True)
class Surroundings:
    """What lies around a task.

    Attributes:
        metric: the distance it is measured by.
        neighbours: one row a neighbour, nearest first, by id: ``distance``, and ``spread``, its standard deviation
            over bootstrap rounds, NaN where an embedding has a single chunk and for distances not in ``RESAMPLED``.
    """

    metric: str
    neighbours: pd.DataFrame


def surroundings(bank: Bank, task: str, metrics: Sequence[str], count: int) -> Surroundings:
    """The nearest tasks of one task, and how their sampling noise blurs the distances.

    Args:
        bank: the bank.
        task: its id; it has a distance by one of the metrics.
        metrics: names, of which the first that knows the task is measured by.
        count: of neighbours.
    """
    metric = next(m for m in metrics if task in distances(bank, m).index)
    return _surroundings(bank, task, metric, count, bank.location, bank.version())


@st.cache_resource(show_spinner=False, max_entries=64)
def _surroundings(_bank: Bank, task: str, metric: str, count: int, location: str, version: int) -> Surroundings:
    near = distances(_bank, metric)[task].drop(task).nsmallest(count)
    spread = np.full(len(near), np.nan)
    if metric in RESAMPLED and len(near):
        method, _, rounds = RESAMPLED[metric]
        found = _bank.embeddings(method, next(iter(_bank.probes())), [task, *near.index])
        rng = np.random.default_rng(0)
        drawn = found[task].bootstrap(ROUNDS, rng)
        others = np.stack([found[i].bootstrap(ROUNDS, rng) for i in near.index], axis=1)
        spread = rounds(drawn[:, None], others)[:, 0].std(0)
    return Surroundings(metric, pd.DataFrame({"distance": near, "spread": spread}))


def cloud(bank: Bank, task: str, metric: str, perplexity: float = PERPLEXITY) -> NDArray | None:
    """Where a task might as well lie on a map, had its images been others: ``[R, 2]``, relative to its place.

    Args:
        bank: the bank.
        task: its id.
        metric: of the map.
        perplexity: of the map.

    Returns:
        None for distances not in ``RESAMPLED``, for a task that the map lacks, and where no other one stands.
    """
    if metric not in RESAMPLED or task not in distances(bank, metric).index:
        return None
    return _cloud(bank, task, metric, perplexity, bank.location, bank.version())


@st.cache_resource(show_spinner=False, max_entries=64)
def _cloud(_bank: Bank, task: str, metric: str, perplexity: float, location: str, version: int) -> NDArray | None:
    method, measure, _ = RESAMPLED[metric]
    probe, places = next(iter(_bank.probes())), map_table(_bank, metric, perplexity)
    nearest = distances(_bank, metric)[task].drop(task).nsmallest(REACH)
    within = [i for i in nearest.index if not places.at[i, "placed"]]
    if not within:
        return None
    own = _bank.embeddings(method, probe, [task])[task]
    others = _bank.embeddings(method, probe, within, chunks=False)
    drawn = np.vstack([own.vector, own.bootstrap(ROUNDS, np.random.default_rng(0))])
    distance = measure(drawn, np.stack([others[i].vector for i in within]))
    moved = place(places.loc[within, ["x", "y"]].to_numpy(), distance)
    return moved[1:] - moved[0]
