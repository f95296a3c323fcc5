"""Compare: what do two or more tasks share, and where do they differ?"""

from __future__ import annotations

import streamlit as st

from pages.common.compare import compared, suggestions, task_names
from pages.common.compare_views import show_experts, show_facts, show_layers, show_neighbours
from pages.common.frame import BANK, EXPERT, open_page, plain
from pages.common.selected import select
from pages.common.space import records
from t2v_core.bank.bank import Bank
from t2v_core.figures.compare import MOST

VIEWS = {
    "Side by side": show_facts,
    "Layers and filters": show_layers,
    "Neighbours": show_neighbours,
    "Experts": show_experts,
}
SUGGESTED = {
    "nearest": "Nearest",
    "across": "Near, from different branches",
    "within": "Same branch, far apart",
}

NO_TASKS = "No task is in this bank yet."


def suggest(bank: Bank, task: str | None, names: dict[str, str]) -> None:
    """Pairs to click, of all tasks or with the one that is chosen."""
    for what, pair in suggestions(bank, task).items():
        label = f"**{SUGGESTED[what]}:** {' and '.join(plain(names[i]) for i in pair)}"
        st.button(label, key=f"suggest_{what}", on_click=select, args=(pair,))


bank = open_page(
    "Compare",
    "What do two or more tasks share, and where do they differ?",
)
names = task_names(bank)
if not names:
    st.info(
        ("No task of this bank has a Task2Vec embedding, which takes labels." if records(bank) else NO_TASKS)
        + " Embed a folder on the page “Get an expert”, or import a bank."
    )
    st.page_link(EXPERT, label="Get an expert", icon=":material/arrow_forward:")
    st.page_link(BANK, label="Open the bank", icon=":material/arrow_forward:")
    st.stop()
chosen = compared(names)
if st.session_state.get("compare") != chosen:
    st.session_state["compare"] = chosen
st.multiselect(
    "Tasks to compare",
    list(names),
    format_func=names.get,
    placeholder="type names of two tasks or more",
    max_selections=MOST,
    select_all=False,
    wrap=True,
    key="compare",
    on_change=lambda: select(st.session_state["compare"]),
)
if len(chosen) < 2:
    if len(names) < 2:
        st.info("The bank holds a single task; it takes two to compare. Embed another on the page “Get an expert”.")
        st.page_link(EXPERT, label="Get an expert", icon=":material/arrow_forward:")
        st.stop()
    st.info("Choose one task more, or:" if chosen else "Choose two tasks or more, or start with one of these pairs:")
    suggest(bank, chosen[0] if chosen else None, names)
    st.stop()
view = st.segmented_control("View", list(VIEWS), default="Side by side", required=True, key="view", bind="query-params")
VIEWS[view](bank, chosen, names)
