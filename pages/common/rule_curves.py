"""Every way of choosing an expert held against a taxonomy: do the experts it ranks first know related things?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from pages.common.chart import draw
from pages.common.selection import Study, bank_study
from pages.common.space import records
from pages.common.takeaway import download
from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError
from t2v_core.figures.taxonomy import neighbour_curves
from t2v_core.selection.audit import ALL
from t2v_core.space.agreement import Curve, candidate_curves, curve_table
from t2v_core.space.tables import kinds_with_a_place
from t2v_core.space.taxonomy import Path, taxonomic_distance

FIRST = ("asymmetric", "pseudotask", "tangent", "logme", "domain")
"""Rules shown at first."""


def show_rule_curves(bank: Bank, places: Mapping[str, Sequence[Path]]) -> None:
    """The taxonomic distance from targets to the own tasks of the experts that each rule ranks first.

    Args:
        bank: the bank.
        places: by task id, of those in the taxonomy.
    """
    study = bank_study(bank)
    if not study.audits:
        st.info("No errors of experts were measured in this bank, so no rule of choice can be judged.")
        return
    judged = study.audits[ALL].judged
    rules = [rule for rule in study.rules if judged[rule].heads == 0]  # heads on the nearest few rank no others
    chosen = st.multiselect(
        "Rules of choice",
        rules,
        default=[r for r in FIRST if r in rules] or rules[:1],
        key="rules",
        wrap=True,
        bind="query-params",
    )
    if not chosen:
        st.info("Choose at least one rule.")
        return
    try:
        curves = _curves(bank, study, tuple(chosen), places)
    except InputError as error:
        st.info(str(error).capitalize() + ".")
        return
    draw(
        neighbour_curves(curves, of="experts counted, those the rule ranks first (k)"),
        key="rule_curves",
        file="taxonomy-by-rule",
        alt="Mean taxonomic distance from a target to the own tasks of the k experts ranked first",
    )
    st.caption(
        f"For each of {next(iter(curves.values())).tasks} targets the experts are put in the rule's order, and their "
        "own tasks are looked up in the taxonomy. A curve that starts near the ideal one belongs to a rule that puts "
        "experts of related tasks first. That is not yet the best expert: what each rule loses stands on the page "
        "“Methods”. All rules choose among the same experts. Bands: 95 % over targets."
    )
    download("Download the curves as CSV", curve_table(curves, "rule"), "taxonomy-by-rule")


def _curves(bank: Bank, study: Study, rules: Sequence[str], places: Mapping[str, Sequence[Path]]) -> dict[str, Curve]:
    audit, tasks = study.audits[ALL], records(bank)
    meta = audit.meta
    kinds = kinds_with_a_place({tasks[t].kind for t in meta.tasks if t in places})
    rows = [i for i, t in enumerate(meta.tasks) if t in places and tasks[t].kind in kinds]
    own = {e.id: e.task_id for e in bank.experts()}
    columns = [j for j, e in enumerate(meta.experts) if own.get(e) in places]
    found = [places[meta.tasks[i]] for i in rows] + [places[own[meta.experts[j]] or ""] for j in columns]
    apart = taxonomic_distance(found)[: len(rows), len(rows) :]
    scores = {r: audit.judged[r].scores[np.ix_(rows, columns)] for r in rules}
    return candidate_curves(scores, apart)
