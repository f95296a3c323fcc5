"""Bank: contents, jobs, import and export."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.common.data import audit_table, task_table
from pages.common.frame import EXPERT, jobs, open_page, show_error
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank
from t2v_core.bank.transfer import error_table, export_bank, import_bank
from t2v_core.errors import InputError
from t2v_core.jobs.store import CANCELLED, FAILED, INTERRUPTED, Job, JobStore
from t2v_core.space.tables import UPLOAD, kind_words


def tasks_tab(bank: Bank) -> None:
    """All tasks, to search and to take away; uploads can be removed."""
    table = task_table(bank).drop(columns=["level 1", "level 2", "level 3"])
    if table.empty:
        st.info("No task yet. Embed a folder on “Get an expert” and keep it, or import a bank below.")
        return
    kinds = sorted(table["kind"].unique())
    chosen = st.multiselect("Show", kinds, default=kinds, format_func=kind_words, key="bank_kinds")
    shown = table[table["kind"].isin(chosen)]
    st.dataframe(shown, hide_index=True, column_config={"norm": st.column_config.NumberColumn(format="%.3g")})
    download("Download as CSV", shown, "tasks")
    served = [e.task_id for e in bank.experts()]  # these stay: an expert was trained on them
    uploads = table[(table["kind"] == UPLOAD) & ~table["id"].isin(served)].set_index("id")["name"].to_dict()
    if uploads:
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        doomed = left.selectbox("Remove one of your tasks", list(uploads), index=None, format_func=uploads.get)
        if right.button("Remove", disabled=doomed is None):
            bank.delete_task(doomed)
            st.rerun()


def experts_tab(bank: Bank) -> None:
    """All experts and the error matrix."""
    experts = bank.experts()
    if not experts:
        st.info("No expert yet. Import a bank below, or build the demo bank.")
        return
    names = {t.id: t.name for t in bank.tasks()}
    mean = bank.errors().mean()
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "expert": e.name,
                    "trained on": names.get(e.task_id or "", "–"),
                    "architecture": e.architecture,
                    "images": e.training.get("images"),
                    "classes": e.training.get("classes"),
                    "mean error %": mean.get(e.id),
                    "seconds of training": e.training.get("seconds"),
                    "weights": e.weights_sha256[:12],
                }
                for e in experts
            ]
        ),
        hide_index=True,
        column_config={"mean error %": st.column_config.NumberColumn(format="%.1f")},
    )
    matrix = error_table(bank)
    st.write(f"The error matrix: test error in % of {matrix.shape[0]} tasks under {matrix.shape[1]} experts.")
    download("Download the error matrix as CSV", matrix, "errors", index=True)
    with st.expander("How well each rule of choice does in this bank"):
        st.dataframe(audit_table(bank).round(1), hide_index=True)


@st.fragment(run_every=2.0)
def jobs_tab(store: JobStore) -> None:
    """Every job with what can be done about it."""
    found = store.list()
    if not found:
        st.info("No job yet: work started on “Get an expert” appears here, and outlives the page and the server.")
    for job in found:
        with st.container(border=True):
            _job_row(store, job)


def _job_row(store: JobStore, job: Job) -> None:
    text, *buttons = st.columns([5, 1, 1, 1], vertical_alignment="center")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created))
    detail = f"{job.stage} {job.done}/{job.total} {job.message}" if job.active else job.message
    text.markdown(f"**{job.title}** · {job.state} · {when}" + (f"  \n{detail}" if detail else ""))
    if job.kind == "recommend":
        with buttons[0]:
            st.page_link(EXPERT, label="Open", icon=":material/open_in_new:", query_params={"job": job.id})
    if job.active and buttons[1].button("Cancel", key=f"cancel{job.id}"):
        store.cancel(job.id)
        st.rerun(scope="fragment")
    if job.state in (INTERRUPTED, CANCELLED, FAILED) and buttons[1].button("Resume", key=f"resume{job.id}"):
        store.resume(job.id)
        st.rerun(scope="fragment")
    if not job.active and buttons[2].button("Remove", key=f"remove{job.id}", help="Also removes its uploaded images."):
        store.remove(job.id)
        st.rerun(scope="fragment")


def transfer_tab(bank: Bank) -> None:
    """Take the bank away, or add another one's contents."""
    left, right = st.columns(2)
    with left:
        st.markdown("##### Take it away")
        st.write("Everything but jobs in one zip: JSON, arrays and safetensors.")
        if st.button("Prepare the export"):
            with tempfile.TemporaryDirectory() as folder, st.spinner("Packing …"):
                file = Path(folder) / "bank.zip"
                export_bank(bank, file)
                st.session_state["export"] = file.read_bytes()
        if "export" in st.session_state:
            size = len(st.session_state["export"]) / 2**20
            st.download_button(f"Download bank.zip ({size:.1f} MiB)", st.session_state["export"], "bank.zip")
    with right:
        st.markdown("##### Add another bank")
        given = st.file_uploader("A zip exported here or by `bank export`", type="zip", key="import")
        if given and st.button("Import", type="primary"):
            with tempfile.TemporaryDirectory() as folder, st.spinner("Checking and importing …"):
                file = Path(folder) / "import.zip"
                file.write_bytes(given.getbuffer())
                try:
                    taken = import_bank(bank, file)
                    st.success(", ".join(f"{count} {what}" for what, count in taken.items()) + " taken in.")
                except InputError as error:
                    show_error(error)


bank = open_page("Bank", "What is in the bank, which jobs ran, and how to take it all elsewhere.")
counts = bank.counts()
for column, (what, count) in zip(st.columns(4), counts.items(), strict=True):
    column.metric(what.capitalize(), f"{count:,}")
for tab, draw, what in zip(
    st.tabs(["Tasks", "Experts and errors", "Jobs", "Import and export"]),
    (tasks_tab, experts_tab, jobs_tab, transfer_tab),
    (bank, bank, jobs(bank), bank),
    strict=True,
):
    with tab:
        draw(what)
facts = bank.facts()
if facts:
    with st.expander("How this bank was built"):
        st.json(facts)
st.caption(f"Location: {bank.location}")
