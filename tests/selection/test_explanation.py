"""What a ranking says of itself: how familiar the task is, how sure the teacher was, what no labels cost."""

from __future__ import annotations

import numpy as np
import pytest

from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.explanation import KIND_WORDS, credit_taken, familiarity, given_up, losses, teacher
from t2v_core.selection.meta_task import KINDS, from_bank
from t2v_core.selection.ranking import Ranked
from t2v_core.selection.track_record import track_records
from t2v_core.selection.ways import DEFAULT, WAYS
from tests.selection.metas import make_bank


@pytest.mark.parametrize(("softness", "word"), [(0.11, " sure"), (0.3, " half sure"), (0.6, " unsure")])
def test_the_teacher_says_how_sure_it_is(softness, word):
    sentence = teacher({"softness": softness, "confidence": 0.62, "classes_predicted": 4})
    assert f"is{word} of your images" in sentence
    assert "62%" in sentence
    assert "4 of its classes come first" in sentence
    assert ("say little" in sentence) == (word == " unsure")
    alike = teacher({"softness": softness, "confidence": 0.62, "classes_predicted": 1})
    assert "1 of its classes comes first" in alike
    assert "hardly tells them apart" in alike


def test_only_credited_distances_are_said_to_fall_below_zero():
    assert [name for name in WAYS if credit_taken(name)] == ["asymmetric", "model2vec"]
    assert "0.15 times how complex" in credit_taken(DEFAULT)


def test_a_task_nearer_than_usual_is_familiar():
    usual = np.linspace(0.1, 0.3, 20)[:, None]
    assert familiarity([Ranked("e", 0.05, 0, 1, 1)], usual).startswith("Familiar")
    assert familiarity([Ranked("e", 0.5, 0, 1, 1)], usual).startswith("Unfamiliar")
    assert "too small" in familiarity([Ranked("e", 0.5, 0, 1, 1)], usual[:5])


def test_what_no_labels_cost_is_told_from_measurement_or_not_at_all(tmp_path):
    bank = make_bank(tmp_path / "small")
    audits = audit_bank(bank, from_bank(bank))
    assert track_records(audits, WAYS["pseudotask"]) == []
    assert "not measured in this bank" in given_up([])
    blind = {r.kind: r for r in track_records(audits, WAYS["domain"])}["all"]
    assert blind.with_labels == audits["all"].judged[DEFAULT].increase
    told = given_up([r.as_json() for r in track_records(audits, WAYS["domain"])])
    assert f"the default rule, which needs labels, loses {blind.with_labels.mean:.0f} %" in told
    assert f"mostly {blind.static_name}, would lose" in told
    assert track_records(audits, WAYS["symmetric"])[0].with_labels is None
    rows = losses([r.as_json() for r in track_records(audits, WAYS["domain"])])
    assert [list(row) for row in rows] == [
        ["tasks with", "by this rule", "with labels", "always the best on the others"]
    ] * len(rows)
    assert rows and rows[0]["by this rule"] in told
    assert "with labels" not in losses([r.as_json() for r in track_records(audits, WAYS["symmetric"])])[0]


def test_every_kind_of_target_has_words():
    assert set(KIND_WORDS) == set(KINDS)
