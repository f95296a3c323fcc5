"""Long work as a person sees it: how far it is, and what a job that ended badly says."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import streamlit as st

from pages.common.frame import plain, told
from t2v_core.errors import InputError
from t2v_core.jobs.store import CANCELLED, CANCELLING, FAILED, INTERRUPTED, Job, JobStore


@st.fragment(run_every=0.7)
def watch(store: JobStore, job_id: str, where: str = "this address shows the result") -> None:
    """Progress of a running job; the page is run again when it ends.

    Args:
        store: the jobs.
        job_id: which.
        where: its result can be found later.
    """
    try:
        job = store.get(job_id)
    except InputError:  # someone has removed it: the page says so
        st.rerun()
    if not job.active:
        st.rerun()
    st.subheader(f"Working on {plain(job.title)}")
    waited = time.time() - job.created
    share = min(1.0, job.done / job.total) if job.total else 0.0
    st.progress(share, text=told(" · ".join(filter(None, (job.stage.capitalize(), job.message)))))
    st.caption(f"{waited:.0f} s so far. You can close this page; the work goes on and {where}.")
    if st.button("Cancel", disabled=job.state == CANCELLING, key=f"stop{job_id}"):
        store.cancel(job_id)


def show_failure(store: JobStore, job: Job) -> None:
    """Why a job has no result, and the way to another try."""
    text = {
        FAILED: job.message,
        CANCELLED: "The work was stopped on request.",
        INTERRUPTED: "The work was cut off: the process or the machine was stopped.",
    }[job.state]
    text = told(text)
    st.error(f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}")
    if st.button("Resume" if job.state != FAILED else "Try again", type="primary", key=f"again{job.id}"):
        store.resume(job.id)
        st.rerun()


def own_copy(store: JobStore, job_id: str, source: Path) -> Path:
    """A job's input for another job, which must outlive the first; what lies elsewhere on the server stays there."""
    if not source.is_relative_to(store.bank.files):
        return source
    target = store.folder(job_id) / source.name
    target.parent.mkdir(parents=True)
    try:
        os.link(source, target)  # the same bytes under two names
    except OSError:
        shutil.copyfile(source, target)
    return target
