"""Methods: every way of choosing an expert beside the others, on the same work."""

from __future__ import annotations

import streamlit as st

from pages.common.frame import BANK, open_page
from pages.common.methods import Compared, compared, show_starts, show_table, show_values
from pages.common.picks import show_picks
from pages.common.selected import carry_choice
from pages.common.toys import show_toys
from t2v_core.bank.bank import Bank

TOYS = "Toy tasks"
VIEWS = {
    "All methods": show_table,
    "Example picks": show_picks,
    "Without training": show_starts,
    "Inside the embeddings": show_values,
}


def comparison(bank: Bank) -> Compared:
    """The methods measured on the bank, or what to do where there are none."""
    found = compared(bank)
    if found is None:
        st.info(
            "No method was measured on this bank yet. Whoever keeps it can do so from the images it was built from, in "
            "about an hour, with the command below; a run that was cut off goes on where it was. The toy tasks need no "
            "bank."
        )
        st.code("python -m t2v_core bank methods cifar100 --data cifar100.zip --bank FOLDER", language="bash")
        st.page_link(BANK, label="Open the bank", icon=":material/arrow_forward:")
        st.stop()
    return found


bank = open_page(
    "Methods",
    "How do the ways of choosing an expert compare on the same tasks: what does each lose, need and cost?",
)
carry_choice()
view = st.segmented_control(
    "View", [*VIEWS, TOYS], default="All methods", required=True, key="view", bind="query-params"
)
if view == TOYS:
    show_toys()
else:
    VIEWS[view](comparison(bank))
