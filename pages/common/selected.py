"""The tasks a person has chosen: one selection for all pages, by id, in the address as ``?task=…&task=…``."""

from __future__ import annotations

from collections.abc import Container, Sequence

import streamlit as st

TASKS = "tasks"
LINKED = 300
"""More ids do not fit into an address; a larger selection lives in the session alone."""


def selected(known: Container[str]) -> list[str]:
    """The chosen tasks that are among those a page can show, in the order they were chosen.

    An address that names tasks has been followed from somewhere and wins over what was chosen before.
    """
    linked = list(dict.fromkeys(task for task in st.query_params.get_all("task") if task))
    if linked:
        st.session_state[TASKS] = linked
    return [task for task in st.session_state.get(TASKS, []) if task in known]


def chosen_task(known: Container[str]) -> str | None:
    """The one task a page looks at: the first chosen that it can show."""
    return next(iter(selected(known)), None)


def select(tasks: Sequence[str]) -> None:
    """Choose tasks, for all pages and in the address; none clears the choice."""
    st.session_state[TASKS] = list(dict.fromkeys(tasks))
    if tasks and len(tasks) <= LINKED:
        st.query_params["task"] = st.session_state[TASKS]
    elif "task" in st.query_params:
        del st.query_params["task"]
