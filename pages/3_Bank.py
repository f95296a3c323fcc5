"""Bank: contents, jobs, import and export."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import streamlit as st

from pages.common.data import about_names, task_table
from pages.common.experts import measure_errors, remove_expert, show_experts, show_started
from pages.common.frame import EXPERT, jobs, open_page, plain, show_error, told
from pages.common.new_expert import add_expert
from pages.common.pictures import MOST_BYTES, pictures, within
from pages.common.selected import selected
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import UPLOAD
from t2v_core.bank.transfer import export_bank, import_bank
from t2v_core.errors import InputError
from t2v_core.jobs.store import CANCELLED, FAILED, INTERRUPTED, Job, JobStore
from t2v_core.selection.words import counted

COUNTED = {"tasks": "Tasks", "experts": "Experts", "errors": "Measured errors"}

COLUMNS = {
    "name": st.column_config.TextColumn("task", pinned=True, width="medium"),
    "role": st.column_config.TextColumn("role in this bank"),
    "classes": st.column_config.NumberColumn(width=80),
    "images": st.column_config.NumberColumn("training images", format="localized", width=120),
    "pictures": st.column_config.ImageColumn(width=200, help="A few of its images, where someone kept them."),
    "path": st.column_config.TextColumn("place in the taxonomy", width="medium"),
    "error": st.column_config.NumberColumn("head's error, %", format="%.0f", help="Of a linear head on the probe."),
    "norm": st.column_config.NumberColumn(format="%.3g", help="Sum of the embedding's values."),
    "origin": st.column_config.TextColumn("data set"),
    "id": st.column_config.TextColumn("id", help="Its name in commands and links."),
}


@st.fragment
def tasks_tab(bank: Bank) -> None:
    """All tasks, to search and to take away; uploads can be removed. A fragment: the other tabs stay as they are."""
    table = task_table(bank)
    if table.empty:
        st.info("No task yet. Embed a folder on “Get an expert” and keep it, or import a bank below.")
        return
    roles = sorted(table["role"].unique())
    wanted = st.multiselect("Show", roles, placeholder="all", key="bank_roles", bind="query-params")
    shown = table[table["role"].isin(wanted)] if wanted else table
    chosen = selected(set(shown["id"]))
    if chosen and st.toggle(f"Only the {counted(len(chosen), 'chosen task')}", key="only", bind="query-params"):
        shown = shown[shown["id"].isin(chosen)]
    shown = shown.sort_values("kind", key=lambda kind: kind != UPLOAD, kind="stable")  # people's own first
    found = within(pictures(bank), MOST_BYTES, shown["id"])
    columns = COLUMNS if found else {name: column for name, column in COLUMNS.items() if name != "pictures"}
    table_shown = shown.assign(pictures=shown["id"].map(found).fillna("")) if found else shown
    st.dataframe(table_shown[list(columns)], hide_index=True, column_config=columns, key="bank_tasks")
    if about := about_names(bank):
        st.caption(about)
    download("Download as CSV", shown[[name for name in COLUMNS if name != "pictures"]], "tasks")
    served = [e.task_id for e in bank.experts()]  # these stay: an expert was trained on them
    uploads = table[(table["kind"] == UPLOAD) & ~table["id"].isin(served)].set_index("id")["name"].to_dict()
    if uploads:
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        doomed = left.selectbox("Remove one of your tasks", list(uploads), index=None, format_func=uploads.get)
        if right.button("Remove", disabled=doomed is None, key="remove_task"):
            try:
                bank.delete_task(doomed)
            except InputError as error:  # someone was quicker
                show_error(error)
                return
            st.rerun()


def experts_tab(bank: Bank) -> None:
    """All experts with their errors; adding one, measuring it, removing it."""
    store = jobs(bank)
    show_started(store)
    if bank.experts():
        show_experts(bank)
    else:
        st.info("No expert yet. Add one here, import a bank, or build the demo bank.")
    with st.expander("Add an expert", icon=":material/add:"):
        add_expert(bank, store)
    if bank.experts():
        with st.expander("Measure missing errors", icon=":material/speed:"):
            measure_errors(bank, store)
        with st.expander("Remove an expert", icon=":material/delete:"):
            remove_expert(bank, store)


@st.fragment(run_every=2.0)
def jobs_tab(store: JobStore) -> None:
    """Every job with what can be done about it."""
    found = store.list()
    if not found:
        st.info("No job yet: work started on “Get an expert” appears here, and goes on when you close the page.")
    for job in found:
        with st.container(border=True):
            _job_row(store, job)


def _job_row(store: JobStore, job: Job) -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created))
    detail = f"{job.stage} {job.done}/{job.total} {job.message}" if job.active else job.message
    below = f"  \n{told(detail)}" if detail else ""
    row.markdown(f"**{plain(job.title)}** · {job.state} · {when}{below}", width="stretch")
    if job.kind in ("recommend", "train"):
        row.page_link(EXPERT, label="Open", icon=":material/open_in_new:", query_params={"job": job.id})
    if job.active and row.button("Cancel", key=f"cancel{job.id}"):
        store.cancel(job.id)
        st.rerun(scope="fragment")
    if job.state in (INTERRUPTED, CANCELLED, FAILED) and row.button(
        "Try again" if job.state == FAILED else "Resume", key=f"resume{job.id}"
    ):
        store.resume(job.id)
        st.rerun(scope="fragment")
    if not job.active:
        with row.popover("Remove"):
            st.markdown("Its images, its result and its downloads go too. A task kept in the bank stays.")
            if st.button("Remove for good", key=f"remove{job.id}"):
                with suppress(InputError):  # someone has removed it already, or started it again
                    store.remove(job.id)
                st.rerun(scope="fragment")


def transfer_tab(bank: Bank) -> None:
    """Take the bank away, or add another one's contents."""
    left, right = st.container(key="wrap_small").columns(2)
    with left:
        st.markdown("##### Take it away")
        st.write("Everything but jobs in one zip: tasks with their pictures, experts, errors.")
        version = bank.version()
        if st.button("Prepare the export"):
            with tempfile.TemporaryDirectory() as folder, st.spinner("Packing …"):
                file = Path(folder) / "bank.zip"
                export_bank(bank, file)
                st.session_state["export"] = version, file.read_bytes()
        packed, data = st.session_state.get("export", (None, b""))
        if packed == version:
            st.download_button(f"Download bank.zip ({len(data) / 2**20:.1f} MiB)", data, "bank.zip")
        elif packed is not None:
            del st.session_state["export"]
            st.info("The bank has changed since the export was prepared; prepare it again.")
    with right:
        st.markdown("##### Add another bank")
        if taken := st.session_state.pop("imported", None):
            st.success(", ".join(f"{count:,} {what}" for what, count in taken.items()) + " taken in.")
        generation = st.session_state.setdefault("import_generation", 0)
        given = st.file_uploader("A zip exported here or by `bank export`", type="zip", key=f"import{generation}")
        if given and st.button("Import", type="primary"):
            with tempfile.TemporaryDirectory() as folder, st.spinner("Checking and importing …"):
                file = Path(folder) / "import.zip"
                with file.open("wb") as out:
                    shutil.copyfileobj(given, out)
                try:
                    st.session_state["imported"] = import_bank(bank, file)
                except InputError as error:
                    show_error(error)
                    return
            # A new key makes Streamlit release the upload; the other tabs show what has come.
            st.session_state["import_generation"] += 1
            st.rerun()


bank = open_page("Bank", "What is in the bank, which jobs ran, and how to take it all elsewhere.")
counts = bank.counts()
for column, (what, label) in zip(st.columns(len(COUNTED)), COUNTED.items(), strict=True):
    column.metric(label, f"{counts[what]:,}")
for tab, draw, what in zip(
    st.tabs(["Tasks", "Experts and errors", "Jobs", "Import and export"], key="tab", bind="query-params"),
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
