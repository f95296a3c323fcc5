"""An expert of one's own: offered with its price on a result, handed over when its training is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from pages.common.frame import BANK, SELECTION, jobs, plain, told
from pages.common.work import own_copy
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import LONGEST_NAME
from t2v_core.jobs.store import Job
from t2v_core.probe.record import BUNDLED
from t2v_core.selection.advice import advise
from t2v_core.selection.meta_task import GENERIC

GENERIC_START = "the generic network, as the bank's own experts did"
TITLES = {"scaled": "thorough, as the bank's own experts were trained", "brief": "brief"}


def offer_training(bank: Bank, job: Job) -> None:
    """A button that fine-tunes an expert on the images of a result, with what that costs.

    Args:
        bank: where the expert would go.
        job: a finished recommendation on labelled images.
    """
    result = job.result or {}
    st.markdown("##### Or train an expert of your own")
    source = Path(job.arguments["path"])
    if not source.exists():
        st.info("The images of this job are gone, so no expert can be trained on them. Give them again to do so.")
        return
    costs = result.get("training", [])
    if not costs:
        st.info("How long a training takes was not measured when this ran. Give the images again to train on them.")
        return
    prices = {c["schedule"]: c for c in costs}
    names = sorted(prices, key=list(TITLES).index)
    starts = _starts(bank, result["ranking"])
    advised = advise(result["ranking"], result["generic"]).expert_id
    at = list(starts).index(advised) if advised in starts else 0
    start = st.selectbox("Start from", list(starts), at, format_func=starts.get, key="training_start")
    chosen = st.radio("How thoroughly", names, format_func=lambda n: _price(prices[n]), key="training_schedule")
    own = next((e for e in bank.experts() if e.task_id == result["task"]["id"]), None)
    st.caption(
        "It learns from the images that were used above but those kept for testing. Task and expert then stand in the "
        "bank, where others can use them; the images do not. The time was measured on this machine when your images "
        "were ranked; more images do not make it longer, other work beside it does."
    )
    if not result["task"]["held_out"]:
        st.warning(
            "None of your images are kept for testing, so nobody will be able to tell how good this expert is: put "
            "about a fifth of each class into a folder `test` beside `train`, and give the images again."
        )
    if own is not None:
        st.info(f"The bank has an expert trained on these images: {plain(own.name)}. Training another way replaces it.")
    if st.button("Fine-tune an expert on these images", icon=":material/model_training:"):
        store = jobs(bank)
        job_id = store.new_id()
        given = job.arguments
        arguments = {name: given[name] for name in ("attribute", "probe", "max_images", "seed") if name in given}
        name = _plain(given.get("name") or result["task"]["name"])  # without the attribute, which is added anew
        arguments |= {"path": str(own_copy(store, job_id, source)), "name": name}
        arguments |= {"schedule": chosen, "start": None if start == GENERIC else start}
        store.submit("train", f"an expert for {arguments['name']}", arguments, job_id)
        st.query_params["job"] = job_id
        st.rerun()


def show_trained(job: Job, out: Path) -> None:
    """The expert that a training left: how good it is, the download, where it can be found."""
    result: dict[str, Any] = job.result or {}
    st.subheader(f"Your expert is ready: {plain(result['name'])}")
    training, tested = result["training"], result.get("tested")
    left, right = st.container(key="wrap_small").columns([1.6, 1])
    network = "the generic network" if training["from"] == BUNDLED else str(training["from"])
    with left:
        again = "It was trained in the same way before, so nothing was repeated. " if result["already"] else ""
        st.markdown(
            f"{again}It started from {plain(str(training.get('from_expert', network)))}, learned from "
            f"{training['images']:,} images of {training['classes']} classes, and is in the bank: from now on, "
            "labelled uploads that resemble yours are pointed to it. For uploads without labels it is not ranked."
        )
        if tested:
            st.markdown(
                f"**How good.** {tested['accuracy']:.1%} of the {tested['n']:,} images it did not learn from are told "
                f"right (95 % interval {tested['low']:.1%} to {tested['high']:.1%})."
            )
        else:
            st.markdown(
                "**How good.** That cannot be told: it learned from all of your images that were used. Give some "
                "apart, in a folder `test` beside `train`, and it will be."
            )
        for text in result["warnings"]:
            st.warning(told(text))
    file = out / result.get("download", "")
    with right.container(border=True):
        if file.is_file():
            st.download_button(
                "Download the expert",
                file.read_bytes(),
                file.name,
                "application/zip",
                type="primary",
                icon=":material/download:",
                on_click="ignore",
            )
            st.caption("Weights, a head for your classes, a script that runs as it is, and a model card.")
        st.page_link(BANK, label="See it in the bank", icon=":material/database:")
        st.page_link(SELECTION, label="How experts are chosen", icon=":material/rule:")


def duration(seconds: float) -> str:
    """A time in words, as coarse as an estimate deserves."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 100:
        return f"about {minutes} minute{'s' if minutes > 1 else ''}"
    return f"about {seconds / 3600:.0f} hours"


def _starts(bank: Bank, ranking: list[dict[str, Any]]) -> dict[str, str]:
    """What a training can start from, in words, by expert id: the ranked experts in order, and the generic network.

    Experts of another architecture are left out: what their training takes was not measured.
    """
    experts = {e.id: e for e in bank.experts()}
    usual = experts[GENERIC].architecture if GENERIC in experts else None
    starts = {
        r["expert_id"]: f"{r['rank']}. {r['name']}"
        for r in ranking
        if r["expert_id"] in experts and experts[r["expert_id"]].architecture == usual
    }
    return starts | {GENERIC: GENERIC_START}


def _price(cost: dict[str, Any]) -> str:
    looks = cost["epochs"] * cost["images_per_epoch"]
    return f"{duration(cost['seconds'])}: {TITLES[cost['schedule']]} ({looks:,} looks at an image)"


def _plain(name: str) -> str:
    """A task's name as an expert may have it."""
    printable = "".join(c for c in name.replace("/", "-").replace("\\", "-") if c.isprintable()).strip()
    return printable[:LONGEST_NAME].strip(". ") or "my task"
