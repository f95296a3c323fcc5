"""The demo bank as it ships: complete, within its size, and what the README says of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import kept_methods
from t2v_core.bank.opening import DEMO
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.probe.bundled import WEIGHTS
from t2v_core.selection.audit import ALL, audit_table
from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.meta_task import KINDS, from_bank
from t2v_core.transferability.registry import SCORES


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Bank:
    return Bank(tmp_path_factory.mktemp("demo") / "bank", demo=True)


def test_opening_does_not_touch_the_shipped_files(demo):
    assert demo.files != DEMO
    assert sorted(f.name for f in DEMO.iterdir()) == ["bank.sqlite", "weights"]


def test_it_holds_what_it_should(demo):
    tasks, experts = demo.tasks(), demo.experts()
    kinds = [t.kind for t in tasks]
    assert len(tasks) >= 150
    assert kinds.count("large") == kinds.count("twin") == 20
    assert kinds.count("mixed") >= 40
    assert kinds.count("attribute") >= 40
    assert len(experts) >= 32
    assert all(len(t.taxonomy) >= 4 for t in tasks)
    assert set(demo.embeddings(TASK2VEC)) == set(demo.embeddings(DOMAIN)) == {t.id for t in tasks}
    assert demo.errors().shape == (len(tasks), len(experts))
    assert demo.errors().notna().all().all()
    assert demo.facts()["build"]["seconds"]


def test_weights_match_their_checksums_and_fit(demo):
    files = {e.weights_file: e.weights_sha256 for e in demo.experts()}
    assert {f.name for f in demo.weights.iterdir()} == set(files)
    for name, sha256 in files.items():
        assert hashlib.sha256((demo.weights / name).read_bytes()).hexdigest() == sha256
    total = sum((demo.weights / name).stat().st_size for name in files) + WEIGHTS.stat().st_size
    assert total <= 20 * 2**20


def test_no_expert_is_a_candidate_for_images_it_saw(demo):
    meta = from_bank(demo)
    sets = demo.image_sets()
    tasks = {t.id: t for t in demo.tasks()}
    trained_on = {e.id: e.task_id for e in demo.experts()}
    for e, expert in enumerate(meta.experts):
        seen = set(sets[tasks[trained_on[expert]].image_set].tolist())
        for t, task in enumerate(meta.tasks):
            assert meta.allowed[t, e] == (not seen & set(sets[tasks[task].image_set].tolist()))


def test_attribute_tasks_share_their_images(demo):
    attributes = [t for t in demo.tasks() if t.kind == "attribute"]
    assert len({t.image_set for t in attributes}) == 1
    assert len({t.content_hash for t in attributes}) == len(attributes)


def test_the_selection_is_as_good_as_the_readme_says(demo):
    audits = audit_bank(demo, from_bank(demo))
    table = audit_table(audits).set_index(["kind", "rule"])["mean"]
    for rule in ("symmetric", "asymmetric"):
        for kind in ("twin", "mixed", "attribute"):
            for other in ("chance", "generic", "static"):
                assert table[kind, rule] < table[kind, other] / 2
        assert table["twin", rule] < 5
        assert table["attribute", rule] < 10 < table["attribute", "domain"]
    assert audits[ALL].judged["asymmetric"].gains["symmetric"].low > 0  # complexity of the source helps
    # Where it is not surely better than static, the bank says why.
    apart = audits["attribute without expert"]
    assert table["attribute without expert", "asymmetric"] < table["attribute without expert", "static"]
    assert apart.judged["asymmetric"].gains["static"].low < 0
    assert "animals (A)" in apart.why_static
    assert not audits["mixed"].why_static


def test_every_method_was_measured_on_every_target_and_expert(demo):
    found, meta = kept_methods(demo), from_bank(demo).of_kinds(tuple(KINDS))
    scored = {name for name, record in found.items() if not record.costs_only}
    assert scored >= {*SCORES, "pseudotask", "pseudotask-random", "tangent", "task2vec-random"}
    for name in scored:
        assert set(found[name].scores.index) == set(meta.tasks)
        assert np.isfinite(found[name].scores.loc[:, list(meta.experts)]).all(axis=None), name
    own = {e.task_id for e in demo.experts() if e.task_id}
    for method in ("pseudotask", "tangent"):
        assert set(demo.embeddings(method)) == own
        assert own <= set(found[method].distances.index)
    with demo.engine.connect() as connection:
        query = select(func.sum(func.length(schema.method.c.arrays)))
        assert connection.execute(query).scalar_one() < 500_000


def test_the_kernel_without_any_training_beats_chance_and_an_untrained_probe(demo):
    found = audit_bank(demo, from_bank(demo))["all"]
    judged = found.judged
    assert judged["tangent"].gains["chance"].low > 0
    gain = (judged["task2vec-random"].error - judged["tangent"].error) / found.meta.best
    drawn = np.random.default_rng(0).integers(0, len(gain), (2000, len(gain)))
    assert np.quantile(gain[drawn].mean(1), 0.025) > 0


def test_no_image_is_committed():
    root = Path(__file__).parents[2]
    images = [f for f in (root / "t2v_core").rglob("*") if f.suffix in (".png", ".jpg", ".webp")]
    assert images == []
