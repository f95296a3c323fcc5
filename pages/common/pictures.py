"""Small pictures of tasks, where the bank has any: in a panel, in a table, on a card beside the pointer."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

import streamlit as st

from pages.common.frame import plain
from t2v_core.bank.bank import Bank
from t2v_core.bank.thumbnails import thumbnails

MOST_BYTES = 1_000_000
"""What pictures may add to a page; a strip takes some 5 kB."""

WIDE = 288
"""Pixels of a whole strip."""


def pictures(bank: Bank) -> dict[str, str]:
    """The strips of all tasks that have one, by id, as addresses a browser shows. Shared: read only."""
    return _pictures(bank, bank.location, bank.version())


@st.cache_resource(show_spinner=False, max_entries=2)
def _pictures(_bank: Bank, location: str, version: int) -> dict[str, str]:
    return {
        task: f"data:image/webp;base64,{base64.b64encode(strip).decode()}" for task, strip in thumbnails(_bank).items()
    }


def within(found: dict[str, str], limit: int, wanted: Iterable[str] | None = None) -> dict[str, str]:
    """Pictures of the ``wanted`` tasks, by default of all, as far as they fit into ``limit`` bytes."""
    kept: dict[str, str] = {}
    room = limit
    for task in dict.fromkeys(found if wanted is None else wanted):
        if task in found and len(found[task]) <= room:
            kept[task] = found[task]
            room -= len(found[task])
    return kept


def show_strip(bank: Bank, task: str) -> None:
    """The pictures of one task; nothing where the bank has none."""
    found = pictures(bank).get(task)
    if found:
        st.image(found, width=WIDE)


def show_strips(bank: Bank, tasks: Sequence[str], names: dict[str, str]) -> None:
    """The pictures of some tasks side by side under their names; nothing where the bank has none of any."""
    found = pictures(bank)
    shown = [task for task in tasks if task in found]
    if shown:
        with st.container(horizontal=True):
            for task in shown:
                st.image(found[task], caption=plain(names[task]), width=WIDE)
