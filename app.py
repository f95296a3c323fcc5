"""Home: what this is, what is in the bank, where to start."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.common.chart import draw
from pages.common.data import about_names, audit_numbers, audit_table, compared, why_static
from pages.common.frame import BANK, EXPERT, MAP, jobs, open_page, plain, told
from pages.common.selected import selected
from pages.common.space import records
from pages.common.takeaway import download
from t2v_core.embedding.record import TASK2VEC
from t2v_core.figures.choice import KIND_TITLES, audit_chart
from t2v_core.probe.weights import preferred
from t2v_core.report.bank import bank_report
from t2v_core.selection.nearest import METRICS, Nearest
from t2v_core.selection.selectors import REFERENCES
from t2v_core.selection.ways import DEFAULT
from t2v_core.selection.words import counted

RULES = {rule.name: rule.title for rule in (*REFERENCES, *map(Nearest, METRICS))}
SIDE_BY_SIDE = 2
"""Kinds of target in one chart; more would cover each other where the window is narrow."""


def show_audit(table: pd.DataFrame) -> None:
    """Every rule on every kind of target; two charts stand side by side, or below each other in a narrow window."""
    kinds = [kind for kind in KIND_TITLES if kind in set(table["kind"])]
    parts = [kinds[i : i + SIDE_BY_SIDE] for i in range(0, len(kinds), SIDE_BY_SIDE)]
    if not parts:
        return
    for place, part in zip(st.container(key="wrap_charts").columns(len(parts)), parts, strict=True):
        chart = audit_chart(table, {kind: KIND_TITLES[kind] for kind in part})
        chart.update_xaxes(nticks=5, tickangle=0)
        alt = f"Relative error increase of every rule of choice: {', '.join(KIND_TITLES[kind] for kind in part)}"
        with place:
            draw(chart, key=f"audit_{part[0]}", alt=alt, file=f"loss-by-rule-{part[0]}")


def beside_default(rows: pd.DataFrame) -> str:
    """What the default rule loses on one kind of target, beside static and beside what loses less.

    Args:
        rows: of ``audit_table`` with the differences to the default rule, by rule.
    """
    loss = rows.loc[DEFAULT, "mean"]
    shown = rows[(rows.index == "static") | (rows["mean"].round() < round(loss))]
    differences = shown[[f"vs_{DEFAULT}{end}" for end in ("", "_low", "_high")]].itertuples()
    others = [f"*{rule}* ({rows.loc[rule, 'mean']:+.0f} %) {compared(*found)}" for rule, *found in differences]
    return "; ".join([f"*{DEFAULT}*, the default rule, loses {loss:+.0f} %", *others])


bank = open_page(
    "Which expert should I start from?",
    "You have a folder of images. This finds the pre-trained network whose task is closest to yours, "
    "and says how certain that is.",
)
counts = bank.counts()
chosen = selected(records(bank))

left, middle, right = st.columns(3)
with left.container(border=True, height="stretch"):
    st.subheader("Get an expert")
    st.write(
        "Drop a folder or zip of images, labelled or not. About a minute later you hold a ranked list and a download."
    )
    st.page_link(EXPERT, label="Start", icon=":material/arrow_forward:")
with middle.container(border=True, height="stretch"):
    st.subheader("See the task space")
    st.write("Every task is a point; near points ask the same of a network. Find out what yours would sit next to.")
    st.page_link(MAP, label="Open", icon=":material/arrow_forward:")
with right.container(border=True, height="stretch"):
    st.subheader("Look into the bank")
    st.write(
        f"{counted(counts['tasks'], 'task')}, {counted(counts['experts'], 'network')} (experts, and the generic one "
        f"they come from), {counted(counts['errors'], 'measured error')}, and your jobs."
    )
    st.page_link(BANK, label="Open", icon=":material/arrow_forward:")

active = [job for job in jobs(bank).list() if job.active]
if active:
    several = f"{len(active)} jobs are running."
    st.info(several if len(active) > 1 else f"1 job is running: {plain(active[0].title)}.")
    st.page_link(EXPERT, label="Watch it", icon=":material/hourglass_top:", query_params={"job": active[0].id})

if not counts["tasks"]:
    st.info(
        "The bank is empty. Build the demo bank with `python -m t2v_core bank build cifar100 --data …`, "
        "import one on the Bank page, or embed your own folders."
    )
    st.stop()

st.subheader("How good is the choice? Measured in this bank")
table = audit_table(bank)
if table.empty:
    st.info(
        "No expert's error was measured yet on a task whose images it has not seen, so no rule of choice can be judged "
        "here."
    )
else:
    st.write(
        "For each target task, the error of the expert that a rule picks, compared with the best expert there is: "
        "0 % means the best was picked, +70 % that the error is 1.7 times as large. Bars: 95 % interval over tasks. "
        "In colour the rules that look at the task; in grey any expert (*chance*), the network before fine-tuning "
        "(*generic*), and always the expert that was best on the other tasks (*static*)."
    )
    show_audit(table)
    by_kind = {kind: table[table["kind"] == kind].set_index("rule") for kind in KIND_TITLES}
    causes = why_static(bank)
    st.markdown(
        "\n".join(
            f"- **{KIND_TITLES[k]}:** {beside_default(rows)}. {told(causes[k])}"
            for k, rows in by_kind.items()
            if DEFAULT in rows.index
        )
    )
    st.caption("Points are the mean difference of two rules on the same tasks, with its 95 % interval over tasks.")
    with st.expander("What the rules mean, and all numbers"):
        st.markdown("\n".join(f"- **{rule}**: {text}" for rule, text in RULES.items()))
        st.dataframe(audit_numbers(table), hide_index=True)
        download("Download as CSV", table, "audit")

st.download_button(
    "Report as one HTML file",
    lambda: bank_report(bank, chosen=chosen),
    "task-space.html",
    "text/html",
    icon=":material/description:",
    on_click="ignore",
    disabled=not bank.embedded(TASK2VEC),  # of tasks without labels there is nothing to report
    help="Map, taxonomy, matrix and audit with interactive figures, for people who have no server. Tasks chosen on the "
    "pages are brought out and compared. It is made when you click: some 3 seconds and 5 MB for 200 tasks, longer and "
    "larger for more.",
)

probes = list(bank.probes().values())
if probes:
    name, why = preferred()
    in_use = f"This bank was embedded by **{probes[0].title}**, so uploads are embedded by it too."
    st.caption(f"{in_use} {why if name != probes[0].id else ''} {about_names(bank)}")
