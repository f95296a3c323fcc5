"""Get an expert: drop a folder, see what is in it, get a ranking, its certainty and a download."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.common.frame import BANK, EXPERT, jobs, open_page, show_error
from pages.common.intake import allowed_roots, preview, server_path, stage_upload
from pages.common.result import show_result
from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError
from t2v_core.jobs.store import CANCELLED, CANCELLING, DONE, FAILED, INTERRUPTED, Job, JobStore
from t2v_core.probe.weights import preferred

SELECTORS = {
    "asymmetric": "nearest task, with credit for complex sources (recommended)",
    "model2vec": "nearest expert, moved to where its errors on other tasks put it (learned from this bank's errors)",
    "symmetric": "nearest task",
    "domain": "most similar-looking images, labels ignored",
}
COMPARE = {
    "top": "the top five and the generic one",
    "all": "all of them (takes longer)",
    "none": "none",
}


def take_in(bank: Bank) -> None:
    """Ask for images, show what they are, and start the job."""
    source, name = _ask_for_images(bank)
    if source is None:
        _explain()
        return
    try:
        seen = preview(str(source), name)
    except InputError as error:
        show_error(error)
        _offer_other_images()
        return
    if not seen.found.labelled:
        st.warning(
            f"{len(seen.found.tasks[0]):,} images, but no labels: put them into one subfolder per class, or add a "
            "labels.csv with the columns file and label. Ranking experts without labels is not offered yet."
        )
        _offer_other_images()
        return
    _show_preview(seen)
    _ask_options(bank, source, name, [t.classes[1] for t in seen.found.tasks] if len(seen.found.tasks) > 1 else [])


def _ask_for_images(bank: Bank) -> tuple[Path | None, str]:
    """What was given, as a path and a name; uploads leave memory for the disk at once."""
    if "upload" in st.session_state:
        path, name = st.session_state["upload"]
        if Path(path).exists():
            return Path(path), name
        del st.session_state["upload"]
    ways = ["A folder", "A zip file", *(["A path on the server"] if allowed_roots() else [])]
    way = st.segmented_control("What do you have?", ways, default=ways[0], required=True, key="way")
    generation = st.session_state.setdefault("upload_generation", 0)
    files = None
    if way == "A zip file":
        one = st.file_uploader("Drop a zip of your images", type="zip", key=f"zip{generation}")
        files = [one] if one else None
    elif way == "A folder":
        files = st.file_uploader("Drop a folder of images", accept_multiple_files="directory", key=f"dir{generation}")
    else:
        text = st.text_input("Folder or zip on the server", placeholder=str(allowed_roots()[0] / "…"))
        if text:
            try:
                path = server_path(text)
                return path, path.stem
            except InputError as error:
                show_error(error)
    if files:
        with st.spinner("Receiving your images …"):
            path, name = stage_upload(bank, files)
        st.session_state["upload"] = (str(path), name)
        # A new key makes Streamlit release the upload, which it would otherwise hold in memory.
        st.session_state["upload_generation"] += 1
        st.rerun()
    return None, ""


def _explain() -> None:
    left, right = st.columns(2)
    left.markdown(
        "**One subfolder per class**\n```\nflowers/\n  rose/   1.jpg 2.jpg …\n  tulip/  1.jpg 2.jpg …\n```\n"
        "or the same below `train/` and `test/`."
    )
    right.markdown(
        "**Images beside a `labels.csv`**\n```\nfile,label       or   file,red,has_thorns\n"
        "1.jpg,rose            1.jpg,1,1\n2.jpg,tulip           2.jpg,0,0\n```\nEach 0/1 column is a task of its own."
    )
    st.caption(
        "JPEG, PNG, WebP, BMP, GIF or TIFF. From about 20 images a class the answer is useful; 100 are better. "
        "Nothing is kept in the bank unless you save it; a job's images stay with the job until you remove it."
    )


def _offer_other_images() -> None:
    if st.button("Choose other images", icon=":material/undo:"):
        _forget_upload()
        st.rerun()


def _forget_upload() -> None:
    path = Path(st.session_state.pop("upload", ("", ""))[0])
    if path.suffix == ".zip" and path.parent.name == "staging":
        path.unlink(missing_ok=True)


def _show_preview(seen) -> None:
    task = seen.found.tasks[0]
    heading, button = st.columns([4, 1])
    held = f", {int(task.held_out.sum()):,} of them for testing" if task.held_out.any() else ""
    heading.subheader(f"{task.name}: {len(task):,} images, {len(task.classes)} classes{held}")
    with button:
        _offer_other_images()
    for text in [*seen.found.warnings, *seen.warnings[0]]:
        st.warning(text)
    left_out = [*seen.found.skipped, *seen.skipped[0]]
    if left_out:
        with st.expander(f"{len(left_out)} files are left out"):
            st.dataframe(pd.DataFrame([asdict(s) for s in left_out]), hide_index=True)
    table, pictures = st.columns([1, 2])
    counts = pd.DataFrame({"class": task.classes, "images": task.counts}).sort_values("images", ascending=False)
    table.dataframe(
        counts,
        hide_index=True,
        height=min(320, 38 + 35 * len(counts)),
        column_config={
            "images": st.column_config.ProgressColumn(format="%d", min_value=0, max_value=int(counts["images"].max()))
        },
    )
    columns = pictures.columns(6)
    for number, (label, image) in enumerate(seen.examples[0]):
        columns[number % 6].image(image, caption=label[:24], width="stretch")


def _ask_options(bank: Bank, source: Path, name: str, attributes: list[str]) -> None:
    probes = {info.id: info.title for info in bank.probes().values()}
    if not probes or not any(e.task_id for e in bank.experts()):
        st.error("This bank has no expert to choose from. Import a bank, or build the demo bank, on the Bank page.")
        return
    with st.form("options", border=True):
        title = st.text_input("Call the task", name)
        attribute = st.selectbox("Which attribute is the task?", attributes) if attributes else None
        compare = st.radio(
            "Fit a head on your images to compare", list(COMPARE), format_func=COMPARE.get, horizontal=True
        )
        with st.expander("More options"):
            selector = st.selectbox("Rank experts by", list(SELECTORS), format_func=SELECTORS.get)
            probe = st.selectbox("Probe network", list(probes), format_func=probes.get)
            st.caption(f"The probe must be the one the bank's experts were embedded by. {preferred()[1]}")
            most = st.number_input("Use at most this many images to learn from", 100, 20000, 2000, 100)
            seed = st.number_input("Seed", 0, 10**6, 0)
        if not st.form_submit_button("Find my expert", type="primary", icon=":material/arrow_forward:"):
            return
    store = jobs(bank)
    job_id = store.new_id()
    if source.parent.name == "staging":
        folder = store.folder(job_id)
        folder.mkdir(parents=True)
        source = Path(shutil.move(source, folder / "upload.zip"))
        st.session_state.pop("upload", None)
    arguments = {
        "path": str(source),
        "name": title.strip()[:200] or name,
        "attribute": attribute,
        "probe": probe,
        "selector": selector,
        "max_images": int(most),
        "fit": compare,
        "seed": int(seed),
    }
    store.submit("recommend", arguments["name"], arguments, job_id)
    st.query_params["job"] = job_id
    st.rerun()


@st.fragment(run_every=0.7)
def watch(store: JobStore, job_id: str) -> None:
    """Progress of a running job; the page is run again when it ends."""
    job = store.get(job_id)
    if not job.active:
        st.rerun()
    st.subheader(f"Working on {job.title}")
    waited = time.time() - job.created
    st.progress(min(1.0, job.done / job.total) if job.total else 0.0, text=f"{job.stage.capitalize()} · {job.message}")
    st.caption(f"{waited:.0f} s so far. You can close this page; the work goes on and this address shows the result.")
    if st.button("Cancel", disabled=job.state == CANCELLING):
        store.cancel(job_id)


def show_end(bank: Bank, store: JobStore, job: Job) -> None:
    """What a job that is over came to."""
    if job.kind != "recommend":
        st.info(f"“{job.title}” is over; what it came to is in the bank.")
        st.page_link(BANK, label="Open the bank", icon=":material/arrow_forward:")
        return
    if job.state == DONE and job.result:
        show_result(bank, job, store.folder(job.id) / "out")
        return
    text = {
        FAILED: job.message,
        CANCELLED: "The work was stopped on request.",
        INTERRUPTED: "The work was cut off: the process or the machine was stopped.",
    }[job.state]
    st.error(f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}")
    if st.button("Resume" if job.state != FAILED else "Try again", type="primary"):
        store.resume(job.id)
        st.rerun()


bank = open_page(
    "Get an expert", "Drop a folder of labelled images; get the network to start from, and how sure that is."
)
job_id = st.query_params.get("job")
if job_id:
    store = jobs(bank)
    if st.button("New images", icon=":material/undo:"):
        st.query_params.clear()
        st.rerun()
    try:
        job = store.get(job_id)
    except InputError as error:
        show_error(error)
        st.page_link(EXPERT, label="Start with new images", icon=":material/arrow_forward:")
        st.stop()
    if job.active:
        watch(store, job_id)
    else:
        show_end(bank, store, job)
else:
    take_in(bank)
