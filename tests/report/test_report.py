"""The report: whole, harmless whatever the names are, and from any bank."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from sqlalchemy import update

from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.cli import main
from t2v_core.errors import InputError
from t2v_core.report.bank import bank_report
from t2v_core.report.html import Section, html_report
from t2v_core.report.ranking import rank_in_bank, ranking_sections
from t2v_core.space.matrix import task_distances

HOSTILE = "</script><img src=x onerror=alert(1)>"


def headings(report: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", report)


def test_everything_is_escaped_and_plotly_is_there_once():
    figure = go.Figure(go.Scatter(x=[1], y=[2], name=HOSTILE))
    table = pd.DataFrame({HOSTILE: [HOSTILE], "number": [1.23456]})
    plain = html_report("t", "w", [], "f")
    report = html_report(HOSTILE, HOSTILE, [Section(HOSTILE, HOSTILE, figure, table)] * 2, HOSTILE)
    assert HOSTILE not in report
    assert "<img" not in report[report.rindex("<body>") :]
    assert report.count("&lt;/script&gt;&lt;img") == 4 + 2 * 4
    assert "1.235" in report
    assert len(report) < len(plain) + 50_000
    assert 'id="figure-0"' in report
    assert 'id="figure-1"' in report


def test_a_bank_becomes_its_sections(judged_bank):
    report = bank_report(judged_bank)
    assert headings(report) == [
        "Which tasks are alike",
        "Whose images look alike",
        "Does distance follow the taxonomy?",
        "What clusters are there?",
        "The norm of an embedding and the error",
        "The norm of an embedding and the number of images",
        "How good is the choice of an expert?",
        "Errors of all experts, task by task",
    ]
    assert "8 tasks, 4 experts and 32 measured errors" in report


def test_chosen_tasks_are_compared(judged_bank):
    one, other, third = [task.id for task in judged_bank.tasks()][:3]
    usual = headings(bank_report(judged_bank, chosen=[one, one, "nobody"]))
    assert "How far apart are the chosen tasks?" not in usual
    report = bank_report(judged_bank, chosen=[one, other])
    added = ["How far apart are the chosen tasks?", "Where do the two differ?"]
    assert headings(report) == [*usual[:2], *added, *usual[2:]]
    distance = task_distances(judged_bank).at[one, other]
    assert f"<td>{distance:.4g}</td>" in report
    assert headings(bank_report(judged_bank, chosen=[one, other, third])) == [*usual[:2], added[0], *usual[2:]]


def test_a_map_without_any_chosen_task_is_not_faded(judged_bank):
    def figures(chosen: str) -> str:
        report = bank_report(judged_bank, chosen=[chosen])
        return report[report.rindex("<body>") :]

    assert "selectedpoints" not in figures("nobody")
    assert "brought out" not in figures("nobody")
    first = judged_bank.tasks()[0]
    assert "selectedpoints" in figures(first.id)
    assert figures(first.id).count(f"Chosen, so brought out: &#x27;{first.name}&#x27;.") == 2  # on either map


def test_of_many_chosen_tasks_the_first_are_compared(judged_bank, monkeypatch):
    monkeypatch.setattr("t2v_core.report.bank.MOST", 2)
    report = bank_report(judged_bank, chosen=[task.id for task in judged_bank.tasks()])
    assert "Of 8 chosen tasks, these are the first 2." in report
    assert "Where do the two differ?" not in report


def test_hostile_names_in_a_bank_stay_names(judged_bank):
    bank = judged_bank
    with bank.engine.begin() as connection:
        connection.execute(update(schema.task).values(name=HOSTILE, origin=HOSTILE, taxonomy=[HOSTILE, HOSTILE]))
        connection.execute(update(schema.expert).values(name=HOSTILE))
    task = next(e.task_id for e in bank.experts() if e.task_id)
    report = bank_report(bank, rank_in_bank(bank, bank.tasks()[-1].id), [task, "digits"])
    assert HOSTILE not in report
    body = report[report.rindex("<body>") :]
    assert "<img" not in body
    # Plotly gets the name as text too: with entities, in JSON that no script tag can end.
    assert "\\u003cimg" not in body
    assert "&lt;img" in body


def test_a_task_of_the_bank_is_ranked_by_who_has_not_seen_it(bank):
    task = bank.tasks()[0].id
    ranking, *rest = rank_in_bank(bank, task)
    assert not rest  # no head was fitted
    sources = {e.name for e in bank.experts() if e.task_id not in (None, task)}
    assert set(ranking.table["expert"]) <= sources
    assert ranking.table["distance"].is_monotonic_increasing
    assert ranking.words.startswith(f"Start from {ranking.table['expert'][0]}.")


def test_fitted_heads_get_their_own_section():
    row = {"rank": 1, "expert_id": "e", "name": "x", "distance": 0.1, "spread": 0.01, "p_first": 1.0, "p_top3": 1.0}
    row["fitted"] = None
    assert len(ranking_sections("mine", [row], "Clear.")) == 1
    fitted = {"accuracy": 0.5, "low": 0.4, "high": 0.6, "n": 10, "how": "held-out images"}
    first, second = ranking_sections("mine", [row, row | {"fitted": fitted}], "Clear.")
    assert first.title == "Experts for mine"
    np.testing.assert_allclose(second.figure.data[0].x, [50])
    better = fitted | {"accuracy": 0.9, "low": 0.8, "high": 1.0}
    first, second = ranking_sections("mine", [row | {"fitted": fitted}], "Clear.", generic=better)
    assert first.words.startswith("Start from the generic network. Heads on your own images say so (below); by ")
    assert "by distance alone, x comes first. Clear." in first.words
    assert list(second.figure.layout.yaxis.ticktext) == ["1. x", "generic, not fine-tuned"]
    np.testing.assert_allclose([trace.x[0] for trace in second.figure.data], [50, 90])


def test_a_bank_of_one_task_has_a_map_alone(one_task_bank):
    assert headings(bank_report(Bank(one_task_bank))) == ["Which tasks are alike"]


def test_what_cannot_be_reported_is_one_sentence(tmp_path, bank, one_task_bank):
    with pytest.raises(InputError, match="nothing to report"):
        bank_report(Bank(tmp_path / "empty"))
    with pytest.raises(InputError, match="no task 'nobody'"):
        rank_in_bank(bank, "nobody")
    with pytest.raises(InputError, match="no expert can be ranked"):
        rank_in_bank(Bank(one_task_bank), Bank(one_task_bank).tasks()[0].id)


def test_the_command_writes_the_file(bank_path, tmp_path, capsys):
    out = tmp_path / "r.html"
    assert main(["report", "--bank", str(bank_path), "--out", str(out), "--task", "digits", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bytes"] == out.stat().st_size
    assert headings(out.read_text(encoding="utf-8"))[0].startswith("Experts for ")
    assert main(["report", "--bank", str(bank_path), "--out", str(tmp_path / "no" / "r.html")]) == 2
    assert "choose another place" in capsys.readouterr().err
    command = ["report", "--bank", str(bank_path), "--out", str(out)]
    assert main([*command, "--chosen", *(task.id for task in Bank(bank_path).tasks()[:2])]) == 0
    assert "How far apart are the chosen tasks?" in headings(out.read_text(encoding="utf-8"))
    assert main([*command, "--chosen", "nobody"]) == 2
    assert "no task 'nobody' in the bank" in capsys.readouterr().err
    assert main([*command, "--task", "nobody"]) == 2
