"""Get an expert: drop a folder, see what is in it, get a ranking, its certainty and a download."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import streamlit as st

from pages.common.frame import BANK, EXPERT, jobs, open_page, plain, show_error
from pages.common.intake import allowed_roots, preview, server_path, stage_upload, stamp, sweep
from pages.common.preview import show_heading, show_preview, show_without_labels
from pages.common.request import ask
from pages.common.result import show_result
from pages.common.training import show_trained
from pages.common.work import show_failure, watch
from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError
from t2v_core.jobs.store import DONE, Job, JobStore

REFUSED = "refused"
"""In the session: why nothing can be made of an upload, which is gone by then."""


def take_in(bank: Bank) -> None:
    """Ask for images, show what they are, and start the job."""
    source, name, shown = _ask_for_images(bank)
    if source is None:
        _explain()
        return
    if REFUSED in st.session_state:
        show_error(st.session_state[REFUSED])
        _offer_other_images()
        return
    about = str(source), name, shown, stamp(source)
    try:
        seen = preview(*about)
        if seen.attributes:
            attribute = st.selectbox("Which attribute is the task?", seen.attributes)
            if attribute != seen.attribute:
                seen = preview(*about, attribute)
    except InputError as error:
        show_error(error)
        if "upload" in st.session_state:  # what is of no use stays no longer; the reason does
            source.unlink(missing_ok=True)
            st.session_state[REFUSED] = error
        _offer_other_images()
        return
    with show_heading(seen):
        _offer_other_images()
    show_preview(seen)
    before_form = st.container()
    arguments = ask(bank, name, seen)
    if arguments is not None:
        _start(bank, source, arguments)
    if seen.fault:
        with before_form:  # drawn last: what was measured may take a moment to read, and the form need not wait
            show_without_labels(bank, seen)


def _ask_for_images(bank: Bank) -> tuple[Path | None, str, str]:
    """What was given: where it lies, what to call the task, and what the person calls it (empty: by its path).

    Uploads leave memory for the disk at once.
    """
    if "upload" in st.session_state:
        path, name, shown = st.session_state["upload"]
        if Path(path).exists() or REFUSED in st.session_state:
            return Path(path), name, shown
        del st.session_state["upload"]
    sweep(bank)
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
        text = st.text_input(
            "Folder or zip on the server", placeholder=str(allowed_roots()[0] / "…"), key=f"server{generation}"
        )
        if text:
            try:
                path = server_path(text)
                return path, path.stem, ""
            except InputError as error:
                show_error(error)
    if files:
        # A new key makes Streamlit release the upload, which it would otherwise hold in memory.
        st.session_state["upload_generation"] += 1
        try:
            with st.spinner("Receiving your images …"):
                path, name, shown = stage_upload(bank, files)
        except InputError as error:
            show_error(error)
            return None, "", ""
        st.session_state["upload"] = (str(path), name, shown)
        st.rerun()
    return None, "", ""


def _explain() -> None:
    folders, table, plain = st.container(key="wrap_small").columns([1, 1.25, 1])
    folders.markdown(
        "**One subfolder per class**\n```\nflowers/\n  rose/   1.jpg 2.jpg …\n  tulip/  1.jpg 2.jpg …\n```\n"
        "or the same below `train/` and `test/`."
    )
    table.markdown(
        "**Images beside a `labels.csv`**\n```\nfile,label    or   file,red,spiky\n"
        "1.jpg,rose         1.jpg,1,1\n2.jpg,tulip        2.jpg,0,0\n```\nEach 0/1 column is a task of its own."
    )
    plain.markdown(
        "**Images alone**\n```\nflowers/\n  1.jpg 2.jpg\n  3.jpg 4.jpg …\n```\n"
        "Without labels you still get a ranking and a download."
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
    st.session_state.pop(REFUSED, None)
    if staged := st.session_state.pop("upload", None):
        Path(staged[0]).unlink(missing_ok=True)
    else:
        preview.clear()  # a path on the server, to be looked at anew
    st.session_state["upload_generation"] = st.session_state.get("upload_generation", 0) + 1


def _start(bank: Bank, source: Path, arguments: dict[str, Any]) -> None:
    """Submit the job, and take the upload along into its folder."""
    store = jobs(bank)
    job_id = store.new_id()
    if st.session_state.pop("upload", None):  # else it is a path on the server, which stays where it is
        folder = store.folder(job_id)
        folder.mkdir(parents=True)
        source = Path(shutil.move(source, folder / "upload.zip"))
    store.submit("recommend", arguments["name"], arguments | {"path": str(source)}, job_id)
    st.query_params["job"] = job_id
    st.rerun()


def show_end(bank: Bank, store: JobStore, job: Job) -> None:
    """What a job that is over came to."""
    if job.state != DONE or not job.result:
        show_failure(store, job)
    elif job.kind == "recommend":
        show_result(bank, job, store.folder(job.id) / "out")
    elif job.kind == "train":
        show_trained(job, store.folder(job.id) / "out")
    else:
        st.info(f"“{plain(job.title)}” is over; what it came to is in the bank.")
        st.page_link(BANK, label="Open the bank", icon=":material/arrow_forward:")


bank = open_page(
    "Get an expert", "Drop a folder of images, labelled or not; get the network to start from, and how sure that is."
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
