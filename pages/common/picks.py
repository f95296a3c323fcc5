"""What each method picks for a few targets, and the images behind it (WLF Fig. 5)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from pages.common.frame import plain
from pages.common.methods import Compared
from pages.common.pictures import TABLE_BYTES, WIDE, within
from pages.common.selected import selected
from pages.common.selection import kind_title
from pages.common.takeaway import download
from t2v_core.selection.audit import ALL
from t2v_core.selection.by_task import sole_picks, task_table

SHOWN = ("asymmetric", "pseudotask", "tangent", "logme", "domain")
"""Rules whose picks are shown at first."""

EACH = 4
"""Targets of every kind that are shown at first."""

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
    shown["best possible"] = _picked(table["best_expert"], table["best_error"], table["best_error"])
    for rule in rules:
        shown[rule] = _picked(table[f"{rule}_expert"], table[f"{rule}_error"], table["best_error"])
    seen = within(found.pictures, TABLE_BYTES, chosen)
    illustrated = shown.assign(images=[seen.get(task) for task in chosen])
    st.dataframe(
        illustrated if illustrated["images"].notna().any() else shown,
        column_order=["target", "images", *shown.columns[1:]],
        column_config={"images": st.column_config.ImageColumn(width=200, help="A few of the target's images.")},
        hide_index=True,
        height=38 + 35 * min(len(shown), 20),
    )
    st.caption(
        f"Expert and its test error in %; {BEST} where no other expert does better. Single picks say little: near the "
        "optimum several experts often differ by less than what the number of test images can tell."
        + ("" if any(task in seen for task in chosen) else " The bank keeps no images of these targets.")
    )
    download("Download as CSV", shown, "picks")
    _show_picked(found, {task: names[task] for task in chosen}, rules)


def _show_picked(found: Compared, targets: dict[str, str], rules: list[str]) -> None:
    """The images of a target beside those that the picked experts were trained on, where the bank has any."""
    meta = found.audits[ALL].meta
    picked = {rule: sole_picks(found.audits[ALL], rule) for rule in rules}
    strips: dict[str, dict[str, str]] = {}
    for task, name in targets.items():
        captions: dict[str, list[str]] = {task: [f"target: {name}"]}
        for rule in rules:
            own, title = found.own.get(picked[rule][meta.tasks.index(task)] or "", ("", ""))
            captions.setdefault(own, [f"{title}, picked by"]).append(rule)
        strips[task] = {
            " ".join([first, ", ".join(more)]).strip(): found.pictures[seen]
            for seen, (first, *more) in captions.items()
            if seen in found.pictures
        }
    seen = [task for task in targets if len(strips[task]) > 1]
    if not seen:
        return
    task = st.selectbox(
        "Images of a target and of what its picks were trained on",
        seen,
        format_func=lambda task: targets.get(task, task),
        key="picks_images",
        bind="query-params",
    )
    with st.container(horizontal=True):
        for caption, strip in strips[task].items():
            st.image(strip, caption=plain(caption), width=WIDE)


def _picked(experts: pd.Series, errors: pd.Series, best: pd.Series) -> list[str]:
    return [
        f"{expert} · {error:.1f}{f' {BEST}' if error <= lowest else ''}" if np.isfinite(error) else expert
        for expert, error, lowest in zip(experts, errors, best, strict=True)
    ]
