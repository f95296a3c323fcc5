"""Tables the pages draw from, cached by the bank's version so that they are read once per change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from t2v_core.bank.bank import Bank
from t2v_core.embedding.record import TASK2VEC
from t2v_core.selection.audit import audit_table as table_of_audits
from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.meta_task import from_bank

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
    """One row a task: ``id, name, kind, role, origin, path, classes, images, accuracy, norm, error, level 1..3``."""
    return _task_table(bank, bank.location, bank.version())


def audit_table(bank: Bank) -> pd.DataFrame:
    """How much each rule of choice loses in this bank (see ``selection.audit.audit_table``)."""
    return _audit_table(bank, bank.location, bank.version())


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
                "error": 100 * (1 - found.facts["validation_accuracy"]) if found else np.nan,
                **{f"level {i + 1}": path[min(i, len(path) - 1)] for i in range(3)},
            }
        )
    columns = ["id", "name", "kind", "role", "origin", "path", "classes", "images", "accuracy", "norm", "error"]
    return pd.DataFrame(rows, columns=[*columns, "level 1", "level 2", "level 3"])


@st.cache_data(show_spinner="Judging the rules of choice …", max_entries=4)
def _audit_table(_bank: Bank, location: str, version: int) -> pd.DataFrame:
    return table_of_audits(audit_bank(_bank, from_bank(_bank))).dropna(subset=["mean"])
