"""What a person asks for, once it is clear what the images are."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.common.data import kept_ways, teachers
from pages.common.intake import Preview
from t2v_core.bank.bank import Bank
from t2v_core.embedding.record import PSEUDOTASK
from t2v_core.selection.ways import DEFAULT, TANGENT, WAYS, WITHOUT_LABELS

COMPARE = {
    "top": "the top five and the generic one",
    "all": "all of them (takes longer)",
    "none": "none",
}
ADD_METHODS = "`python -m t2v_core bank methods` adds it"


def ask(bank: Bank, name: str, seen: Preview) -> dict[str, Any] | None:
    """A form of what to do; the job's arguments but for the path, once it is sent.

    Args:
        bank: the bank with the experts.
        name: what the upload is called.
        seen: what it holds.
    """
    probes = {info.id: info.title for info in bank.probes().values()}
    if not probes or not any(e.task_id for e in bank.experts()):
        st.error("This bank has no expert to choose from. Import a bank, or build the demo bank, on the Bank page.")
        return None
    kept = kept_ways(bank)
    default = WITHOUT_LABELS if seen.fault else DEFAULT
    offered = [w for w in WAYS if w in kept and w != TANGENT and not (seen.fault and WAYS[w].labels)]
    offered.sort(key=lambda w: w != default)
    if not offered:
        st.error(f"This bank keeps nothing that images without labels could be compared by; {ADD_METHODS}.")
        return None
    if default not in offered:
        st.warning(f"This bank keeps nothing for the usual way ({WAYS[default].title}); {ADD_METHODS}.")
    compare, unlike = "none", False
    with st.form("options", border=True):
        title = st.text_input("Call the task", name)
        if not seen.fault:
            compare = st.radio(
                "Try experts out on your images", list(COMPARE), format_func=COMPARE.get, horizontal=True
            )
            unlike = st.checkbox(
                "My images look like nothing you know", disabled=TANGENT not in kept, help=_unlike(kept)
            )
        else:
            st.caption(
                "Do your images look like nothing that a network trained on photographs knows? What is compared then "
                "is how untrained networks would have to change to tell your classes apart, which takes labels of two "
                "classes or more."
            )
        with st.expander("More options"):
            selector = st.selectbox(
                "Rank experts by",
                offered,
                format_func=lambda w: WAYS[w].title + (" (recommended)" if w == default else ""),
            )
            others = [name for name in teachers(bank) if name not in probes] if PSEUDOTASK in offered else []
            probes |= {name: f"{name}, as PseudoTask's teacher alone" for name in others}
            probe = st.selectbox("Probe network", list(probes), format_func=probes.get)
            st.caption(
                "The probe must be the one the bank's experts were embedded by; what that was, and what is recommended "
                "for a bank of your own, stands at the foot of Home."
            )
            most = st.number_input("Use at most this many images to learn from", 100, 20000, 2000, 100)
            seed = st.number_input("Seed", 0, 10**6, 0)
        if not st.form_submit_button("Find my expert", type="primary", icon=":material/arrow_forward:"):
            return None
    return {
        "name": title.strip()[:200] or name,
        "attribute": seen.attribute,
        "probe": probe,
        "selector": TANGENT if unlike else selector,
        "max_images": int(most),
        "fit": compare,
        "seed": int(seed),
        "pictures": True,  # beside the job alone, until the task is kept with them
    }


def _unlike(kept: list[str]) -> str:
    if TANGENT not in kept:
        return f"This bank keeps nothing to compare such images by; {ADD_METHODS}."
    return (
        "For scans, spectrograms, drawings and the like, on which a network trained on photographs may see nothing. "
        "Experts are then ranked by how untrained networks would have to change to tell your classes apart "
        "(Task Tangent Kernel), and no pre-trained network has a say. For photographs the usual way is better."
    )
