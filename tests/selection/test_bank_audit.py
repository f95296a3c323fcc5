"""A bank as a meta-task, audited by kind of target, and what it says of a rule."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import delete, update

from t2v_core.bank import schema
from t2v_core.bank.records import UPLOAD, ErrorEntry
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.selection.audit import ALL, audit_by_kind, audit_table
from t2v_core.selection.bank_audit import audit_bank, kept
from t2v_core.selection.meta_task import from_bank
from t2v_core.selection.model2vec import Model2Vec
from t2v_core.selection.nearest import Nearest
from t2v_core.selection.regret import chosen_error, static_scores
from t2v_core.selection.track_record import track_records
from t2v_core.selection.ways import WAYS
from tests.selection.metas import ROLES, make_bank


@pytest.fixture
def small_bank(tmp_path):
    return make_bank(tmp_path / "bank")


def test_a_bank_as_a_meta_task(small_bank):
    meta = from_bank(small_bank)
    assert meta.experts == ("expert-a-cats", "expert-a-dogs", "expert-a-is-furry")
    assert meta.expert_names[0] == "expert-a-cats!"
    # All tasks on A share images with all experts' tasks; those on B share none.
    assert meta.allowed.all(1).tolist() == [t.startswith("b-") for t in meta.tasks]
    assert meta.allowed.any(1).tolist() == meta.allowed.all(1).tolist()
    frame = small_bank.errors()
    np.testing.assert_array_equal(meta.errors, frame.loc[list(meta.tasks), list(meta.experts)])
    np.testing.assert_array_equal(meta.generic, frame.loc[list(meta.tasks), "generic"])
    kinds = dict(zip(meta.tasks, meta.kinds, strict=True))
    assert kinds["b-is-furry"] == "attribute"
    assert kinds["b-is-round"] == "attribute without expert"
    for method in (TASK2VEC, DOMAIN):
        own = [meta.tasks.index(e.removeprefix("expert-")) for e in meta.experts]
        np.testing.assert_array_equal(meta.vectors.sources[method], meta.vectors.targets[method][own])


def test_taking_some_targets_takes_all_that_belongs_to_them(small_bank):
    meta = from_bank(small_bank)
    part = meta.take(np.array([5, 2]))
    assert part.tasks == (meta.tasks[5], meta.tasks[2])
    assert part.paths == (meta.paths[5], meta.paths[2])
    np.testing.assert_array_equal(part.errors, meta.errors[[5, 2]])
    np.testing.assert_array_equal(part.generic, meta.generic[[5, 2]])
    np.testing.assert_array_equal(part.vectors.targets[DOMAIN], meta.vectors.targets[DOMAIN][[5, 2]])
    assert meta.of_kinds(("twin",)).tasks == ("b-cats", "b-dogs")
    np.testing.assert_array_equal(Nearest().scores(part), Nearest().scores(meta)[[5, 2]])


def test_what_people_brought_is_a_target_once_its_errors_are_measured(small_bank):
    tasks = {t.id: t for t in small_bank.tasks()}
    brought = ("b-mixed", "b-mixed-2")
    with small_bank.engine.begin() as connection:
        connection.execute(update(schema.task).where(schema.task.c.id.in_(brought)).values(kind=UPLOAD))
        connection.execute(delete(schema.error).where(schema.error.c.task_id == "b-mixed-2"))
    meta = from_bank(small_bank)
    assert set(meta.targets().tasks) == {i for i in tasks if i.startswith("b-")} - {"b-mixed-2"}
    audits = audit_bank(small_bank, meta)
    assert audits[UPLOAD].meta.tasks == ("b-mixed",)
    assert not any("No candidate was measured" in note for note in audits[ALL].notes)


def test_names_that_several_share_are_told_apart(small_bank):
    with small_bank.engine.begin() as connection:
        connection.execute(update(schema.task).where(schema.task.c.id.in_(("b-cats", "b-dogs"))).values(name="mine"))
    meta = from_bank(small_bank)
    names = dict(zip(meta.tasks, meta.task_names, strict=True))
    assert (names["b-cats"], names["b-dogs"]) == ("mine (b-cats)", "mine (b-dogs)")
    assert names["b-mixed"] == next(t.name for t in small_bank.tasks() if t.id == "b-mixed")


def test_kinds_are_judged_apart(small_bank):
    audits = audit_bank(small_bank, from_bank(small_bank), learned=True)
    assert list(audits) == ["twin", "mixed", "attribute", "attribute without expert", ALL]
    assert [len(a.meta.tasks) for a in audits.values()] == [2, 2, 1, 1, 6]
    twins = audits["twin"]
    errors = twins.meta.candidate_errors
    np.testing.assert_array_equal(twins.judged["static"].error, chosen_error(errors, static_scores(errors)))
    apart = np.concatenate([audits[k].judged["asymmetric"].error for k in list(audits)[:-1]])
    assert sorted(apart) == sorted(audits[ALL].judged["asymmetric"].error)
    table = audit_table(audits, over=("static", "asymmetric")).set_index(["kind", "rule"])
    assert table.loc[(ALL, "model2vec"), "tasks"] == 6
    gain = audits[ALL].judged["model2vec"].gains["asymmetric"]
    assert table.loc[(ALL, "model2vec"), "vs_asymmetric"] == gain.mean
    assert gain.mean == pytest.approx(table.loc[(ALL, "asymmetric"), "mean"] - table.loc[(ALL, "model2vec"), "mean"])
    assert table.loc[(ALL, "asymmetric + 3 heads"), "mean"] == 0  # there are only three
    assert table.loc[(ALL, "asymmetric + 3 heads"), "heads"] == 3


def test_model2vec_learns_from_all_targets_and_from_nothing_else(small_bank):
    meta = from_bank(small_bank)
    targets = meta.take(np.array([t.startswith("b-") for t in meta.tasks]))
    audits = audit_by_kind(meta, [Model2Vec(epochs=5)])
    scores = Model2Vec(epochs=5).scores(targets.of_kinds(("twin", "mixed", "attribute", "attribute without expert")))
    np.testing.assert_array_equal(audits[ALL].judged["model2vec"].scores, scores)


def test_learned_scores_are_kept_until_the_bank_changes(small_bank, monkeypatch):
    meta = from_bank(small_bank).of_kinds(("twin", "mixed"))
    selector = Model2Vec(epochs=3)
    first = kept(small_bank, selector, meta)
    monkeypatch.setattr(Model2Vec, "scores", lambda self, meta: pytest.fail("computed again"))
    np.testing.assert_array_equal(kept(small_bank, selector, meta).table, first.table)
    monkeypatch.setattr(Model2Vec, "scores", lambda self, meta: np.zeros(meta.errors.shape))
    assert (kept(small_bank, Model2Vec(epochs=4), meta).table == 0).all()
    assert (kept(small_bank, selector, meta.take(np.array([0, 1, 2]))).table == 0).all()


def test_a_best_error_of_zero_brings_the_offset_where_it_is_needed(tmp_path):
    bank = make_bank(tmp_path / "bank", zero_error=True)
    audits = audit_bank(bank, from_bank(bank))
    assert {kind: a.offset for kind, a in audits.items()} == {
        "twin": 0,
        "mixed": 1,
        "attribute": 0,
        "attribute without expert": 0,
        ALL: 1,
    }
    assert np.isfinite(audits["mixed"].judged["chance"].increase.mean)


def test_the_track_record_of_a_rule(small_bank):
    audits = audit_bank(small_bank, from_bank(small_bank))
    records = {r.kind: r for r in track_records(audits, WAYS["symmetric"])}
    assert list(records) == ["twin", "mixed", ALL]  # static cannot be judged on one task
    twin = records["twin"]
    assert twin.increase == audits["twin"].judged["symmetric"].increase
    assert twin.static == audits["twin"].judged["static"].increase
    low, high = twin.static.low, twin.static.high
    assert twin.sentence.startswith(f"In this bank, this rule loses {twin.increase.mean:.0f} % on average [")
    assert twin.sentence.endswith(
        f"; taking the expert best on the other tasks, mostly {twin.static_name}, would lose {twin.static.mean:.0f} % "
        f"on average [{low:.0f}, {high:.0f}]."
    )
    assert twin.static_name in from_bank(small_bank).expert_names
    assert twin.as_json()["static"]["mean"] == twin.static.mean


def test_one_expert_that_is_best_everywhere_is_said_to_be_always_taken(small_bank):
    small_bank.save_errors(ErrorEntry(t, "expert-a-is-furry", 1.0, 100, "") for t in ROLES)
    records = {r.kind: r for r in track_records(audit_bank(small_bank, from_bank(small_bank)), WAYS["symmetric"])}
    assert "; always taking expert-a-is-furry! would lose 0 % on average" in records["mixed"].sentence


def test_an_empty_bank_has_nothing_to_say(tmp_path):
    from t2v_core.bank.bank import Bank

    bank = Bank(tmp_path / "empty")
    meta = from_bank(bank)
    assert meta.errors.shape == (0, 0)
    audits = audit_bank(bank, meta, learned=True)
    assert audits == {}
    assert audit_table(audits).empty
    assert track_records(audits, WAYS["asymmetric"]) == []
