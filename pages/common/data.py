"""Tables the pages draw from, cached by the bank's version so that they are read once per change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from t2v_core.bank.bank import Bank
from t2v_core.embedding.record import TASK2VEC, Embedding
from t2v_core.selection.audit import audit_by_kind
from t2v_core.selection.audit import audit_table as table_of_audits
from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.meta_task import from_bank
from t2v_core.selection.nearest import METRICS, Nearest
from t2v_core.selection.ranking import between
from t2v_core.selection.track_record import track_records
from t2v_core.selection.ways import WAYS
from t2v_core.space.kept import kept_map
from t2v_core.space.matrix import task_distances
from t2v_core.space.projection import place

UPLOAD = "upload"

KIND_WORDS = {
    "large": "superclasses, large set",
    "twin": "superclasses, small set",
    "mixed": "mixed classes",
    "attribute": "attributes",
    "attribute-source": "attributes, large set",
    "broad": "broad",
    "other": "other worlds",
    UPLOAD: "your uploads",
}


def kind_words(kind: str) -> str:
    """The role of a task in its bank, in words."""
    return KIND_WORDS.get(kind, kind)


def task_table(bank: Bank) -> pd.DataFrame:
    """One row a task: ``id, name, kind, role, origin, path, classes, images, accuracy, norm, level 1..3``."""
    return _task_table(bank, bank.location, bank.version())


def task_map_table(bank: Bank) -> pd.DataFrame:
    """``task_table`` with map coordinates ``x, y`` and ``upload``; tasks without an embedding are left out."""
    return _map_table(bank, bank.location, bank.version())


def distance_table(bank: Bank) -> pd.DataFrame:
    """Symmetric distances between all tasks, by task id."""
    return _distance_table(bank, bank.location, bank.version())


def audit_table(bank: Bank) -> pd.DataFrame:
    """How much each rule of "Get an expert" loses in this bank (see ``selection.audit.audit_table``)."""
    return _audit_table(bank, bank.location, bank.version())


def kept_ways(bank: Bank) -> list[str]:
    """Names of the ways to rank experts that the bank keeps embeddings of its experts' tasks for."""
    return _kept_ways(bank, bank.location, bank.version())


def track_record(bank: Bank, way: str) -> list[dict[str, Any]]:
    """What a way to rank experts has cost in this bank; empty where that was not measured."""
    return _track_record(bank, way, bank.location, bank.version())


@st.cache_data(show_spinner="Reading the tasks …", max_entries=4)
def _task_table(_bank: Bank, location: str, version: int) -> pd.DataFrame:
    embedded = _bank.embeddings(TASK2VEC)
    rows = []
    for t in _bank.tasks():
        path = t.taxonomy or (("your uploads",) if t.kind == UPLOAD else (t.origin,))
        found = embedded.get(t.id)
        rows.append(
            {
                "id": t.id,
                "name": t.name,
                "kind": t.kind,
                "role": kind_words(t.kind),
                "origin": t.origin,
                "path": " › ".join(path),
                "classes": len(t.classes),
                "images": sum(t.counts) - t.held_out,
                "accuracy": f"{found.facts['validation_accuracy']:.0%}" if found else "–",
                "norm": float(np.abs(found.vector).sum()) if found else np.nan,
                **{f"level {i + 1}": path[min(i, len(path) - 1)] for i in range(3)},
            }
        )
    columns = ["id", "name", "kind", "role", "origin", "path", "classes", "images", "accuracy", "norm"]
    return pd.DataFrame(rows, columns=[*columns, "level 1", "level 2", "level 3"])


@st.cache_data(show_spinner="Measuring distances …", max_entries=4)
def _distance_table(_bank: Bank, location: str, version: int) -> pd.DataFrame:
    return task_distances(_bank)


@st.cache_data(show_spinner="Drawing the map …", max_entries=4)
def _map_table(_bank: Bank, location: str, version: int) -> pd.DataFrame:
    tasks = task_table(_bank).set_index("id", drop=False)
    distance = distance_table(_bank)
    tasks = tasks.loc[distance.index].copy()
    tasks["upload"] = tasks["kind"] == UPLOAD
    fixed, added = tasks.index[~tasks["upload"]], tasks.index[tasks["upload"]]
    if not len(fixed):  # a bank of uploads alone: they are the map
        fixed, added = added, fixed
    coordinates = kept_map(_bank, distance.loc[fixed, fixed])
    tasks.loc[fixed, ["x", "y"]] = coordinates
    if len(added):
        tasks.loc[added, ["x", "y"]] = place(coordinates, distance.loc[added, fixed].to_numpy())
    return tasks


@st.cache_data(show_spinner="Judging the rules of choice …", max_entries=4)
def _audit_table(_bank: Bank, location: str, version: int) -> pd.DataFrame:
    rules = [Nearest(metric) for metric in METRICS]
    return table_of_audits(audit_by_kind(from_bank(_bank), rules)).dropna(subset=["mean"])


@st.cache_data(show_spinner=False, max_entries=4)
def _kept_ways(_bank: Bank, location: str, version: int) -> list[str]:
    own = {e.task_id for e in _bank.experts()}
    kept = {method for method in {w.method for w in WAYS.values()} if own & _bank.embeddings(method).keys()}
    return [name for name, way in WAYS.items() if way.method in kept]


@st.cache_data(show_spinner="Judging the rules of choice …", max_entries=4)
def _track_record(_bank: Bank, way: str, location: str, version: int) -> list[dict[str, Any]]:
    return [record.as_json() for record in track_records(audit_bank(_bank, from_bank(_bank)), WAYS[way])]


def place_task(bank: Bank, embedding: Embedding) -> tuple[float, float] | None:
    """Where a task that is not in the bank lies on its map: among the tasks nearest by an embedding of whatever method.

    Returns:
        x and y; None where fewer than three tasks of the map have such an embedding.
    """
    tasks = task_map_table(bank)
    found = bank.embeddings(embedding.method, embedding.weights_hash)
    fixed = [i for i in tasks.index[~tasks["upload"]] if i in found and found[i].space == embedding.space]
    if len(fixed) < 3:
        return None
    ranking = {TASK2VEC: "symmetric"}.get(embedding.method, embedding.method)
    distance = between([embedding], [found[i] for i in fixed], next(iter(bank.probes().values())), ranking)
    x, y = place(tasks.loc[fixed, ["x", "y"]].to_numpy(), distance)[0]
    return float(x), float(y)
