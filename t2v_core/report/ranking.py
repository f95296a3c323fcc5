"""What a report shows of one task: which expert to start from, and how certain that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import called
from t2v_core.embedding.record import TASK2VEC
from t2v_core.errors import InputError
from t2v_core.figures.choice import fitted_chart, ranking_chart
from t2v_core.report.html import Section
from t2v_core.selection.advice import advise
from t2v_core.selection.explanation import credit_taken
from t2v_core.selection.meta_task import GENERIC, candidates
from t2v_core.selection.ranking import certainty, places, rank_experts
from t2v_core.selection.ways import DEFAULT

SHOWN = 12


def ranking_sections(
    name: str,
    ranking: Sequence[dict[str, Any]],
    certain: str,
    familiar: str = "",
    generic: dict | None = None,
    selector: str = DEFAULT,
) -> list[Section]:
    """The sections of one task.

    Args:
        name: of the task.
        ranking: rows ``rank, expert_id, name, distance, spread, p_first, p_top3, fitted``, the last None without heads.
        certain, familiar: how certain the first place is, and whether anything in the bank resembles the task.
        generic: the generic expert's ``fitted`` part.
        selector: what ranked them.
    """
    columns = {"rank": "rank", "name": "expert", "distance": "distance", "spread": "± (1 s.d.)"}
    columns |= {"p_first": "comes first, share", "p_top3": "among the first three, share"}
    advice = advise(ranking, generic)
    measured = f" Heads on your own images say so (below); by distance alone, {ranking[0]['name']} comes first."
    words = (
        f"Start from {advice.name}.{measured if advice.measured else ''} {certain} {familiar} Smaller distance is "
        "better; bars: two standard deviations, from other images of the same tasks. No expert was run for these "
        f"distances. {credit_taken(selector)}"
    )
    table = pd.DataFrame(ranking)[list(columns)].rename(columns=columns).head(SHOWN)
    sections = [Section(f"Experts for {name}", words, ranking_chart(ranking[:SHOWN]), table)]
    if any(row["fitted"] for row in ranking):
        words = "Accuracy of a head fitted on each expert, on images it was not fitted on; bars: 95 % interval."
        words = f"{words} {advice.sentence}"
        sections.append(Section("Measured on your images", words, fitted_chart(ranking, generic)))
    return sections


def rank_in_bank(bank: Bank, task: str) -> list[Section]:
    """The sections of a task that is in the bank, ranked anew by the asymmetric distance.

    Args:
        bank: the bank.
        task: its id.

    Raises:
        InputError: there is no such task, or no expert can be ranked for it.
    """
    records = {t.id: t for t in bank.tasks()}
    info = next(iter(bank.probes().values()), None)
    if task not in records or info is None:
        raise InputError(f"there is no task {task!r} in the bank; `bank list` and the page “Bank” show the ids")
    experts = [e for e in bank.experts() if e.id != GENERIC and e.task_id in records]
    own = list(dict.fromkeys(e.task_id or "" for e in experts))
    # The task comes first: its row says who has seen none of its images.
    rows = [records[task], *(records[i] for i in own if i != task)]
    allowed = candidates(bank, rows, experts)[0] if experts else []
    found = bank.embeddings(TASK2VEC, info.weights_hash, [task, *own])
    if task not in found:
        raise InputError(f"task {task!r} has no Task2Vec embedding by the probe {info.id!r}; embed it again")
    sources = {e.id: found[e.task_id] for e, may in zip(experts, allowed, strict=True) if may and e.task_id in found}
    ranked = rank_experts(found[task], sources, info)
    names = called(experts)
    ranking = [
        asdict(r) | {"rank": place, "name": names[r.expert_id], "fitted": None}
        for place, r in zip(places(ranked), ranked, strict=True)
    ]
    return ranking_sections(records[task].name, ranking, certainty(ranked))
