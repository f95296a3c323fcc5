"""Kept scores as selectors, credit for the norm, and all methods in one table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from t2v_core.bank.methods import MethodRecord, keep_method, kept_methods
from t2v_core.selection.audit import ALL
from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.comparison import method_table, networks_table
from t2v_core.selection.measured import Measured, NormCredit, measured_selectors
from t2v_core.selection.meta_task import from_bank
from t2v_core.selection.regret import chosen_error, relative_increase
from t2v_core.space.distances import asymmetric_by_norm
from t2v_core.space.matrix import task_distances
from t2v_core.space.values import EDGES, value_histogram
from tests.selection.metas import keep_records, make_bank, make_meta


@pytest.fixture
def bank(tmp_path):
    found = make_bank(tmp_path / "bank")
    keep_records(found)
    return found


def test_every_method_with_scores_is_judged_like_any_other(bank):
    audits = audit_bank(bank, from_bank(bank))
    records = kept_methods(bank)
    for kind, found in audits.items():
        for name in ("pseudotask", "tangent"):
            expected = records[name].scores.loc[list(found.meta.tasks), list(found.meta.experts)]
            np.testing.assert_array_equal(found.judged[name].scores, expected.to_numpy(float), err_msg=kind)
    assert not {"oracle", "networks-or-batches"} & audits[ALL].judged.keys()
    assert measured_selectors(make_bank(bank.files.parent / "other")) == []


def test_what_was_not_measured_has_no_score():
    meta = make_meta([[10, 20, 30], [40, 20, 25], [50, 40, 10]])
    scores = pd.DataFrame([[0.5, 0.25]], index=[meta.tasks[1]], columns=[meta.experts[2], "another"])
    found = Measured(MethodRecord("m", "m", True, False, {}, 0, 0, scores)).scores(meta)
    assert found[1, 2] == 0.5
    assert np.isfinite(found).sum() == 1


def norm_credit(distance: np.ndarray, errors: list[list[float]], norms: list[float]) -> tuple[NormCredit, object]:
    meta = make_meta(errors)
    scores = pd.DataFrame(distance, index=meta.tasks, columns=meta.experts)
    facts = {"norms": dict(zip(meta.experts, norms, strict=True))}
    return NormCredit(MethodRecord("m", "m", False, False, {}, 0, 0, scores, facts=facts), (0.0, 0.1, 1.0)), meta


def test_alpha_is_chosen_on_the_other_targets_alone():
    rng = np.random.default_rng(3)
    errors, norms = rng.uniform(5, 60, (6, 4)).tolist(), [1.0, 2.0, 3.0, 8.0]
    selector, meta = norm_credit(rng.random((6, 4)), errors, norms)
    found = selector.scores(meta)
    distance = selector.record.scores.to_numpy()
    tried = [asymmetric_by_norm(distance, np.array(norms), a) for a in selector.alphas]
    regrets = np.stack([relative_increase(chosen_error(meta.candidate_errors, s), meta.best) for s in tried], axis=1)
    for t in range(6):
        others = np.delete(regrets, t, axis=0)
        best = min(range(3), key=lambda a: others[:, a].mean())
        good = [a for a in range(3) if (d := others[:, a] - others[:, best]).mean() <= d.std(ddof=1) / 5**0.5]
        np.testing.assert_array_equal(found[t], tried[good[0]][t])
    # Its own errors decide nothing: with others in their place its scores are the same.
    changed = [*errors[:5], rng.uniform(5, 60, 4).tolist()]
    again, other = norm_credit(distance, changed, norms)
    np.testing.assert_array_equal(again.scores(other)[5], found[5])


def test_credit_for_the_norm_finds_large_sources_where_they_are_best():
    distance = np.array([[0.1, 0.12, 0.11]] * 5)
    selector, meta = norm_credit(distance, [[30.0, 10, 20]] * 5, [1.0, 5.0, 1.0])
    assert (selector.scores(meta).argmin(1) == 1).all()
    assert selector.alpha(meta) > 0
    plain, meta = norm_credit(distance, [[10.0, 30, 20]] * 5, [1.0, 5.0, 1.0])
    assert plain.alpha(meta) == 0


def test_one_target_decides_no_credit():
    """The credit helps one target a little and changes no other pick: too little evidence for it."""
    distance = np.array([[0.1, 0.12, 0.11], *[[0.1, 0.9, 0.9]] * 20])
    selector, meta = norm_credit(distance, [[30.0, 10, 20], *[[10.0, 30, 20]] * 20], [1.0, 5.0, 1.0])
    alone, few = norm_credit(distance[:1], [[30.0, 10, 20]], [1.0, 5.0, 1.0])
    assert selector.alpha(meta) == alone.alpha(few) == 0
    many, tasks = norm_credit(
        distance[[0, 0, 0, 0, 1, 1]], [[30.0, 10, 20]] * 4 + [[10.0, 30, 20]] * 2, [1.0, 5.0, 1.0]
    )
    assert many.alpha(tasks) == 0.1


def test_one_table_for_all(bank):
    audits = audit_bank(bank, from_bank(bank), learned=True)
    table = method_table(audits, kept_methods(bank))
    assert table.index[0] == "oracle"
    assert (table.loc["oracle", list(audits)] == 0).all()
    for kind, found in audits.items():
        for name, judged in found.judged.items():
            np.testing.assert_equal(table.loc[name, kind], judged.increase.mean)
            np.testing.assert_equal(table.loc[name, f"{kind}_low"], judged.increase.low)
    assert table.loc["symmetric", "seconds"] == 0.125  # Task2Vec's
    assert table.loc["asymmetric + 3 heads", "seconds"] == 0.125 + 3 / 3 * 3.0
    assert table.loc["pseudotask-norm", "seconds"] == 0.25
    assert table.loc["pseudotask-norm", "target"] == 3 * 0.25
    assert np.isnan(table.loc["domain", "seconds"])
    assert table.loc["domain", "needs"] == "not measured"
    assert table.loc["static", "needs"] == "nothing"


def test_networks_against_batches(bank):
    meta = from_bank(bank)
    audit = audit_bank(bank, meta)["twin"]
    table = networks_table(audit, kept_methods(bank)["networks-or-batches"])
    assert table[["networks", "batches"]].to_numpy().tolist() == [[1, 2], [2, 1]]
    errors = pd.DataFrame(meta.errors, meta.tasks, meta.experts)
    compared = errors[["expert-a-cats", "expert-a-dogs"]].min(axis=1)
    losses = [
        100 * (errors.loc[task, expert] / compared[task] - 1)
        for task, expert in (("b-cats", "expert-a-dogs"), ("b-dogs", "expert-a-cats"))
    ]
    assert table["mean"][0] == pytest.approx(np.mean(losses))
    assert table["mean"][1] == pytest.approx(100 * (errors.loc["b-cats", "expert-a-cats"] / compared["b-cats"] - 1))


def test_credit_for_norms_costs_what_the_method_costs_by_any_teacher(bank):
    teacher = kept_methods(bank)["pseudotask"]
    keep_method(bank, replace(teacher, name="pseudotask:resnet18"))
    table = method_table(audit_bank(bank, from_bank(bank)), kept_methods(bank))
    row = table.loc["pseudotask:resnet18-norm"]
    assert row["needs"] == "images"
    assert row["target"] == table.loc["pseudotask:resnet18", "target"] > 0


def test_what_a_target_costs_by_itself_is_shared_by_the_experts(bank):
    keep_method(bank, replace(kept_methods(bank)["tangent"], target=6.0, seconds=0.5))
    row = method_table(audit_bank(bank, from_bank(bank)), kept_methods(bank)).loc["tangent"]
    assert row["target"] == 6 + 3 * 0.5
    assert row["seconds"] == 2 + 0.5


def test_distances_of_methods_for_the_taxonomy(bank, tmp_path):
    found = task_distances(bank, "tangent")
    pd.testing.assert_frame_equal(found, kept_methods(bank)["tangent"].distances)
    assert task_distances(make_bank(tmp_path / "other"), "tangent").empty


def test_values_relative_to_the_mean_of_their_embedding():
    shares = np.array(value_histogram(np.array([[1.0, 1, 1, 1], [50, 50, 50, 50]])))
    assert shares.sum() == pytest.approx(1)
    assert shares[np.searchsorted(EDGES, 0, side="right") - 1] == 1  # all values are the mean
    spiky = np.array(value_histogram(np.array([[1e-6, 1e-6, 1e-6, 1.0]])))
    assert spiky[0] == pytest.approx(0.75)  # what lies beyond the edges is counted in the outermost bin
    assert sum(value_histogram(np.array([[np.nan, 1.0], [0.0, 0.0]]))) == 0
