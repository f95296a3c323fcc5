"""Trees over the tasks and what the page "Similarity matrix" draws of them, made once per change of the bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from pages.common.space import distances, paths_of, records
from t2v_core.bank.bank import Bank
from t2v_core.figures.matrix_picture import MatrixPicture, matrix_picture
from t2v_core.figures.similarity import MOST_CELLS
from t2v_core.space.clustering import Clustering, cophenetic_correlation
from t2v_core.space.kept import kept_clustering
from t2v_core.space.tables import kinds_with_a_place
from t2v_core.space.taxonomy import taxonomic_distance


def shown_tasks(bank: Bank, metric: str, kinds: Sequence[str]) -> list[str]:
    """Ids of the tasks of some kinds with distances by a metric and by the one its tree is built from."""
    tasks, known = records(bank), distances(bank, tree_metric(metric)).index
    return [i for i in distances(bank, metric).index.intersection(known) if tasks[i].kind in kinds]


def tree_metric(metric: str) -> str:
    """Clusters need a distance that is the same both ways."""
    return "symmetric" if metric == "asymmetric" else metric


def key_of(ids: Sequence[str]) -> str:
    """Tells some tasks from others; Streamlit takes 8 ms to do so for 1,460 ids one by one."""
    return sha256("\0".join(ids).encode()).hexdigest()


def tree(bank: Bank, metric: str, linkage: str, ids: Sequence[str]) -> Clustering:
    """The clustering of some tasks by a metric."""
    return _tree(bank, tree_metric(metric), linkage, ids, key_of(ids), bank.location, bank.version())


@st.cache_resource(show_spinner="Clustering …", max_entries=8)
def _tree(
    _bank: Bank, metric: str, linkage: str, _ids: Sequence[str], key: str, location: str, version: int
) -> Clustering:
    return kept_clustering(_bank, distances(_bank, metric).loc[_ids, _ids], linkage)


def among(bank: Bank, metric: str, ids: Sequence[str]) -> pd.DataFrame:
    """Distances between some tasks; all of them are not copied."""
    everyone = distances(bank, metric)
    return everyone if len(ids) == len(everyone) and everyone.index.equals(pd.Index(ids)) else everyone.loc[ids, ids]


def picture(bank: Bank, metric: str, linkage: str, ids: Sequence[str]) -> MatrixPicture | None:
    """The matrix in the order of its tree's leaves as a picture, where it is too large to be drawn by cells."""
    if len(ids) <= MOST_CELLS:
        return None
    return _picture(bank, metric, linkage, ids, key_of(ids), bank.location, bank.version())


@st.cache_resource(show_spinner="Drawing the matrix …", max_entries=8)
def _picture(
    _bank: Bank, metric: str, linkage: str, _ids: Sequence[str], key: str, location: str, version: int
) -> MatrixPicture:
    order = tree(_bank, metric, linkage, _ids).leaves
    return matrix_picture(among(_bank, metric, _ids).to_numpy()[np.ix_(order, order)])


@dataclass(frozen=True, eq=False)
class Fidelity:
    """Cophenetic correlations of a tree.

    Attributes:
        distances: with the distances it was built from; NaN where undefined.
        taxonomy: with the taxonomy, over the tasks that have one place in it; NaN where undefined.
        placed: ``[n]`` which tasks those are.
    """

    distances: float
    taxonomy: float
    placed: NDArray[np.bool_]


def tree_fidelity(bank: Bank, metric: str, linkage: str, ids: Sequence[str]) -> Fidelity:
    """How faithful the tree of some tasks is to its distances, and to the bank's taxonomy."""
    return _fidelity(bank, tree_metric(metric), linkage, ids, key_of(ids), bank.location, bank.version())


@st.cache_resource(show_spinner=False, max_entries=8)
def _fidelity(
    _bank: Bank, metric: str, linkage: str, _ids: Sequence[str], key: str, location: str, version: int
) -> Fidelity:
    found, tasks, places = tree(_bank, metric, linkage, _ids), records(_bank), paths_of(_bank, None)
    kinds = kinds_with_a_place(sorted({tasks[i].kind for i in places}))  # as the page "Taxonomy" has it at first
    places = {i: path for i, path in places.items() if tasks[i].kind in kinds}
    return Fidelity(
        cophenetic_correlation(found, among(_bank, metric, _ids).to_numpy()),
        cophenetic_correlation(found, taxonomic_distance([places.get(i, ()) for i in _ids])),
        np.array([i in places for i in _ids]),
    )
