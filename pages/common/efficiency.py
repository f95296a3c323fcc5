"""The view of the page "Expert selection" that tells how many images a task takes with which expert."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.common.chart import draw
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import FROZEN, TUNED
from t2v_core.figures.efficiency import efficiency_curves
from t2v_core.selection.trials import (
    BEST,
    GENERIC_ROLE,
    PICKED,
    complete,
    efficiency_table,
    summary,
)

COMMAND = "python -m t2v_core experts efficiency --data cifar100.zip"
NUMBERS = {"mean": st.column_config.NumberColumn("error %", format="%.1f")}
NUMBERS["spread"] = st.column_config.NumberColumn("± over repeats", format="%.1f")


def show_efficiency(bank: Bank) -> None:
    """Error against the number of training images, of the picked, the generic and the best expert."""
    table = _table(bank, bank.location, bank.version())
    st.write(
        "Does a good expert save images? Every line is the test error after learning from few or many images of each "
        "class, with one of three experts: the one that the *asymmetric* rule picks, the *generic* network that was "
        "not fine-tuned, and the *best* expert there is. *Frozen*: a linear head on the expert's features. "
        "*Fine-tuned*: the whole network is trained on. Bars: one standard deviation over repeats."
    )
    if table.empty:
        st.info(
            "This has not been measured in this bank yet. It takes some minutes of training; the command below does it "
            "for four of the demo tasks. For tasks of your own give their folders in place of --data, and --background "
            "to watch it as a job on the page Bank."
        )
        st.code(COMMAND, language="bash")
        return
    left, right = st.columns(2)
    schedules = sorted(set(table["schedule"]) - {""})
    schedule = (
        right.selectbox("Fine-tuned by the schedule", schedules, key="schedule", bind="query-params")
        if len(schedules) > 1
        else None
    )
    table = complete(_of_schedule(table, schedule or schedules[0])) if schedules else table[:0]
    if table.empty:
        _say_unfinished()
        return
    names = table.drop_duplicates("task").set_index("task")["task_name"].to_dict()
    task = left.selectbox(
        "Tasks tried",
        [None, *names],
        format_func=lambda t: f"mean of {len(names)} tasks" if t is None else names[t],
        key="target",
        bind="query-params",
    )
    shown = table if task is None else table[table["task"] == task]
    rows = summary(shown)
    if rows.empty:
        _say_unfinished()
        return
    draw(
        efficiency_curves(rows),
        key="efficiency",
        file="data-efficiency",
        alt="Error against the number of training images",
    )
    who = shown.drop_duplicates(["task", "role"]).pivot(index="task_name", columns="role", values="expert_name")
    st.markdown("\n".join(f"- {line}" for line in [*in_words(rows), coincidence(who)]))
    with st.expander("Who was picked, and all numbers"):
        st.dataframe(who[[PICKED, BEST]].rename_axis("task").reset_index(), hide_index=True)
        st.dataframe(rows, hide_index=True, column_config=NUMBERS)
    st.download_button(
        "Download every trial as CSV", shown.to_csv(index=False), "efficiency.csv", "text/csv", on_click="ignore"
    )


def _say_unfinished() -> None:
    st.info(
        "No size has been tried with every expert and every task yet. Where that is not under way (page Bank, Jobs), "
        "run the command again: it goes on where it was."
    )
    st.code(COMMAND, language="bash")


def in_words(rows: pd.DataFrame) -> list[str]:
    """What the lines say, in two sentences.

    Args:
        rows: as from ``summary``.
    """
    error = rows.pivot_table(index="per_class", columns=["role", "mode"], values="mean")
    few, many = int(error.index.min()), int(error.index.max())
    said = []
    for size in dict.fromkeys((few, many)):
        e = error.loc[size, (slice(None), FROZEN)].droplevel("mode")
        said.append(
            f"With **{size} images** of each class and frozen features the picked expert errs in {e[PICKED]:.1f} %, "
            f"the generic one in {e[GENERIC_ROLE]:.1f} %, the best in {e[BEST]:.1f} %."
        )
    ahead = error.index[error[PICKED, FROZEN] < error[GENERIC_ROLE, TUNED]]
    if len(ahead) == len(error):
        said.append("At every size the frozen picked expert errs less than fine-tuning the generic network.")
    elif len(ahead):
        sizes = ", ".join(str(size) for size in ahead)
        said.append(f"The frozen picked expert errs less than fine-tuning the generic network at these sizes: {sizes}.")
    else:
        said.append("At no size does the frozen picked expert err less than fine-tuning the generic network.")
    return said


def coincidence(who: pd.DataFrame) -> str:
    """How often the pick is the best expert, in a sentence.

    Args:
        who: a row a task, the experts ``picked`` and ``best``.
    """
    same = int((who[PICKED] == who[BEST]).sum())
    told = f"For {same} of {len(who)} tasks the picked expert is the best one"
    return f"{told}, so the two lines coincide." if same == len(who) else f"{told}."


def _of_schedule(table: pd.DataFrame, schedule: str) -> pd.DataFrame:
    """The trials of one schedule, and the frozen ones of the same tasks."""
    tuned = table[table["schedule"] == schedule]
    frozen = table[(table["mode"] == FROZEN) & table["task"].isin(tuned["task"])]
    return pd.concat([frozen, tuned])


@st.cache_data(show_spinner=False, max_entries=4)
def _table(_bank: Bank, location: str, version: int) -> pd.DataFrame:
    return efficiency_table(_bank)
