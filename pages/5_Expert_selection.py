"""Expert selection: which expert for which task, and how good is the choice?"""

from __future__ import annotations

import time

import pandas as pd
import streamlit as st

from pages.common.chart import draw
from pages.common.efficiency import show_efficiency
from pages.common.frame import BANK, open_page, show_error, told
from pages.common.selected import carry_choice
from pages.common.selection import (
    UNLEARNED,
    Study,
    Upload,
    bank_study,
    experts_in,
    forget_failure,
    kind_title,
    learn_model2vec,
    model2vec_is_kept,
    table_study,
    tuned_alpha,
)
from pages.common.selection_tasks import show_matrix, show_tasks
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError
from t2v_core.figures.regret import alpha_curve, regret_intervals
from t2v_core.selection.audit import ALL, audit_table
from t2v_core.selection.nearest import TunedAlpha
from t2v_core.selection.published import ERRORS
from t2v_core.selection.ways import DEFAULT
from t2v_core.space.distances import ALPHA

THIS, PUBLISHED, OWN = "This bank", "Published: iNat+CUB", "Your own tables"

PERCENT = st.column_config.NumberColumn(format="%.1f")
COLUMNS = {
    "best error %": PERCENT,
    "loses %": PERCENT,
    "better than static": PERCENT,
    "better than chance": PERCENT,
    "τ": st.column_config.NumberColumn(
        format="%.2f", help="Weighted Kendall's τ: do scores and errors order the experts alike? 1 is best."
    ),
    "best in top 3": st.column_config.NumberColumn(
        format="%.0f %%", help="How often a best expert is among the first three."
    ),
    "heads": st.column_config.NumberColumn(help="Heads to fit for a new task before the rule can pick."),
}


def choose_study(bank: Bank) -> tuple[Study, str]:
    """The meta-task a person asks for, judged."""
    source = st.segmented_control(
        "Tasks, experts and their errors",
        [THIS, PUBLISHED, OWN],
        default=THIS,
        required=True,
        key="source",
        bind="query-params",
    )
    if source == THIS:
        return bank_study(bank), source
    if source == PUBLISHED:
        st.caption(
            "50 tasks of recognising species (25 of CUB, 25 of iNaturalist), the expert of each, and every error, as "
            "printed in the first version of the Task2Vec paper. Its embeddings were not published, so only rules that "
            "need none can be judged; the paper itself reports losses of 9.97 % for asymmetric Task2Vec and 6.81 % for "
            "MODEL2VEC. You can judge distances of your own:"
        )
    left, right = st.columns(2)
    errors = _uploaded(left, "Errors: a CSV, tasks down, experts across, in %", "errors") if source == OWN else None
    scores = _uploaded(right if source == OWN else left, "Scores (optional): a CSV by the same labels", "scores")
    if source == OWN and errors is None:
        st.info(
            "Give a table of errors: the first row names the experts, the first column the tasks, each cell is the "
            "test error in % of a head on that expert's features, empty where it was not measured. An expert is no "
            "candidate for the task of its own name. Scores (distances, or similarities) say what your rule would pick."
        )
        st.download_button("Download an example", ERRORS.read_bytes(), "errors.csv", "text/csv", on_click="ignore")
        st.stop()
    generic = None
    if errors is not None:
        question = "Which of them is the network before fine-tuning?"
        generic = left.selectbox(question, experts_in(errors), index=None, placeholder="none")
    larger = scores is not None and st.checkbox("A higher score is better", key="larger")
    return table_study(errors, generic, scores, larger), source


def _uploaded(place, label: str, key: str) -> Upload | None:
    file = place.file_uploader(label, type="csv", key=f"selection_{key}", max_upload_size=50)
    return None if file is None else (file.name, file.getvalue())


def offer_learning(bank: Bank) -> None:
    """MODEL2VEC takes a while: learned on request, beside the page."""
    if not st.session_state.get("learning"):
        st.caption(
            f"**MODEL2VEC**, which learns from errors where each expert belongs, is missing: {UNLEARNED} Let it learn: "
            "that takes about a minute, and the result is kept in the bank."
        )
        if st.button("Learn MODEL2VEC", icon=":material/school:"):
            st.session_state["learning"] = True
            st.rerun()
        return
    watch_learning(bank)


@st.fragment(run_every=1.0)
def watch_learning(bank: Bank) -> None:
    """Say how long it has been learning; the page is run again when it is done."""
    learning = learn_model2vec(bank)
    over = learning.future.done()  # asked before what follows, which may become true in between
    if model2vec_is_kept(bank):
        st.session_state["learning"] = False
        st.rerun()
    if over:
        st.session_state["learning"] = False
        forget_failure(learning)
        st.error("MODEL2VEC could not learn from this bank's errors; the server's log has the details.")
        return
    st.info(
        f"MODEL2VEC is learning, {time.time() - learning.started:.0f} s so far; usually it takes about a minute. "
        "You can go on using this page meanwhile.",
        icon=":material/school:",
    )


def show_rules(study: Study, kind: str, rules: list[str]) -> None:
    """What every rule loses, in a picture, in words and in numbers."""
    found = study.audits[kind]
    st.write(
        "The loss (*regret*) of a pick is how much larger its error is than that of the best expert: 0 % is perfect, "
        "50 % means one and a half times the error. *Static* always takes the expert that was best on the other tasks "
        "and never looks at the task: a rule that does not beat it has learned nothing about tasks. Lines: 95 % "
        "intervals over tasks."
    )
    shown = [*(r for r in found.judged if r not in study.rules), *rules]
    table = audit_table(study.audits, over=("static", "chance"))
    own = table[table["kind"] == kind].set_index("rule", drop=False).loc[shown]
    draw(regret_intervals(own), key="regret", file="loss-by-rule", alt="Loss of every rule with its interval")
    st.markdown("\n".join(f"- **{rule}**: {found.judged[rule].verdict}" for rule in [*rules, "static"]))
    notes = [*study.notes, *found.notes, *(note for rule in rules for note in found.judged[rule].notes)]
    if DEFAULT in shown and found.why_static:
        notes.append(f"*{DEFAULT}*: {told(found.why_static)}")
    if found.offset:
        notes.append(f"Where the best error is 0 no loss is defined, so {found.offset:g} is added to every best error.")
    if notes:
        st.caption("  \n".join(notes))
    numbers = st.expander("All numbers, and what the rules mean", key="numbers_open", on_change="rerun")
    if numbers.open:
        with numbers:
            st.dataframe(shown_numbers(table if kind == ALL else own), hide_index=True, column_config=COLUMNS)
            download("Download as CSV", table, "audit")
            st.markdown("\n".join(f"- **{j.name}**: {j.title}" for j in found.judged.values()))
    if study.tuned:
        alpha = st.expander(
            "How much depends on alpha, the credit for complex sources", key="alpha_open", on_change="rerun"
        )
        if alpha.open:
            with alpha:
                show_alpha(tuned_alpha(found, study.key, kind))


def show_alpha(tuned: TunedAlpha) -> None:
    """How much the asymmetric rule depends on its one parameter."""
    st.write(
        f"The asymmetric rule brings experts of complex tasks nearer, by alpha. In use is {ALPHA:g}; on these targets "
        f"{tuned.alpha:g} would be best. With alpha chosen for every task on all *other* tasks, the loss would be "
        f"{tuned.mean:.1f} % [{tuned.low:.1f}, {tuned.high:.1f}]: that is what tuning is worth."
    )
    draw(alpha_curve(tuned.table, ALPHA), key="alpha", file="loss-by-alpha", alt="Loss against alpha")
    download("Download as CSV", tuned.table, "alpha")


def shown_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The audit as people read it: intervals beside their means."""
    shown = pd.DataFrame({"targets": table["kind"].map(kind_title), "rule": table["rule"], "tasks": table["tasks"]})
    shown["best error %"] = table["optimum"]
    for value, title in (("mean", "loses %"), ("vs_static", "better than static"), ("vs_chance", "better than chance")):
        low, high = ("low", "high") if value == "mean" else (f"{value}_low", f"{value}_high")
        shown[title] = table[value]
        shown[f"{title}: 95 %"] = [
            "" if pd.isna(a) else f"{a:.1f} to {b:.1f}" for a, b in zip(table[low], table[high], strict=True)
        ]
    return shown.assign(
        **{"τ": table["tau"], "best in top 3": table["top_3"], "heads": table["heads"], "verdict": table["verdict"]}
    )


VIEWS = {"How good is each rule?": show_rules, "Task by task": show_tasks, "Every error": show_matrix}
EFFICIENCY = "How many images?"

bank = open_page(
    "Expert selection",
    "Which expert for which task, and how good is the choice? Every rule stands beside the best expert there is, and "
    "beside always taking the same one.",
)
try:
    study, source = choose_study(bank)
except InputError as error:
    show_error(error)
    st.stop()
if source == THIS:
    carry_choice()
if not study.audits:
    if source == OWN:
        st.info("Nothing can be judged: the table holds no error of an expert on a task that is not its own.")
    else:
        st.info(
            "Nothing can be judged yet: no expert's error was measured on a task whose images it has not seen. "
            "Look at the published tasks above, bring your own tables, or import a bank."
        )
        st.page_link(BANK, label="Open the bank", icon=":material/arrow_forward:")
    st.stop()
above = st.container()
views = [*VIEWS, *([EFFICIENCY] if source == THIS else [])]
view = st.segmented_control("View", views, default=views[0], required=True, key="view", bind="query-params")
about_rules = view != EFFICIENCY  # that view compares what was picked once, in trials of its own
left, right = above.columns([1, 2])
kinds = [ALL, *(k for k in study.audits if k != ALL)]
kind = left.selectbox(
    "Which targets",
    kinds,
    format_func=kind_title,
    key="kind",
    disabled=len(kinds) == 1 or not about_rules,
    bind="query-params",
)
default = [r for r in ("asymmetric", "model2vec", "selected") if r in study.rules] or list(study.rules)
rules = right.multiselect(
    "Rules beside *static*",
    study.rules,
    default=default,
    # One choice for each set of rules; those of a person's own tables stand for files, which no link carries.
    key=f"rules_{len(study.rules)}" if source == THIS else f"rules {study.rules}",
    bind="query-params" if source == THIS else None,
    placeholder="static alone",
    disabled=not about_rules,
)
if source == THIS and about_rules and "model2vec" not in study.rules:
    with above:
        offer_learning(bank)
if view == EFFICIENCY:
    show_efficiency(bank)
else:
    VIEWS[view](study, kind, rules)
