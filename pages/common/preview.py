"""What an upload holds, shown before any work: counts, pictures, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.common.data import track_record
from pages.common.frame import plain, told
from pages.common.intake import Preview
from t2v_core.bank.bank import Bank
from t2v_core.selection.explanation import given_up
from t2v_core.selection.ways import WITHOUT_LABELS

WIDTH = 66
"""Pixels of a picture without a name."""

NAMED = 76
"""Pixels of a picture with its class below: most names fit."""


def show_heading(seen: Preview) -> DeltaGenerator:
    """Name and counts; gives the row they stand in."""
    task = seen.task
    classes = f"{len(task.classes)} class{'es' if len(task.classes) > 1 else ''}" if task.labelled else "no labels"
    held = f", {int(task.held_out.sum()):,} of them for testing" if task.held_out.any() else ""
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader(f"{plain(task.name)}: {len(task):,} images, {classes}{held}")
    return row


def show_preview(seen: Preview) -> None:
    """Warnings, files left out, images a class, a few images."""
    task = seen.task
    for text in seen.warnings:
        st.warning(told(text))
    list_left_out([asdict(file) for file in seen.skipped])
    if not task.labelled:
        with st.container(horizontal=True):
            for _, image in seen.examples:
                st.image(image, width=WIDTH)
        return
    table, pictures = st.container(key="wrap_small").columns([1, 2])
    counts = pd.DataFrame({"class": task.classes, "images": task.counts}).sort_values("images", ascending=False)
    most = int(counts["images"].max())
    table.dataframe(
        counts,
        hide_index=True,
        height=min(320, 38 + 35 * len(counts)),
        column_config={"images": st.column_config.ProgressColumn(format="%d", min_value=0, max_value=most)},
    )
    with pictures.container(horizontal=True):
        for label, image in seen.examples:
            st.image(image, caption=plain(label[:24]), width=NAMED)


def list_left_out(files: Sequence[dict[str, str]]) -> None:
    """Files left out by ``name`` and ``reason``, to be unfolded."""
    if files:
        with st.expander("1 file is left out" if len(files) == 1 else f"{len(files):,} files are left out"):
            st.dataframe(pd.DataFrame(files), hide_index=True)


def show_without_labels(bank: Bank, seen: Preview) -> None:
    """What can be done where labels are missing or say too little, and what is given up."""
    if seen.labelled:
        fault = told(f"{seen.fault[:1].upper()}{seen.fault[1:]}")
        st.info(f"{fault}. Until then your images can be served as if they had no labels.")
    can, cannot = st.columns(2)
    can.markdown(
        "**What you get without labels**\n"
        "- a ranking of all experts by which images you have, with how sure it is;\n"
        "- the expert's weights with a script that turns your images into features."
    )
    cannot.markdown(
        "**What is given up**\n"
        "- no head for your classes, and so no measured accuracy to compare experts by;\n"
        f"- {given_up(track_record(bank, WITHOUT_LABELS))}"
    )
