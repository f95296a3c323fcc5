"""The tasks a person has chosen: one selection for all pages, by id, in the address.

Few stand there themselves, as ``?task=…&task=…``. More than an address takes are kept in the bank, under the name that
stands as ``?tasks=…``.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
import streamlit as st

from pages.common.frame import current_bank
from t2v_core.bank.bank import content_key

TASKS = "tasks"
LISTED, KEPT = "task", "tasks"
"""Parameters of the address."""

FOLLOWED = "tasks_followed"
"""The kept selection that was taken over last."""

LINKED = 300
"""More ids do not fit into an address."""


def address(tasks: Sequence[str]) -> dict[str, str | list[str]]:
    """What an address takes to open a page with some tasks chosen."""
    chosen = list(dict.fromkeys(tasks))
    if not chosen:
        return {}
    if len(chosen) <= LINKED:
        return {LISTED: chosen}
    bank, name = current_bank(), content_key("selection", chosen)[:16]
    if bank.derived(_key(name)) is None:
        bank.keep_derived(_key(name), np.array(chosen))
    return {KEPT: name}


def selected(known: Container[str]) -> list[str]:
    """The chosen tasks that are among those a page can show, in the order they were chosen.

    An address that names tasks has been followed from somewhere and wins over what was chosen before; one that names
    none takes what was chosen, so that it can be copied.
    """
    if linked := _linked():
        st.session_state[TASKS] = linked
    elif chosen := st.session_state.get(TASKS):
        _write(address(chosen))
    return [task for task in st.session_state.get(TASKS, []) if task in known]


def carry_choice() -> None:
    """Let a page's address carry what was chosen, whichever of its views makes use of it."""
    selected(())


def chosen_task(known: Container[str]) -> str | None:
    """The one task a page looks at: the first chosen that it can show."""
    return next(iter(selected(known)), None)


def select(tasks: Sequence[str]) -> None:
    """Choose tasks, for all pages and in the address; none clears the choice."""
    st.session_state[TASKS] = list(dict.fromkeys(tasks))
    found = address(tasks)
    st.session_state[FOLLOWED] = found.get(KEPT)
    _write(found)


def _write(found: dict[str, str | list[str]]) -> None:
    """Put what ``address`` gave into the address, in place of what stood there."""
    for name in (LISTED, KEPT):
        if name in found:
            st.query_params[name] = found[name]
        elif name in st.query_params:
            del st.query_params[name]


def _linked() -> list[str]:
    listed = list(dict.fromkeys(task for task in st.query_params.get_all(LISTED) if task))
    name = st.query_params.get(KEPT)
    if listed or not name:
        st.session_state[FOLLOWED] = None
        return listed
    if st.session_state.get(FOLLOWED) != name:  # read once, not at every answer
        st.session_state[FOLLOWED] = name
        found = current_bank().derived(_key(name))
        if found is not None:
            return found.tolist()
        st.toast("This link's selection is not kept in this bank: it was made with another one.")
    return []


def _key(name: str) -> str:
    return f"selection {name}"
