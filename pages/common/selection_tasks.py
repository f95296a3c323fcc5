"""The parts of "Expert selection" that show tasks one by one: violins, one task from near, the error matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from pages.common.chart import draw
from pages.common.frame import plain, told
from pages.common.selected import chosen_task, select
from pages.common.selection import Study, kind_title
from pages.common.takeaway import download
from t2v_core.figures.candidates import candidates
from t2v_core.figures.error_matrix import error_matrix
from t2v_core.figures.violins import BEST, WIDEST, violins
from t2v_core.selection.by_task import candidate_table, in_order, norms, picks, reason, score_words, task_table
from t2v_core.selection.regret import picked
from t2v_core.space.correlation import rank_correlation
from t2v_core.space.norms import grows

PAGE, MOST = 60, 200
"""Tasks on a page where they are turned over, and the most that are drawn at once."""

MOST_EXPERTS = 400
"""Experts drawn at once in the matrix."""

COLOURS = ("what the rule goes by", "error")

ONE_DIGIT = st.column_config.NumberColumn(format="%.1f")
"""The format of an error."""


def show_tasks(study: Study, kind: str, rules: list[str]) -> None:
    """Every task's errors with what the rules pick, and one of them from near.

    Args:
        study: the audits.
        kind: of targets.
        rules: to show beside static.
    """
    found = study.audits[kind]
    meta, order = found.meta, in_order(found.meta)
    norm = norms(meta)
    ordered = (
        "From left to right the norm of the task's embedding grows; here, "
        f"{grows(rank_correlation(norm, meta.best), 'the norm', 'the best error')}."
        if np.isfinite(norm).any()
        else "No embeddings are known here, so the tasks are ordered by their best error."
    )
    st.write(
        f"Each column is a task; its {'shape' if len(order) <= WIDEST else 'bar'} shows the errors of all experts on "
        "it. The ring is the best expert there is: "
        f"a rule whose mark lies in the ring has found it. {ordered}"
    )
    shown = ["static", *rules]
    table = task_table(found, shown)
    part = one_page(order, "violins_page")
    marks = {BEST: (meta.best[part], table["best_expert"].to_numpy()[part])}
    for rule in (r for r in ("generic", *shown) if r in found.judged):
        marks[rule] = (found.judged[rule].error[part], np.array(picks(found, rule))[part])
    ids, names = [meta.tasks[t] for t in part], [meta.task_names[t] for t in part]
    draw(
        violins(ids, names, meta.candidate_errors[part], meta.expert_names, marks),
        key="violins",
        chosen="points",
        on_choose=select,
        file="violins",
        alt="Errors of all experts on every task, with the picks of the rules",
    )
    st.caption("Click a mark to see its task below. Drag sideways to enlarge a part; double-click to go back.")
    listing = st.expander("All tasks as a table", key="listing_open", on_change="rerun")
    if listing.open:
        with listing:
            rows = table.iloc[order].assign(kind=[kind_title(meta.kinds[t]) for t in order])
            digits = {c: ONE_DIGIT for c in rows if c.endswith(("_error", "_increase"))}
            norm = {"norm": st.column_config.NumberColumn(format="%.3g")}
            st.dataframe(rows, hide_index=True, column_config=digits | norm)
            download("Download as CSV", rows, "tasks")
    _one_task(study, kind, shown, order)


def _take_choice() -> None:
    task = st.session_state["selection_task"]
    select([task] if task else [])


def one_page(order: NDArray[np.intp], key: str) -> NDArray[np.intp]:
    """The tasks to draw: all, or where they are many those of the page that a person turned to."""
    count = len(order)
    if count <= PAGE:
        return order
    pages = {f"{s + 1} to {min(s + PAGE, count)}": order[s : s + PAGE] for s in range(0, count, PAGE)}
    if count <= MOST:
        pages = {f"all {count}": order} | pages
    return pages[st.selectbox("Tasks in this picture", list(pages), key=key, width=240, bind="query-params")]


@st.fragment
def _one_task(study: Study, kind: str, rules: list[str], order: NDArray[np.intp]) -> None:
    """A task's candidates, whom every rule picks and why."""
    found = study.audits[kind]
    meta = found.meta
    names = {meta.tasks[t]: meta.task_names[t] for t in order}
    chosen = chosen_task(names)
    if st.session_state.get("selection_task") != chosen:
        st.session_state["selection_task"] = chosen
    st.selectbox(
        "One task from near",
        list(names),
        index=None,
        format_func=names.get,
        placeholder="type a name, or click a mark above",
        key="selection_task",
        on_change=_take_choice,
    )
    if chosen is None:
        return
    task = meta.tasks.index(chosen)
    st.write(f"Above it is column {1 + list(names).index(chosen)} of {len(names)} from the left.")
    picked_by = {rule: reason(found, task, rule, study.trained_on) for rule in rules}
    st.markdown("\n".join(f"- **{plain(rule)}** picks {told(why)}" for rule, why in picked_by.items()))
    scored = [r for r in rules if not found.judged[r].heads and np.isfinite(found.judged[r].scores[task]).any()]
    table = candidate_table(found, task, scored)
    errors = meta.candidate_errors[[task]]
    ids = np.array(meta.experts)
    marks = {BEST: ids[picked(errors, errors)[0]]}
    marks |= {rule: ids[picked(errors, found.judged[rule].scores[[task]])[0]] for rule in rules}
    if scored:
        by = st.segmented_control(
            "Distance by", scored, default=scored[-1], required=True, key="near_by", bind="query-params"
        )
        generic = None if meta.generic is None else float(meta.generic[task])
        figure = candidates(table, by, score_words(by), marks, generic)
        draw(figure, key="near", file="candidates", alt="Error of every candidate against its distance")
        st.caption("Each point is an expert. Where the rule is right, the left ones are low. Right: the errors alone.")
    listing = st.expander(f"Its {len(table)} candidates as a table", key="candidates_open", on_change="rerun")
    if listing.open:
        with listing:
            own = study.trained_on or {}
            trained_on = [own.get(e, "") for e in table.index]
            if own and trained_on != table["expert"].tolist():
                table.insert(1, "trained on", trained_on)
            digits = {r: st.column_config.NumberColumn(format="%.1f" if r == "static" else "%.4f") for r in scored}
            st.dataframe(table, hide_index=True, height=320, column_config={"error": ONE_DIGIT} | digits)
            name = f"{meta.tasks[task]}.csv"
            st.download_button("Download as CSV", table.to_csv(), name, "text/csv", on_click="ignore", key="near_csv")


@st.fragment
def show_matrix(study: Study, kind: str, rules: list[str]) -> None:
    """Every error over the distance of one rule.

    Args:
        study: the audits.
        kind: of targets.
        rules: to choose from beside static.
    """
    found = study.audits[kind]
    meta = found.meta
    st.write(
        "One row a target, one column an expert. The darker a cell, the nearer the expert is to the target by the "
        "chosen rule, or the smaller its error. Frames: what the rule picks, and what would have been best. Empty "
        "cells are no candidates: their expert has seen the target's images."
    )
    scored = [r for r in ("static", *rules) if not found.judged[r].heads]
    controls = st.container(horizontal=True)
    rule = controls.segmented_control(
        "Picks of", scored, default=scored[-1], required=True, key="matrix_rule", bind="query-params"
    )
    colour = controls.segmented_control(
        "Colour shows", COLOURS, default=COLOURS[0], required=True, key="matrix_colour", bind="query-params"
    )
    errors = meta.candidate_errors
    rows = one_page(np.flatnonzero(np.isfinite(meta.best)), "matrix_page")
    columns = _columns(errors)
    ids = [meta.tasks[t] for t in rows]
    chosen = chosen_task(ids)
    cells = np.ix_(rows, columns)
    scores = found.judged[rule].scores
    figure = error_matrix(
        errors[cells],
        (errors if colour == COLOURS[1] else scores)[cells],
        picked(errors, scores)[cells],
        picked(errors, errors)[cells],
        [meta.task_names[t] for t in rows],
        [meta.expert_names[e] for e in columns],
        "error, %" if colour == COLOURS[1] else score_words(rule),
        selected=ids.index(chosen) if chosen else None,
    )
    draw(figure, key="matrix", file="error-matrix", alt="Errors of all experts on all tasks")
    with st.container(horizontal=True):
        for title, values, file in (("the errors", meta.errors, "errors"), (f"the scores by {rule}", scores, "scores")):
            matrix = pd.DataFrame(values, index=meta.task_names, columns=meta.expert_names)
            download(f"Download {title} as CSV", matrix, file, index=True)


def _columns(errors: NDArray) -> NDArray[np.intp]:
    """Indices of the experts to draw: all, or those that are best on average."""
    if errors.shape[1] <= MOST_EXPERTS:
        return np.arange(errors.shape[1])
    st.caption(f"Of {errors.shape[1]} experts, the {MOST_EXPERTS} with the lowest mean error.")
    known = np.isfinite(errors)
    mean = np.where(known, errors, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.sort(np.argsort(np.where(known.any(0), mean, np.inf))[:MOST_EXPERTS])
