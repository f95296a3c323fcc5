"""Distances between tasks, and their places in a taxonomy, read once per change of the bank. Shared: read only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from pages.common.data import task_table
from pages.common.frame import MAP
from pages.common.selected import address
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import TaskRecord
from t2v_core.selection.meta_task import GENERIC
from t2v_core.space.agreement import Agreement, Curve, agreement, neighbour_curve
from t2v_core.space.matrix import placeable, task_distances
from t2v_core.space.tables import norm_table
from t2v_core.space.taxonomy import Path, Taxonomy, own_paths, taxonomic_distance
from t2v_core.space.taxonomy_files import read_taxonomy

METRICS = {
    "symmetric": "Task2Vec, symmetric",
    "domain": "domain (images only)",
    "asymmetric": "Task2Vec, asymmetric",
    "pseudotask": "PseudoTask (no labels)",
    "tangent": "Task Tangent Kernel (no probe)",
}


def map_link(tasks: Sequence[str], label: str) -> None:
    """A link to some tasks on the Task map."""
    st.page_link(MAP, label=label, icon=":material/scatter_plot:", query_params=address(tasks))


# ---- distances -----------------------------------------------------------------------------------------


def distances(bank: Bank, metric: str) -> pd.DataFrame:
    """Distances by one of ``METRICS`` between all tasks that have them, by task id; rows are targets."""
    return _distances(bank, metric, bank.location, bank.version())


@st.cache_resource(show_spinner="Measuring distances …", max_entries=6)
def _distances(_bank: Bank, metric: str, location: str, version: int) -> pd.DataFrame:
    return placeable(task_distances(_bank, metric))


def available_metrics(bank: Bank) -> list[str]:
    """Those of ``METRICS`` the bank has embeddings for, or was measured with."""
    return [metric for metric in METRICS if len(distances(bank, metric))]


def records(bank: Bank) -> dict[str, TaskRecord]:
    """The tasks by id."""
    return _records(bank, bank.location, bank.version())


@st.cache_resource(show_spinner=False, max_entries=4)
def _records(_bank: Bank, location: str, version: int) -> dict[str, TaskRecord]:
    return {task.id: task for task in _bank.tasks()}


def kinds_of(bank: Bank) -> list[str]:
    """The kinds of tasks there are."""
    return sorted({task.kind for task in records(bank).values()})


# ---- taxonomy ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Placed:
    """Tasks with a place in a taxonomy.

    Attributes:
        key: identifies all that this was made from.
        ids: of the tasks.
        paths: the places of each.
        distance: ``[n, n]`` D_tax.
        depth: greatest taxonomic distance.
        levels: a name for each level, from coarse to fine.
        without: tasks of these kinds that have no place.
    """

    key: tuple
    ids: list[str]
    paths: list[tuple[Path, ...]]
    distance: NDArray[np.float32]
    depth: int
    levels: tuple[str, ...]
    without: int


@st.cache_resource(show_spinner="Reading the taxonomy …", max_entries=8)
def own_taxonomy(content: bytes) -> Taxonomy:
    """The taxonomy in a person's file.

    Raises:
        InputError: it cannot be read.
    """
    return read_taxonomy(content)


def paths_of(bank: Bank, content: bytes | None) -> dict[str, tuple[Path, ...]]:
    """The places of the tasks that have any: in a person's taxonomy, or without one in the bank's."""
    find = own_taxonomy(content).paths if content is not None else own_paths
    return {i: paths for i, task in records(bank).items() if (paths := find(task))}


def placed(bank: Bank, kinds: Sequence[str], metrics: Sequence[str], content: bytes | None) -> Placed:
    """The tasks of some kinds that have a place and a distance by each of some metrics."""
    return _placed(bank, tuple(kinds), tuple(metrics), content, bank.location, bank.version())


@st.cache_resource(show_spinner="Holding tasks against the taxonomy …", max_entries=16)
def _placed(_bank: Bank, kinds: tuple, metrics: tuple, content: bytes | None, location: str, version: int) -> Placed:
    places, tasks = paths_of(_bank, content), records(_bank)
    measured = [set(distances(_bank, metric).index) for metric in metrics]
    wanted = [i for i, task in tasks.items() if task.kind in kinds and all(i in ids for ids in measured)]
    ids = [i for i in wanted if i in places]
    paths = [places[i] for i in ids]
    depth = max((len(path) for found in paths for path in found), default=0)
    named = own_taxonomy(content).levels if content is not None else ()
    levels = named if len(named) == depth else tuple(f"level {i + 1}" for i in range(depth))
    key = (kinds, metrics, content, location, version)
    return Placed(key, ids, paths, taxonomic_distance(paths), depth, levels, len(wanted) - len(ids))


@dataclass(frozen=True, eq=False)
class Held:
    """A metric held against a taxonomy."""

    distance: pd.DataFrame
    curve: Curve
    agreement: Agreement


def held(bank: Bank, found: Placed, metric: str) -> Held:
    """How far a metric follows the taxonomy, over three placed tasks or more."""
    return _held(bank, found, metric, found.key)


@st.cache_resource(show_spinner="Comparing with the taxonomy …", max_entries=32)
def _held(_bank: Bank, _found: Placed, metric: str, key: tuple) -> Held:
    distance = distances(_bank, metric).loc[_found.ids, _found.ids]
    return Held(distance, neighbour_curve(distance.to_numpy(), _found.distance), agreement(distance, _found.distance))


def curve_of(bank: Bank, found: Placed, metric: str, tasks: Sequence[str]) -> Curve:
    """The curve of some of the placed tasks alone, among all of them, without an interval of its own.

    Raises:
        InputError: none of them is placed.
    """
    return _curve_of(bank, found, metric, tuple(tasks), found.key)


@st.cache_resource(show_spinner=False, max_entries=32)
def _curve_of(_bank: Bank, _found: Placed, metric: str, tasks: tuple, key: tuple) -> Curve:
    wanted = np.isin(_found.ids, tasks)
    return neighbour_curve(held(_bank, _found, metric).distance.to_numpy(), _found.distance, rounds=1, of=wanted)


def task_norms(bank: Bank) -> pd.DataFrame:
    """``norm_table`` of the bank's tasks."""
    errors = bank.errors()
    return norm_table(task_table(bank), errors.get(GENERIC))
