"""Tables the pages draw from, cached by the bank's version so that they are read once per change."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from t2v_core.bank.bank import Bank
from t2v_core.selection.audit import audit_table as table_of_audits
from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.meta_task import from_bank
from t2v_core.space.tables import task_table as table_of_tasks


def task_table(bank: Bank) -> pd.DataFrame:
    """One row a task (see ``space.tables.task_table``)."""
    return _task_table(bank, bank.location, bank.version())


def audit_table(bank: Bank) -> pd.DataFrame:
    """How much each rule of choice loses in this bank (see ``selection.audit.audit_table``)."""
    return _audit_table(bank, bank.location, bank.version())


@st.cache_data(show_spinner="Reading the tasks …", max_entries=4)
def _task_table(_bank: Bank, location: str, version: int) -> pd.DataFrame:
    return table_of_tasks(_bank)


@st.cache_data(show_spinner="Judging the rules of choice …", max_entries=4)
def _audit_table(_bank: Bank, location: str, version: int) -> pd.DataFrame:
    return table_of_audits(audit_bank(_bank, from_bank(_bank))).dropna(subset=["mean"])
