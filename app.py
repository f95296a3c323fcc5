"""Home: what this is, what is in the bank, where to start."""

from __future__ import annotations

import streamlit as st

from pages.common.data import audit_table
from pages.common.frame import BANK, EXPERT, MAP, jobs, open_page
from pages.common.takeaway import download
from t2v_core.figures.choice import KIND_TITLES, audit_chart
from t2v_core.probe.weights import preferred
from t2v_core.report.bank import bank_report
from t2v_core.selection.nearest import METRICS, Nearest
from t2v_core.selection.selectors import REFERENCES

RULES = {rule.name: rule.title for rule in (*REFERENCES, *map(Nearest, METRICS))}
DEFAULT = "asymmetric"

bank = open_page(
    "Which expert should I start from?",
    "You have a folder of images. This finds the pre-trained network whose task is closest to yours, "
    "and says how certain that is.",
)
counts = bank.counts()

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
        f"{counts['tasks']} tasks, {counts['experts']} experts, {counts['errors']:,} measured errors, and your jobs."
    )
    st.page_link(BANK, label="Open", icon=":material/arrow_forward:")

active = [job for job in jobs(bank).list() if job.active]
if active:
    st.info(
        f"{len(active)} job is running: {active[0].title}." if len(active) == 1 else f"{len(active)} jobs are running."
    )
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
    st.info("The bank holds no measured errors yet, so no rule of choice can be judged here.")
else:
    st.write(
        "For each target task, the error of the expert that a rule picks, compared with the best expert there is: "
        "0 % means the best was picked, +70 % that the error is 1.7 times as large. Bars: 95 % interval over tasks."
    )
    st.plotly_chart(audit_chart(table, KIND_TITLES), key="audit", alt="Relative error increase of every rule of choice")
    for kind, words in KIND_TITLES.items():
        rows = table[table["kind"] == kind].set_index("rule")["mean"]
        better = [f"*{rule}* ({value:+.0f} %)" for rule, value in rows.items() if value < rows.get(DEFAULT, 0)]
        if better:
            st.markdown(f"**{words}:** the default rule loses {rows[DEFAULT]:+.0f} %; {', '.join(better)} did better.")
    with st.expander("What the rules mean, and all numbers"):
        st.markdown("\n".join(f"- **{rule}**: {text}" for rule, text in RULES.items()))
        shown = table[["kind", "rule", "tasks", "optimum", "mean", "low", "high", "verdict"]].rename(
            columns={"optimum": "best error %", "mean": "increase %", "low": "from %", "high": "to %"}
        )
        st.dataframe(shown.round(1), hide_index=True)
        download("Download as CSV", table, "audit")

st.download_button(
    "Report as one HTML file",
    lambda: bank_report(bank),
    "task-space.html",
    "text/html",
    icon=":material/description:",
    on_click="ignore",
    help="Map, taxonomy, matrix and audit with interactive figures, for people who have no server. It is made when you "
    "click: some 3 seconds and 5 MB for 200 tasks, longer and larger for more.",
)

probes = list(bank.probes().values())
if probes:
    name, why = preferred()
    in_use = f"This bank was embedded by **{probes[0].title}**, so uploads are embedded by it too."
    st.caption(f"{in_use} {why if name != probes[0].id else ''}")
