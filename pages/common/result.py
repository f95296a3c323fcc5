"""The result of a recommendation, as a person wants to read it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from pages.common.chart import draw
from pages.common.data import about_names
from pages.common.frame import plain, told
from pages.common.hover import hover_cards
from pages.common.keeping import keep
from pages.common.maps import map_table, place_task
from pages.common.preview import list_left_out
from pages.common.takeaway import download
from pages.common.training import offer_training
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import UPLOAD
from t2v_core.embedding.record import TASK2VEC
from t2v_core.figures.choice import fitted_chart, ranking_chart
from t2v_core.figures.task_map import task_map
from t2v_core.jobs.store import Job
from t2v_core.report.bank import bank_report
from t2v_core.report.ranking import ranking_sections
from t2v_core.selection.advice import Advice, advise
from t2v_core.selection.explanation import UNTOLD, credit_taken, given_up, losses
from t2v_core.selection.meta_task import GENERIC
from t2v_core.selection.ways import WAYS

ICONS = {"Clear": ":green[●]", "Likely": ":orange[●]", "Open": ":red[●]", "Tied": ":red[●]"}
SHOWN = 8

LOSS = "(To lose 50 %: the error of the expert picked is one and a half times that of the best one.)"


def show_result(bank: Bank, job: Job, out: Path) -> None:
    """Headline, certainty, ranking, comparison, map, downloads."""
    # A job of an earlier version says nothing of labels: it had them.
    result = {"teacher": None} | (job.result or {})
    result["task"] = {"learnable": True} | result["task"]
    ranking = result["ranking"]
    advice = advise(ranking, result["generic"])
    best = next((row for row in ranking if row["expert_id"] == advice.expert_id), None)
    st.subheader(f"Start from: {plain(advice.name)}{_company(ranking, advice)}")
    left, right = st.container(key="wrap_small").columns([1.6, 1])
    with left:
        if advice.measured:
            st.markdown(f"**Why.** {told(advice.sentence)}")
        if best:
            st.markdown(f"{'' if advice.measured else '**Why.** '}{told(best['reason'])}")
        word = result["certainty"].split(":")[0]
        measured = "That difference, on the same images, is more than chance. The order by distance alone: "
        st.markdown(f"**How sure.** {measured if advice.measured else ICONS.get(word, '')} {result['certainty']}")
        st.markdown(f"{result['familiarity']}")
        if result["teacher"]:
            st.markdown(f"**In place of labels.** {result['teacher']['sentence']}")
        st.markdown(_track_record(result))
        if rows := losses(result["track_record"]):
            with st.expander("What it loses on tasks of each kind"):
                st.dataframe(pd.DataFrame(rows), hide_index=True)
        for text in result["warnings"]:
            st.warning(told(text))
        list_left_out(result.get("left_out", []))  # a job of an earlier version does not say
    with right.container(border=True):
        _downloads(result, out, advice.expert_id)
        keep(bank, result["task"]["id"], out)
        _report(bank, result)
    _facts(result)
    distances, heads = st.container(key="wrap_charts").columns(2)
    with distances:
        st.markdown("##### By distance between tasks")
        draw(ranking_chart(ranking[:SHOWN]), key="ranking", file="distances", alt="Distance of the nearest experts")
        st.caption(
            "Smaller is better; bars: ± 2 standard deviations. No expert was run for this: one pass over your images "
            f"ranks them all. {credit_taken(result['selector'])} {about_names(bank)}"
        )
    with heads:
        st.markdown("##### By a head fitted on your images")
        if not result["task"]["learnable"]:
            st.info(
                "Heads need labels of two classes or more. With some 20 labelled images a class you could see here how "
                "well each expert does on them."
            )
        elif any(r["fitted"] for r in ranking):
            draw(
                fitted_chart(ranking, result["generic"]),
                key="fitted",
                file="fitted-heads",
                alt="Accuracy of fitted heads",
            )
            how = next(r["fitted"] for r in ranking if r["fitted"])
            said = "" if advice.measured else told(advice.sentence)  # above, where it decided
            st.caption(f"Measured by {how['how']} on {how['n']:,} images; bars: 95 % interval. {said}")
        else:
            st.info(
                "No head was fitted. Start again with a comparison to see how well each expert does on your images."
            )
    if result["task"]["learnable"]:
        offer_training(bank, job)
    st.markdown("##### Where your task lies")
    _map(bank, result, out)
    with st.expander(f"All {len(ranking)} experts as a table (the generic network is no candidate)"):
        table = _table(ranking)
        st.dataframe(table, hide_index=True)
        download("Download as CSV", table, "ranking")


def _track_record(result: dict) -> str:
    """What the rule of choice has cost in this bank so far, beside the rule that never looks at the task."""
    records = {r["kind"]: r for r in result["track_record"]}
    blind = not result["task"]["learnable"] or result["teacher"]
    if blind and "all" in records:
        return f"**What was given up.** {UNTOLD} {records['all']['sentence']} {LOSS}"
    if blind:
        return f"**What was given up.** {given_up(result['track_record'])}"
    if "all" not in records and result["audit"]:
        return "**Track record.** What this rule of choice costs was not measured in this bank."
    if "all" not in records:
        return "**Track record.** This bank holds no measured errors, so the rule of choice could not be tested here."
    return f"**Track record.** {records['all']['sentence']} {LOSS}"


def _company(ranking: list[dict], advice: Advice) -> str:
    """How many others share the first place, where that decided."""
    others = sum(row["rank"] == 1 for row in ranking) - 1
    if advice.measured or not others:
        return ""
    return f", or one of {others} others like it" if others > 1 else ", or another like it"


def _downloads(result: dict, out: Path, first: str) -> None:
    names = {r["expert_id"]: f"{r['rank']}. {r['name']}" for r in result["ranking"]} | {GENERIC: "generic network"}
    offered = [i for i in dict.fromkeys([first, *names]) if (out / f"{i}.zip").is_file()]
    if not offered:
        st.write("The downloads of this job have been removed.")
        return
    heads = {r["expert_id"] for r in result["ranking"] if r["fitted"]} | ({GENERIC} if result["generic"] else set())
    chosen = st.selectbox("Download", offered, format_func=names.get, key="download_which")
    st.download_button(
        "Download the expert",
        (out / f"{chosen}.zip").read_bytes(),
        f"{chosen}.zip",
        "application/zip",
        type="primary",
        icon=":material/download:",
        on_click="ignore",
        key="download",
    )
    if chosen in heads:
        st.caption("Weights, a head for your classes, the transform, a script that runs as it is, and a model card.")
    else:
        st.caption(
            "Weights, the transform, a script that turns images into features as it is, and a model card; no head, as "
            "none was fitted."
        )


def _report(bank: Bank, result: dict) -> None:
    first = ranking_sections(
        result["task"]["name"],
        result["ranking"],
        result["certainty"],
        result["familiarity"],
        result["generic"],
        result["selector"],
    )
    st.download_button(
        "Report as one HTML file",
        lambda: bank_report(bank, first, [result["task"]["id"]]),
        f"{result['task']['id']}.html",
        "text/html",
        icon=":material/description:",
        on_click="ignore",
        key="report",
        help="This ranking and the bank it stems from, with interactive figures, for people who have no server. It is "
        "made when you click: some 3 seconds and 5 MB for 200 tasks.",
    )


def _facts(result: dict) -> None:
    task, teacher = result["task"], result["teacher"]
    facts = [("Images used", f"{task['images']:,}", None), ("Classes", len(task["classes"]) or "none", None)]
    if task["validation_accuracy"] is not None:
        about = (
            f"Balanced accuracy of the head behind the embedding, on {task['validation_size']} images kept aside: how "
            "well the probe tells your classes apart. It was fitted in another way and measured on other images than "
            "the heads that compare experts, so do not compare the two."
        )
        facts.append(("Probe head accuracy", f"{task['validation_accuracy']:.0%}", about))
    if teacher:
        about = "Mean probability that the probe's own classifier gives its first guess: how sure it is."
        facts.append(("Classifier's first guess", f"{teacher['confidence']:.0%}", about))
    if task["relative_error"] is not None:
        about = "Relative standard error of the task's vector, from 16 disjoint parts of your images."
        facts.append(("Error of the embedding", f"{task['relative_error']:.1%}", about))
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result["seconds"].items())
    facts.append(("Time", f"{sum(result['seconds'].values()):.0f} s", f"Of the work itself: {spent}."))
    with st.container(horizontal=True, gap="medium"):  # wraps where the window is narrow
        for label, value, about in facts:
            st.metric(label, value, help=about, width="content")
    st.caption(f"Embedded by {plain(result['probe']['title'])}, as the tasks of the experts were.")


def _map(bank: Bank, result: dict, out: Path) -> None:
    tasks = map_table(bank)
    task = result["task"]
    tasks = tasks.assign(group=tasks["level 2"], upload=tasks["id"] == task["id"])  # one star alone
    way = "Near points ask the same of a network."
    if task["id"] not in tasks.index:
        if not (out / "task").is_dir():
            st.info("The files of this job have been removed, so its place on the map is no longer known.")
            return
        found = {e.method: e for _, e in Bank(out / "task").all_embeddings()}
        placed = found.get(TASK2VEC) or found[WAYS[result["selector"]].method]
        spot = place_task(bank, placed)
        if spot is None:
            st.info("Too few of the bank's tasks can be compared with yours in this way to place it on the map.")
            return
        if placed.method != TASK2VEC:
            way = "It is placed among the tasks nearest by the same distance as above; all others stand by Task2Vec."
        row = {
            "id": task["id"],
            "name": task["name"],
            "path": "your upload",
            "classes": len(task["classes"]),
            "images": task["images"],
            "accuracy": "–" if task["validation_accuracy"] is None else f"{task['validation_accuracy']:.0%}",
            "group": UPLOAD,
            "x": spot[0],
            "y": spot[1],
            "upload": True,
        }
        tasks = pd.concat([tasks, pd.DataFrame([row], index=[task["id"]])])
    first = result["ranking"][:3]
    nearest = [r["task_id"] for r in first]
    labels = {r["task_id"]: str(number) for number, r in enumerate(first, start=1)}
    draw(
        task_map(tasks, links=(task["id"], nearest), labels=labels, height=520),
        key="result_map",
        file="your-task",
        zoom=True,
        alt="Your task among the bank's tasks",
    )
    hover_cards(bank, ["result_map"], nearest)
    names = ", ".join(f"{number} {plain(r['task_name'])}" for number, r in enumerate(first, start=1))
    st.caption(f"Star: your task. Lines lead to the tasks of the nearest experts: {names}. {way}")


def _table(ranking: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "rank": r["rank"],
                "expert": r["name"],
                "distance": round(r["distance"], 5),
                "spread": round(r["spread"], 5),
                "first in": f"{r['p_first']:.0%}",
                "top 3 in": f"{r['p_top3']:.0%}",
                "head accuracy": f"{r['fitted']['accuracy']:.1%}" if r["fitted"] else "",
                "reason": r["reason"],
            }
            for r in ranking
        ]
    )
