"""Bringing an expert along: a file of weights, or the name of a published network. The work checks it; this asks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import streamlit as st

from pages.common.experts import start
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import SUFFIX, called
from t2v_core.jobs.store import JobStore
from t2v_core.task.worlds import slug

ARCHITECTURES = (
    "resnet20",
    "resnet18",
    "resnet34",
    "resnet50",
    "densenet121",
    "efficientnet_b0",
    "convnext_tiny",
    "vit_b_16",
)
"""Offered; any other of torchvision or timm can be typed."""

FILE, NAME = "A file of weights", "A published network"


def add_expert(bank: Bank, store: JobStore) -> None:
    """Ask for an expert, and start the job that checks it and puts it into the bank."""
    way = st.segmented_control("What do you have?", [FILE, NAME], default=FILE, required=True, key="expert_way")
    with st.form("new_expert", border=False):
        given = (_ask_for_file if way == FILE else _ask_for_name)()
        tasks = called(bank.tasks())
        task = st.selectbox(
            "Trained on",
            list(tasks),
            index=None,
            format_func=tasks.get,
            placeholder="not one of this bank's tasks",
            key="expert_task",
            help="Only an expert whose own task is in the bank can be ranked by distance. To rank yours, first keep "
            "its training images as a task on “Get an expert”.",
        )
        name = st.text_input("Call it", key="expert_name", placeholder="the name of the file or network")
        if not st.form_submit_button("Add it to the bank", icon=":material/add:"):
            return
    upload, arguments = given
    if way == FILE and upload is None:
        st.error("There is no file yet: choose one that ends in .safetensors.")
        return
    if way == NAME and not arguments["model"]:
        st.error("There is no name yet: type one such as resnet18 or timm/convnext_nano.in12k.")
        return
    job_id = store.new_id()
    title = name.strip()
    if upload is not None:
        # The name of an upload never becomes a path; but a person should know the file again in a message.
        stem = Path(upload.name).stem
        file = store.folder(job_id) / f"{slug(stem)[:60] or 'expert'}{SUFFIX}"
        file.parent.mkdir(parents=True)
        with file.open("wb") as out:
            shutil.copyfileobj(upload, out)
        arguments["file"] = str(file)
        title = title or stem
    title = title or arguments["model"]
    # A new key makes Streamlit release the upload, which it would otherwise hold in memory.
    st.session_state["expert_generation"] = st.session_state.get("expert_generation", 0) + 1
    start(store, "add", f"adding {title[:80]}", arguments | {"name": title, "task_id": task}, job_id)


def _ask_for_file() -> tuple[Any, dict[str, Any]]:
    generation = st.session_state.setdefault("expert_generation", 0)
    upload = st.file_uploader("Weights", type="safetensors", key=f"expert_file{generation}")
    left, right = st.columns(2)
    architecture = left.selectbox(
        "Network they belong to",
        ARCHITECTURES,
        accept_new_options=True,
        key="expert_architecture",
        help="The network's name in torchvision, or timm/ and its name there; resnet20 ships with this program. "
        "Type any other.",
    )
    size = right.number_input(
        "Side of its images in pixels",
        8,
        2048,
        None,
        key="expert_size",
        placeholder="the network's usual",
        help="Only where it was trained on images of another size than usual.",
    )
    return upload, {"architecture": architecture or "", "input_size": size}


def _ask_for_name() -> tuple[None, dict[str, Any]]:
    model = st.text_input("Its name in torchvision or timm", key="expert_model", placeholder="resnet18")
    st.caption("Its published weights are taken from this machine, or downloaded where that is possible.")
    return None, {"model": model.strip()}
