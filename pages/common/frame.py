"""The frame of a page: configuration, heading, the bank. Every page calls it, as each can be opened by itself."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import streamlit as st
from threadpoolctl import threadpool_limits

from t2v_core.bank.bank import Bank, default_location
from t2v_core.errors import InputError
from t2v_core.jobs.store import JobStore

# Plotly lays its toolbar over the figure's top right, where titles and legends stand: it is moved above the figure.
STYLE = """
<style>
  .block-container {padding: 2.6rem clamp(1rem, 3vw, 3.5rem) 4rem; max-width: 1600px;}
  h1 {padding-top: 0; margin-bottom: .1rem;}
  .question {font-size: 1.1rem; opacity: .8; margin-bottom: .8rem;}
  :is(.st-key-wrap, .st-key-wrap_charts, .st-key-wrap_chosen) [data-testid="stColumn"] {min-width: min(24rem, 100%);}
  .stElementContainer:has(.chart) {margin-top: 28px; overflow: visible;}
  .chart:not(:fullscreen) .modebar {top: -28px !important;}
  .st-key-wrap_small [data-testid="stColumn"] {min-width: min(17rem, 100%);}
</style>
"""

MARKUP = re.compile(r"[\\*\[\]<>~$`]|:(?=\S)|(?<!\w)_|_(?!\w)")
"""What Markdown takes for more than letters within a line."""

START, MAP, EXPERT, BANK = "app.py", "pages/1_Task_map.py", "pages/2_Get_an_expert.py", "pages/3_Bank.py"
TAXONOMY, SIMILARITY = "pages/4_Taxonomy.py", "pages/4_Similarity_matrix.py"
SELECTION, METHODS = "pages/5_Expert_selection.py", "pages/6_Methods.py"
COMPARE = "pages/5_Compare.py"
PAGES = {
    START: ("Home", ":material/home:"),
    EXPERT: ("Get an expert", ":material/model_training:"),
    MAP: ("Task map", ":material/scatter_plot:"),
    TAXONOMY: ("Taxonomy", ":material/account_tree:"),
    SIMILARITY: ("Similarity matrix", ":material/grid_on:"),
    COMPARE: ("Compare", ":material/compare:"),
    SELECTION: ("Expert selection", ":material/rule:"),
    METHODS: ("Methods", ":material/science:"),
    BANK: ("Bank", ":material/database:"),
}


ICON = Path(__file__).with_name("icon.png")
"""A file of our own: a named symbol would be fetched from elsewhere, which tells others of every visit."""


def open_page(title: str, question: str) -> Bank:
    """Configure the page, draw its heading, and give the bank.

    Args:
        title: of the page.
        question: what the page answers, in one sentence.
    """
    _settle(title)
    st.set_page_config(page_title=f"{title} · Task2Vec", page_icon=str(ICON), layout="wide")
    st.html(STYLE)
    for page, (label, icon) in PAGES.items():
        st.sidebar.page_link(page, label=label, icon=icon)
    st.title(title)
    st.html(f'<div class="question">{question}</div>')
    try:
        return current_bank()
    except InputError as error:
        st.error(f"{_sentence(error)} Set T2V_BANK to another folder and start again.")
        st.stop()


@st.cache_resource(show_spinner=False)
def _settle(page: str) -> None:
    """Once a page has loaded its libraries, let them not hold up its answers.

    Streamlit collects garbage after every run, and the answer waits: up to 0.14 s for libraries that never go. What
    else lives at that moment is kept with them, so it is done once a page and not at every visit.

    A page multiplies small matrices, after each of which the threads of OpenBLAS spin a while and wait for more. That
    took two thirds of the server's processor time for a click on the map, from the browser among others.
    """
    gc.freeze()
    threadpool_limits(1, user_api="blas")


def current_bank() -> Bank:
    """The bank that this server shows.

    Raises:
        InputError: it cannot be opened.
    """
    return _bank(default_location())


@st.cache_resource(show_spinner="Opening the bank …")
def _bank(location: str) -> Bank:
    return Bank(location, demo=True)


def jobs(bank: Bank) -> JobStore:
    """The bank's jobs."""
    return JobStore(bank)


def show_error(error: InputError) -> None:
    """An input error as a sentence."""
    st.error(_sentence(error))


def plain(text: str) -> str:
    """A name as Markdown shows it letter by letter."""
    return re.sub(r"([\\`*_{}\[\]()<>#+.!|~:$&-])", r"\\\1", text)


def told(text: str) -> str:
    """A sentence of the engine as Markdown: names in it letter by letter, commands in backticks as code."""
    parts = re.split(r"(`[^`\n]+`)", text)
    return "".join(part if i % 2 else MARKUP.sub(r"\\\g<0>", part) for i, part in enumerate(parts))


def _sentence(error: InputError) -> str:
    text = told(str(error).strip())
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
