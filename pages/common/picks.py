"""What each method picks for a few targets, and the images behind it (WLF Fig. 5)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from pages.common.frame import plain
from pages.common.methods import Compared
from pages.common.pictures import MOST_BYTES, WIDE, within
from pages.common.selected import selected
from pages.common.selection import kind_title
from pages.common.takeaway import download
from t2v_core.selection.audit import ALL
from t2v_core.selection.by_task import sole_picks, task_table

SHOWN = ("asymmetric", "pseudotask", "tangent", "logme", "domain")
"""Rules whose picks are shown at first."""

EACH = 4
"""Targets of every kind that are shown at first."""

PICK = 270
"""Pixels of a column of picks: most names of experts fit with their error."""

BEST = "\u2713"


def show_picks(found: Compared) -> None:
    """What each method picks for a few targets, with its error and the optimum (WLF Fig. 5)."""
    audit = found.audits[ALL]
    meta = audit.meta
    first = [t for k in dict.fromkeys(meta.kinds) for t in np.flatnonzero(np.array(meta.kinds) == k)[:EACH]]
    names = dict(zip(meta.tasks, meta.task_names, strict=True))
    picked_before = selected(names)
    left, right = st.columns(2)
    chosen = left.multiselect(
        "Targets",
        list(names),
        default=picked_before or [meta.tasks[t] for t in first],
        format_func=lambda task: names.get(task, task),
        key="picks_targets",
        bind="query-params",
        wrap=False,
    )
    rules = right.multiselect(
        "Methods",
        list(audit.judged),
        default=[r for r in SHOWN if r in audit.judged],
        key="picks_methods",
        wrap=False,
        bind="query-params",
    )
    if not chosen or not rules:
        st.info("Choose at least one target and one method.")
        return
    table = task_table(audit, rules).set_index("task").loc[chosen]
    shown = pd.DataFrame({"target": table["name"], "kind": table["kind"].map(kind_title)})
    shown["best possible"] = _with_error(table["best_expert"], table["best_error"], table["best_error"])
    for rule in rules:
        shown[rule] = _with_error(table[f"{rule}_expert"], table[f"{rule}_error"], table["best_error"])
    seen = within(found.pictures, MOST_BYTES, chosen)
    illustrated = shown.assign(images=[seen.get(task) for task in chosen])
    st.dataframe(
        illustrated if illustrated["images"].notna().any() else shown,
        column_order=["target", "images", *shown.columns[1:]],
        column_config={
            "images": st.column_config.ImageColumn(width=200, help="A few of the target's images."),
            **dict.fromkeys(["best possible", *rules], st.column_config.TextColumn(width=PICK)),
        },
        hide_index=True,
        height=38 + 35 * min(len(shown), 20),
    )
    st.caption(
        f"Expert and its test error in %; {BEST} where no other expert does better. Single picks say little: near the "
        "optimum several experts often differ by less than what the number of test images can tell."
        + ("" if any(task in seen for task in chosen) else " The bank keeps no images of these targets.")
    )
    download("Download as CSV", shown, "picks")
    _show_images(found, {task: names[task] for task in chosen}, rules)


def _with_error(experts: pd.Series, errors: pd.Series, best: pd.Series) -> list[str]:
    """Each expert with its error, marked where none is better."""
    return [
        f"{expert} · {error:.1f}{f' {BEST}' if error <= lowest else ''}" if np.isfinite(error) else expert
        for expert, error, lowest in zip(experts, errors, best, strict=True)
    ]


def _show_images(found: Compared, targets: dict[str, str], rules: list[str]) -> None:
    """The images of a target beside those that the picked experts were trained on, where the bank has any."""
    audit = found.audits[ALL]
    picks = pd.DataFrame({rule: sole_picks(audit, rule) for rule in rules}, index=audit.meta.tasks)
    own = {}  # by target: tasks with images that picked experts were trained on, each with the rules that picked them
    for target in targets:
        trained_on = picks.loc[target].map(lambda expert: found.own.get(expert, ("",))[0])
        by_task = trained_on.groupby(trained_on, sort=False).groups
        own[target] = {task: list(by) for task, by in by_task.items() if task in found.pictures}
    seen = [target for target in targets if target in found.pictures and own[target]]
    if not seen:
        return
    target = st.selectbox(
        "Images of a target and of what its picks were trained on",
        seen,
        format_func=lambda target: targets.get(target, target),
        key="picks_images",
        bind="query-params",
    )
    names = dict(found.own.values())
    with st.container(horizontal=True):
        st.image(found.pictures[target], caption=plain(f"target: {targets[target]}"), width=WIDE)
        for task, by in own[target].items():
            st.image(found.pictures[task], caption=plain(f"{names[task]}, picked by {', '.join(by)}"), width=WIDE)
