"""The view of the page "Taxonomy" that holds the norm of the embedding against error and size."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.common.chart import draw
from pages.common.selected import selected
from pages.common.space import task_norms
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank
from t2v_core.figures.norms import norm_against_error, norm_against_images
from t2v_core.space.correlation import rank_correlation
from t2v_core.space.norms import grows, verdict, within_kinds


def show_norms(bank: Bank) -> None:
    """The norm against error and against size."""
    tasks = task_norms(bank)
    chosen = selected(tasks.index)
    st.markdown("##### Norm against error")
    if tasks["error"].notna().any():
        draw(
            norm_against_error(tasks, chosen),
            key="norm_error",
            file="norm-against-error",
            alt="Norm of every task's embedding against the error of the generic expert",
        )
        found = rank_correlation(tasks["norm"].to_numpy(), tasks["error"].to_numpy())
        within = within_kinds(tasks, "error")
        st.markdown(
            f"The Task2Vec paper (Fig. 2, right) finds that the norm rises with the error: hard tasks lie far from the "
            f"origin. **Here, {grows(found, 'the norm', 'the error')}.** {verdict(found, within)}"
        )
        st.caption(
            "A point is a task; the error is that of a head on the network before fine-tuning. Tasks of different "
            "kinds differ in their number of classes and images, which moves both axes: trust what holds within a "
            "kind. Which way it goes hangs on the head behind the embedding: one that is held back, as here, has small "
            "weights where classes look alike. Click a kind in the legend to hide it."
        )
        show_within(within)
    else:
        st.info("The bank holds no errors of a generic expert, so the norm cannot be held against them.")
    st.markdown("##### Norm against the number of images")
    draw(
        norm_against_images(tasks, chosen),
        key="norm_images",
        file="norm-against-images",
        alt="Norm of every task's embedding against its number of training images",
    )
    found = rank_correlation(tasks["images"].to_numpy(float), tasks["norm"].to_numpy())
    within = within_kinds(tasks, "images")
    st.markdown(
        "The paper (supplement, Fig. 2) finds that one and the same task gets a larger norm with more images. "
        f"**Across the tasks here, {grows(found, 'the norm', 'the number of images')}.** {verdict(found, within)}"
    )
    st.caption(
        "A point is a task. Tasks here differ in more than their size, so this picture cannot prove or refute the "
        "paper's claim, which grows one task at a time."
    )
    show_within(within)
    download("Download norms, errors and images as CSV", tasks.rename_axis("task"), "norms", index=True)


def show_within(within: pd.DataFrame) -> None:
    """The numbers behind a verdict."""
    if len(within) > 1:
        with st.expander("Within each kind of task"):
            numbers = {c: st.column_config.NumberColumn(format="%+.2f") for c in ("ρ", "from", "to")}
            st.dataframe(within, hide_index=True, column_config=numbers)
