"""What the page "Compare" shows of its tasks: which are chosen, and what is known of them."""

from __future__ import annotations

from collections.abc import Container, Sequence

import pandas as pd
import streamlit as st

from pages.common.data import task_table
from pages.common.frame import plain
from pages.common.selected import selected
from pages.common.space import distances, records
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import TaskRecord, called
from t2v_core.embedding.record import TASK2VEC, Embedding
from t2v_core.figures.compare import MOST
from t2v_core.probe.record import ProbeInfo
from t2v_core.selection.meta_task import GENERIC, candidates
from t2v_core.space.compare import (
    PairComparison,
    compare_pair,
    distances_with_spread,
    notable_pairs,
)
from t2v_core.space.tables import head_accuracy
from t2v_core.space.taxonomy import own_paths, taxonomic_distance

GENERIC_NAME = "generic (not fine-tuned)"


# ---- the choice ------------------------------------------------------------------------------------------


def compared(known: Container[str]) -> list[str]:
    """The tasks to compare: the chosen ones, which all pages share, or the first of them where they are many."""
    chosen = selected(known)
    if len(chosen) > MOST:
        st.info(f"{len(chosen):,} tasks are chosen; the first {MOST} are compared.")
    return chosen[:MOST]


def task_names(bank: Bank) -> dict[str, str]:
    """What to call each task with an embedding, by id."""
    names = called(records(bank).values())
    return {i: names[i] for i in distances(bank, "symmetric").index}


@st.cache_resource(show_spinner=False, max_entries=32)
def _suggestions(_bank: Bank, task: str | None, location: str, version: int) -> dict[str, tuple[str, str]]:
    distance = distances(_bank, "symmetric")
    branches = task_table(_bank).set_index("id").loc[distance.index, "level 2"]
    return notable_pairs(distance, branches.tolist(), task)


def suggestions(bank: Bank, task: str | None) -> dict[str, tuple[str, str]]:
    """Pairs worth a look (see ``notable_pairs``), of all tasks or with one."""
    return _suggestions(bank, task, bank.location, bank.version())


# ---- what is known of the tasks --------------------------------------------------------------------------


def probe(bank: Bank) -> ProbeInfo:
    """The probe whose embeddings are compared."""
    return next(iter(bank.probes().values()))


def _embeddings(bank: Bank, tasks: Sequence[str]) -> dict[str, Embedding]:
    """The Fisher embeddings of some tasks with their chunks, in this order; nothing is read of the others."""
    found = bank.embeddings(TASK2VEC, probe(bank).weights_hash, tasks)
    return {task: found[task] for task in tasks}


def pair_table(bank: Bank, tasks: Sequence[str]) -> pd.DataFrame:
    """Every pair: ``a, b, distance, spread, low, high``, its ``domain`` and its ``taxonomic`` distance where known."""
    return _pair_table(bank, tuple(tasks), bank.location, bank.version())


@st.cache_resource(show_spinner="Measuring the spread …", max_entries=16)
def _pair_table(_bank: Bank, tasks: tuple[str, ...], location: str, version: int) -> pd.DataFrame:
    pairs = distances_with_spread(_embeddings(_bank, tasks))
    domain = distances(_bank, "domain").reindex(index=tasks, columns=tasks)
    paths = [own_paths(records(_bank)[task]) for task in tasks]
    depth = max(len(path) for task in records(_bank).values() for path in own_paths(task))
    taxonomic = pd.DataFrame(taxonomic_distance(paths, depth), tasks, tasks)
    between = list(zip(pairs["a"], pairs["b"], strict=True))
    return pairs.assign(
        domain=[domain.at[pair] for pair in between], taxonomic=[taxonomic.at[pair] for pair in between]
    )


def pair_comparison(bank: Bank, a: str, b: str) -> PairComparison:
    """Where two tasks differ, layer by layer and filter by filter."""
    return _pair_comparison(bank, a, b, bank.location, bank.version())


@st.cache_resource(show_spinner="Comparing the filters …", max_entries=16)
def _pair_comparison(_bank: Bank, a: str, b: str, location: str, version: int) -> PairComparison:
    found = _embeddings(_bank, [a, b])
    return compare_pair(found[a], found[b], probe(_bank).layers)


def fact_table(bank: Bank, tasks: Sequence[str]) -> pd.DataFrame:
    """One row a task, by id: its place, kind, size, norm and errors; in numbers, NaN where unknown."""
    found = _embeddings(bank, tasks)
    known = task_table(bank).set_index("id").loc[list(tasks), ["role", "origin", "classes", "images", "norm"]]
    records_of = records(bank)
    paths = {task: records_of[task].taxonomy for task in tasks}
    levels = range(max(map(len, paths.values())))
    places = pd.DataFrame(
        {f"level {i + 1}": {task: path[i] if i < len(path) else "" for task, path in paths.items()} for i in levels}
    ).reindex(list(tasks))
    measured = pd.DataFrame(
        {
            "error of the embedding %": {task: 100 * found[task].relative_error for task in tasks},
            "head accuracy %": {task: 100 * head_accuracy(found[task]) for task in tasks},
        }
    )
    return places.join(known).join(measured)


def parting(tasks: Sequence[TaskRecord]) -> str:
    """Down to where some tasks share their taxonomic path, in one sentence."""
    if not all(task.taxonomy for task in tasks):
        return "Not all of them have a place in the bank's taxonomy."
    shared = []
    for level in zip(*(task.taxonomy for task in tasks), strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    if not shared:
        return "In the taxonomy they have nothing in common."
    return f"In the taxonomy they share {plain(' › '.join(shared))}" + (
        ", and with it their whole place." if all(len(t.taxonomy) == len(shared) for t in tasks) else ", then part."
    )


def error_table(bank: Bank, tasks: Sequence[str]) -> pd.DataFrame:
    """Measured errors in %, experts by tasks (ids), of experts that have seen no training image of the task.

    The generic expert, where it was measured, comes last.
    """
    return _error_table(bank, tuple(tasks), bank.location, bank.version())


@st.cache_resource(show_spinner="Reading the errors …", max_entries=16)
def _error_table(_bank: Bank, tasks: tuple[str, ...], location: str, version: int) -> pd.DataFrame:
    everyone = _bank.experts()
    errors = _bank.errors().reindex(index=list(tasks), columns=[e.id for e in everyone])
    experts = [e for e in everyone if e.id != GENERIC]
    needed = dict.fromkeys([*tasks, *(e.task_id for e in experts if e.task_id)])
    allowed = candidates(_bank, [records(_bank)[i] for i in needed], experts)[: len(tasks)]
    found = errors[[e.id for e in experts]].where(allowed)
    if GENERIC in errors:
        found = found.assign(**{GENERIC: errors[GENERIC]})
    return found.T.dropna(how="all")
