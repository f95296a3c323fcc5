"""Who can be ranked, by what, and with which credit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from t2v_core.bank.methods import MethodRecord, keep_method
from t2v_core.errors import InputError
from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.candidates import check_kept, credit, unseen, usual_distances
from t2v_core.selection.meta_task import from_bank
from t2v_core.selection.track_record import track_records
from t2v_core.selection.ways import WAYS, way
from tests.selection.metas import make_bank

PSEUDOTASK = WAYS["pseudotask"]


@pytest.fixture
def small_bank(tmp_path):
    return make_bank(tmp_path / "bank")


def measured(bank, norms: dict[str, float], targets: list[str] | None = None) -> None:
    """Scores under which the last expert is a little nearer than all others, which the credit for norms may change."""
    meta = from_bank(bank)
    targets = targets or [t for t, kind in zip(meta.tasks, meta.kinds, strict=True) if kind in ("twin", "mixed")]
    scores = pd.DataFrame(np.full((len(targets), len(meta.experts)), 0.1), index=targets, columns=meta.experts)
    scores.iloc[:, -1] = 0.099
    keep_method(bank, MethodRecord("pseudotask", "made", False, False, {}, 1, 1, scores, facts={"norms": norms}))


def test_the_credit_is_one_that_did_well_on_the_banks_own_targets(small_bank):
    meta = from_bank(small_bank)
    assert credit(small_bank, meta, PSEUDOTASK) == 0
    assert credit(small_bank, meta, WAYS["asymmetric"]) == 0.15
    targets = meta.of_kinds(("twin", "mixed"))
    first, *_, last = targets.candidate_errors.T
    better = [task for task, helps in zip(targets.tasks, first < 0.7 * last, strict=True) if helps]
    assert len(better) == 2
    large = {e: float(2 - place) for place, e in enumerate(meta.experts)}
    measured(small_bank, large, better)
    assert credit(small_bank, meta, PSEUDOTASK) > 0
    measured(small_bank, {e: 1.0 for e in meta.experts}, better)
    assert credit(small_bank, meta, PSEUDOTASK) == 0  # it changes nothing
    worse = [task for task, harms in zip(targets.tasks, first > last, strict=True) if harms]
    measured(small_bank, large, worse)
    assert credit(small_bank, meta, PSEUDOTASK) == 0


def test_the_track_record_is_that_of_the_rule_with_its_credit(small_bank):
    meta = from_bank(small_bank)
    measured(small_bank, {e: float(place + 1) for place, e in enumerate(meta.experts)})
    audits = audit_bank(small_bank, meta)
    records = {r.kind: r for r in track_records(audits, PSEUDOTASK)}
    assert records["all"].rule == "pseudotask-norm"
    assert records["all"].increase == audits["all"].judged["pseudotask-norm"].increase
    assert records["all"].with_labels == audits["all"].judged["asymmetric"].increase


def test_experts_whose_tasks_were_not_embedded_so_cannot_be_ranked(small_bank):
    with pytest.raises(InputError, match="bank methods"):
        check_kept(small_bank, PSEUDOTASK)
    cats = check_kept(small_bank, WAYS["symmetric"])["a-cats"]
    assert "a-cats" in check_kept(small_bank, WAYS["symmetric"], cats)
    (probe,) = small_bank.probes().values()
    with pytest.raises(InputError, match="other weights of the probe"):
        check_kept(small_bank, WAYS["symmetric"], replace(cats, probe_id=probe.id, weights_hash="newer"))
    with pytest.raises(InputError, match="choose the probe the bank was built with"):
        check_kept(small_bank, WAYS["symmetric"], replace(cats, probe_id="another", weights_hash="another"))
    with pytest.raises(InputError, match="no selector 'psychic'"):
        way("psychic")


def test_experts_that_saw_the_images_are_no_candidates(small_bank):
    found = small_bank.embeddings("task2vec")
    assert set(unseen(small_bank, found, [f"c{0:063x}"])) == {"expert-a-cats", "expert-a-dogs", "expert-a-is-furry"}
    with pytest.raises(InputError, match="every expert"):
        unseen(small_bank, found, [f"a{0:063x}"])


def test_usual_distances_are_those_to_candidates_alone(small_bank):
    meta = from_bank(small_bank)
    usual = usual_distances(small_bank, meta, WAYS["symmetric"], small_bank.embeddings("task2vec"))
    assert usual.shape[1] == len(meta.experts)
    assert np.isfinite(usual).any(1).sum() == len(usual)
    own = usual_distances(small_bank, meta, PSEUDOTASK, small_bank.embeddings("task2vec"))
    np.testing.assert_array_equal(np.isfinite(own), meta.allowed)
