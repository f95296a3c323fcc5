"""A taxonomy that a person brings: as a file, or by a link under which the bank keeps one."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import streamlit as st

from pages.common.frame import plain
from t2v_core.bank.bank import Bank, content_key

BANKS, OWN = "The bank's", "Your own"
LINKED = "tree"
"""Parameter of the address: the name under which the bank keeps a taxonomy."""

EXAMPLE = "label,group,family\nwolf,mammal,dog family\nfox,mammal,dog family\ntrout,fish,salmon family\n"


def choose_taxonomy(bank: Bank) -> bytes | None:
    """The content of a person's own taxonomy; None for the bank's."""
    source = st.segmented_control(
        "Taxonomy", [BANKS, OWN], default=BANKS, required=True, key="taxonomy", bind="query-params"
    )
    if source == BANKS:
        return None
    file = st.file_uploader(
        "A table (CSV: a label and one column a level, coarse to fine) or a tree (Newick)",
        type=["csv", "tsv", "txt", "nwk", "newick", "tree", "tre"],
        key="taxonomy_file",
        max_upload_size=10,
    )
    # Another page's link leaves it out of the address; whoever comes back finds it again.
    linked = st.query_params.get(LINKED) or st.session_state.get(LINKED)
    if file is not None:
        content = file.getvalue()
        _carry(linked if linked == _name(content) else None)
        st.caption(f"Shown is the taxonomy in “{plain(file.name)}”.")
        return content
    if linked:
        kept = bank.derived(_key(linked))
        if kept is not None:
            _carry(linked)
            st.caption("Shown is the taxonomy of the link. Bring a file to look at another.")
            return kept.tobytes()
        st.warning("This link's taxonomy is not kept in this bank: the link was made with another one. Bring the file.")
    st.info(
        "Labels are names of tasks or of classes. A task of several classes stands at the places of all of them, "
        "and the nearest place counts. Your file stays in this browser session until you put it into the link."
    )
    st.download_button("Download an example", EXAMPLE, "taxonomy.csv", "text/csv", on_click="ignore")
    st.stop()


def offer_link(bank: Bank, content: bytes) -> None:
    """A button that keeps a taxonomy which could be read, so that the page's address shows it."""
    name = _name(content)
    if st.query_params.get(LINKED) == name:
        return
    if st.button(
        "Put this taxonomy into the link",
        icon=":material/link:",
        help="The bank keeps the file then, and whoever has the link can see it.",
    ):
        bank.keep_derived(_key(name), np.frombuffer(content, np.uint8))
        _carry(name)
        st.rerun()


def _carry(name: str | None) -> None:
    """Let the address carry a kept taxonomy, or none."""
    st.session_state[LINKED] = name
    if name is not None:
        st.query_params[LINKED] = name
    elif LINKED in st.query_params:
        del st.query_params[LINKED]


def _name(content: bytes) -> str:
    return content_key("taxonomy", sha256(content).hexdigest())[:16]


def _key(name: str) -> str:
    return f"taxonomy {name}"
