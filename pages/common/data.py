"""Tables the pages draw from, read once per change of the bank. Shared: read only."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.common.selection import kind_title
from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import kept_methods
from t2v_core.embedding.record import PSEUDOTASK
from t2v_core.selection.audit import audit_by_kind
from t2v_core.selection.audit import audit_table as table_of_audits
from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.meta_task import from_bank
from t2v_core.selection.nearest import METRICS, Nearest
from t2v_core.selection.track_record import track_records
from t2v_core.selection.ways import DEFAULT, WAYS
from t2v_core.space.tables import task_table as table_of_tasks

LARGE = " (A)"
"""What the demo bank adds to the names of tasks over its large set of images."""


def task_table(bank: Bank) -> pd.DataFrame:
    """One row a task (see ``space.tables.task_table``)."""
    return _task_table(bank, bank.location, bank.version())


def audit_table(bank: Bank) -> pd.DataFrame:
    """How much each rule of "Get an expert" loses in this bank, beside static and beside the default rule.

    See ``selection.audit.audit_table``.
    """
    return _audits(bank, bank.location, bank.version())[0]


def why_static(bank: Bank) -> dict[str, str]:
    """By kind of target, what makes static strong where the default rule does not beat it; else empty."""
    return _audits(bank, bank.location, bank.version())[1]


def about_names(bank: Bank) -> str:
    """What the ending of the demo bank's names means; empty for a bank without such names."""
    if not any(expert.name.endswith(LARGE) for expert in bank.experts()):
        return ""
    return (
        f"Names with{LARGE} are of tasks over this bank's large set of images, which its experts learned from; those "
        "without are over other images, a small set of the same things among them."
    )


AUDIT_COLUMNS = {
    "kind": "targets",
    "rule": "rule",
    "tasks": "tasks",
    "optimum": "best error, %",
    "mean": "loses, %",
    "low": "from, %",
    "high": "to, %",
    "verdict": "in words",
}


def audit_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """An ``audit_table`` as people read it."""
    shown = table[list(AUDIT_COLUMNS)].assign(kind=table["kind"].map(kind_title))
    return shown.rename(columns=AUDIT_COLUMNS).round(1)


def compared(gain: float, low: float, high: float) -> str:
    """What a difference on the same tasks, positive where better, and its interval say of a rule."""
    if low > 0:
        return f"did better, by {gain:.1f} points [{low:.1f}, {high:.1f}]"
    if high < 0:
        return f"did worse, by {-gain:.1f} points [{-high:.1f}, {-low:.1f}]"
    between = "" if pd.isna(low) else f" ({gain:+.1f} points [{low:.1f}, {high:.1f}])"
    return f"cannot be told apart from it{between}"


def kept_ways(bank: Bank) -> list[str]:
    """Names of the ways to rank experts that the bank keeps embeddings of its experts' tasks for."""
    return _kept_ways(bank, bank.location, bank.version())


def teachers(bank: Bank) -> list[str]:
    """Registry names of the probes that PseudoTask was measured with on the bank, beside the bundled one."""
    return _teachers(bank, bank.location, bank.version())


@st.cache_resource(show_spinner=False, max_entries=4)
def _teachers(_bank: Bank, location: str, version: int) -> list[str]:
    named = [name.partition(":") for name in kept_methods(_bank)]
    return [probe for method, _, probe in named if method == PSEUDOTASK and probe]


def track_record(bank: Bank, way: str) -> list[dict[str, Any]]:
    """What a way to rank experts has cost in this bank; empty where that was not measured."""
    return _track_record(bank, way, bank.location, bank.version())


@st.cache_resource(show_spinner="Reading the tasks …", max_entries=4)
def _task_table(_bank: Bank, location: str, version: int) -> pd.DataFrame:
    return table_of_tasks(_bank)


@st.cache_resource(show_spinner="Judging the rules of choice …", max_entries=4)
def _audits(_bank: Bank, location: str, version: int) -> tuple[pd.DataFrame, dict[str, str]]:
    audits = audit_by_kind(from_bank(_bank).targets(), [Nearest(metric) for metric in METRICS])
    table = table_of_audits(audits, ("static", DEFAULT)).dropna(subset=["mean"])
    return table, {kind: found.why_static for kind, found in audits.items()}


@st.cache_data(show_spinner=False, max_entries=4)
def _kept_ways(_bank: Bank, location: str, version: int) -> list[str]:
    own = {e.task_id for e in _bank.experts()}
    kept = {method for method in {w.method for w in WAYS.values()} if own & _bank.embedded(method)}
    return [name for name, way in WAYS.items() if way.method in kept]


@st.cache_data(show_spinner="Judging the rules of choice …", max_entries=4)
def _track_record(_bank: Bank, way: str, location: str, version: int) -> list[dict[str, Any]]:
    return [record.as_json() for record in track_records(audit_bank(_bank, from_bank(_bank)), WAYS[way])]
