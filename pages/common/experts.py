"""The experts of a bank: what they are, how good, which cells of their error matrix can be measured, which can go."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.common.data import audit_numbers, audit_table
from pages.common.frame import plain, show_error
from pages.common.takeaway import download
from pages.common.work import show_failure, watch
from t2v_core.bank.bank import Bank
from t2v_core.bank.coverage import added_by_people, delete_expert
from t2v_core.bank.records import UPLOAD, called
from t2v_core.bank.transfer import error_table
from t2v_core.errors import InputError
from t2v_core.jobs.store import DONE, JobStore
from t2v_core.measurable import Place, places

STARTED = "bank_job"
"""Where the session remembers the job it started on this page."""

LISTED = 12
"""Places of images that are named one by one."""

COLUMNS = {
    "expert": st.column_config.TextColumn(pinned=True, width="medium"),
    "mean error": st.column_config.NumberColumn(
        "mean error, %", format="%.1f", help="Test error, averaged over all tasks it was measured on."
    ),
    "measured": st.column_config.NumberColumn("tasks measured"),
    "trained on": st.column_config.TextColumn(width="medium"),
    "images": st.column_config.NumberColumn("training images", format="localized"),
    "seconds": st.column_config.NumberColumn("training time, s", format="%.0f"),
    "architecture": st.column_config.TextColumn("network"),
    "weights": st.column_config.TextColumn(help="The beginning of the checksum of its weights."),
}


def start(store: JobStore, kind: str, title: str, arguments: dict, job_id: str | None = None) -> None:
    """Begin a job, to be watched on this page."""
    st.session_state[STARTED] = store.submit(kind, title, arguments, job_id).id
    st.rerun()


def show_started(store: JobStore) -> None:
    """The job that was begun on this page: how far it is, or how it ended."""
    job_id = st.session_state.get(STARTED)
    if job_id is None:
        return
    try:
        job = store.get(job_id)
    except InputError:  # removed meanwhile
        del st.session_state[STARTED]
        return
    with st.container(border=True):
        if job.active:
            watch(store, job_id, "the tab “Jobs” has it")
            return
        if job.state != DONE:
            show_failure(store, job)
        else:
            st.success(_outcome(job.kind, job.result or {}))
        if st.button("Done" if job.state == DONE else "Leave it", key="bank_job_over"):
            del st.session_state[STARTED]
            st.rerun()


def _outcome(kind: str, result: dict) -> str:
    if kind == "add":
        names = ", ".join(plain(row["name"]) for row in result["rows"])
        return f"{names} is in the bank. Measure its errors below, so that rules of choice can be judged with it."
    return f"{result['measured']:,} values measured, {result['missing']:,} are still missing."


def show_experts(bank: Bank) -> None:
    """All experts and the error matrix."""
    names, experts = called(bank.tasks()), called(bank.experts())
    errors = bank.errors()
    mean, measured = errors.mean(), errors.notna().sum()
    rows = [
        {
            "expert": experts[e.id],
            "mean error": mean.get(e.id),
            "measured": int(measured.get(e.id, 0)),
            "trained on": names.get(e.task_id or "", "–"),
            "images": e.training.get("images"),
            "classes": e.training.get("classes"),
            "architecture": e.architecture,
            "seconds": e.training.get("seconds"),
            "weights": e.weights_sha256[:12],
        }
        for e in bank.experts()
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=COLUMNS)
    matrix = error_table(bank)
    st.caption(f"Errors were measured on {matrix.shape[0]} tasks, under {matrix.shape[1]} experts.")
    download("Download all errors as CSV", matrix, "errors", index=True)
    with st.expander("How well each rule of choice does in this bank"):
        st.dataframe(audit_numbers(audit_table(bank)), hide_index=True)


def measure_errors(bank: Bank, store: JobStore) -> None:
    """Measure what is missing of the error matrix, where the images are at hand; say where they are not."""
    found = places(bank, store)
    lacking = [place for place in found if place.missing]
    if not lacking:
        st.write("Every error of every labelled task under every expert was measured.")
        return
    can = {place.key: place for place in lacking if place.arguments is not None}
    st.write(
        f"{sum(p.missing for p in lacking):,} errors were not measured. That takes the images of the tasks, which a "
        "bank does not keep:"
    )
    lines = [
        f"- {':green[can be measured]' if place.key in can else ':orange[cannot be measured here]'}: "
        f"**{plain(place.title)}**, {place.missing:,} missing; {place.why}."
        for place in lacking
    ]
    more = f"\n- and {len(lines) - LISTED} more." if len(lines) > LISTED else ""
    st.markdown("\n".join(lines[:LISTED]) + more)
    if not can:
        st.info("None of these tasks has its images at hand, so nothing can be measured from here.")
        return
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    chosen = left.selectbox("Which", list(can), format_func=lambda key: _called(can[key]), key="measure_which")
    if right.button("Measure", key="measure", icon=":material/speed:", width="stretch"):
        start(store, "fill", f"errors of {can[chosen].title}", can[chosen].arguments or {})


def _called(place: Place) -> str:
    return f"{place.title}: {place.missing:,} missing"


def remove_expert(bank: Bank, store: JobStore) -> None:
    """Remove an expert that a person has added."""
    uploads = {t.id for t in bank.tasks() if t.kind == UPLOAD}
    names = called(bank.experts())
    own = {e.id: names[e.id] for e in added_by_people(bank, uploads)}
    if not own:
        st.write("Nobody has added an expert yet. Those that came with the bank stay.")
        return
    if any(job.active for job in store.list()):
        st.info("Work is going on that may need any of the experts; one can be removed when it is over (tab Jobs).")
        return
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    doomed = left.selectbox("Expert", list(own), index=None, format_func=own.get, key="doomed_expert")
    st.caption("Its measured errors and its weights go with it; the task it was trained on stays.")
    if right.button("Remove", disabled=doomed is None, key="remove_expert", width="stretch"):
        try:
            delete_expert(bank, doomed)
        except InputError as error:  # someone was quicker
            show_error(error)
            return
        st.rerun()
