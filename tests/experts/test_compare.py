"""Heads fitted on an upload, experts' errors, and what is handed over."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load as load_safetensors

from t2v_core.bank.records import ExpertRecord
from t2v_core.errors import InputError
from t2v_core.experts.compare import Fitted, compare_experts, fold_numbers, paired_gain, wilson
from t2v_core.experts.errors import balanced_error, task_errors
from t2v_core.experts.export import export_expert
from t2v_core.experts.schedules import Schedule
from t2v_core.experts.training import fine_tune
from t2v_core.experts.weights import keep_weights, load_expert
from tests.conftest import QUICK

CPU = torch.device("cpu")


def features(separation: float, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), 40)
    centres = np.eye(3, 8) * separation
    return torch.from_numpy(centres[labels] + rng.normal(size=(120, 8))).float(), labels


def test_the_better_expert_is_seen_to_be_better():
    good, labels = features(4)
    bad, _ = features(0.0, 1)
    better, worse = compare_experts(torch.stack([good, bad]), labels, np.zeros(120, bool))
    assert better.low > worse.high
    assert (better.n, better.how) == (120, "5-fold cross validation")
    assert worse.low < 1 / 3 < worse.high + 0.1


def outcome(right) -> Fitted:
    right = np.asarray(right, dtype=bool)
    return Fitted(float(right.mean()), 0, 1, len(right), "", None, right)


def test_a_paired_difference_by_hand():
    """Of 75 images 12 that only one gets and 2 that only the other gets, and one in four singled out: a clear case."""
    one, other = outcome([1] * 59 + [1] * 12 + [0] * 2 + [0] * 2), outcome([1] * 59 + [0] * 12 + [1] * 2 + [0] * 2)
    found = paired_gain(one, other)
    shift, half = 10 / 77, 1.959964 * np.sqrt(15 - 100 / 77) / 77
    assert (found.gain, found.low, found.high) == pytest.approx((10 / 75, shift - half, shift + half), rel=1e-6)
    assert paired_gain(one, other, 4).low < found.low
    back = paired_gain(other, one)
    assert (back.gain, back.low, back.high) == pytest.approx((-found.gain, -found.high, -found.low))
    same = paired_gain(one, one)
    assert same.gain == 0 and same.low < 0 < same.high


def test_the_interval_of_a_paired_difference_holds_what_it_says():
    rng = np.random.default_rng(0)
    chances = {(1, 1): 0.6, (1, 0): 0.2, (0, 1): 0.1, (0, 0): 0.1}
    held = 0
    for _ in range(600):
        drawn = np.array(list(chances))[rng.choice(4, 60, p=list(chances.values()))]
        found = paired_gain(outcome(drawn[:, 0]), outcome(drawn[:, 1]))
        held += found.low <= 0.1 <= found.high
    assert 0.92 < held / 600 < 0.98


def test_heads_are_compared_on_the_same_images():
    good, labels = features(4)
    bad, _ = features(0.0, 1)
    held = np.arange(120) % 4 == 0
    for rows in (np.zeros(120, bool), held):
        better, worse = compare_experts(torch.stack([good, bad]), labels, rows)
        assert len(better.right) == len(worse.right) == better.n
        assert better.right.mean() == better.accuracy
        assert paired_gain(better, worse).low > 0


def test_held_out_images_are_the_test_where_there_are_some():
    z, labels = features(4)
    held = np.arange(120) % 4 == 0
    (found,) = compare_experts(z[None], labels, held)
    assert (found.n, found.how) == (30, "held-out images")


def test_every_image_is_in_one_fold_and_classes_are_spread():
    labels = np.repeat([0, 1], [30, 10])
    fold = fold_numbers(labels, 5, 0)
    assert np.bincount(fold[labels == 1]).tolist() == [2] * 5
    assert fold_numbers(np.array([0, 0, 1, 1]), 5, 0).max() == 1


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (0, 0, 0, 1)],
)
def test_wilson_intervals_are_the_tables(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=1e-3)


def test_balanced_error_weighs_classes_alike():
    assert balanced_error(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])) == 25
    assert balanced_error(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1])) == 50


def test_task_errors_use_only_training_images_to_fit():
    z, labels = features(6)
    held = np.arange(120) % 3 == 0
    spoiled = z.clone()
    spoiled[torch.from_numpy(held)] = 0
    errors = task_errors(torch.stack([z, spoiled]), labels, held)
    assert errors[0] < 5
    assert errors[1] > 50


def record(file: Path, sha256: str) -> ExpertRecord:
    return ExpertRecord("one", "one", "resnet20", file.name, sha256, None)


def test_a_fine_tuned_expert_comes_back_from_its_file(tmp_path, bundled, shapes):
    trained = fine_tune(bundled, shapes, tmp_path, Schedule("quick", QUICK))
    expert = load_expert(record(trained.file, trained.sha256), tmp_path, CPU)
    assert expert.features(shapes.pixels[:3]).shape == (3, 64)
    assert not torch.allclose(expert.features(shapes.pixels[:3]), bundled.features(shapes.pixels[:3]))
    assert trained.training["from_weights"] == bundled.info.weights_hash
    again = fine_tune(bundled, shapes, tmp_path / "again", Schedule("quick", QUICK))
    assert again.sha256 == trained.sha256


def test_damaged_and_foreign_weights_are_refused(tmp_path, bundled):
    file, sha256 = keep_weights(bundled.network, tmp_path)
    load_expert(record(file, sha256), tmp_path, CPU)
    with pytest.raises(InputError, match="missing"):
        load_expert(record(tmp_path / "no.safetensors", sha256), tmp_path, CPU)
    with pytest.raises(InputError, match="checksum"):
        load_expert(record(file, "0" * 64), tmp_path, CPU)
    foreign, hash_ = keep_weights(torch.nn.Linear(2, 2), tmp_path)
    with pytest.raises(InputError, match="does not hold"):
        load_expert(record(foreign, hash_), tmp_path, CPU)


def test_the_export_holds_what_it_says(tmp_path, bundled):
    file, sha256 = keep_weights(bundled.network, tmp_path)
    z, labels = features(4)
    (found,) = compare_experts(torch.cat([z, torch.zeros(120, 56)], 1)[None], labels, np.zeros(120, bool))
    facts = {
        "expert": "fish (A)",
        "trained_on": "fish (A)",
        "task": "mine",
        "images": 120,
        "distance": 0.1,
        "p_first": 0.9,
        "selector": "symmetric",
        "weights_sha256": sha256,
        "created": "2026-01-01",
    }
    data = export_expert(record(file, sha256), tmp_path, found, ("a", "b", "c"), facts)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert set(archive.namelist()) == {
            "expert.safetensors",
            "head.safetensors",
            "config.json",
            "network.py",
            "requirements.txt",
            "classify.py",
            "README.md",
        }
        assert archive.read("expert.safetensors") == file.read_bytes()
        assert load_safetensors(archive.read("head.safetensors"))["fc.weight"].shape == (3, 64)
        assert json.loads(archive.read("config.json"))["classes"] == ["a", "b", "c"]
        card = archive.read("README.md").decode()
    assert f"{found.accuracy:.1%}" in card
    assert sha256 in card
    assert "fine-tuned on\n**fish (A)**" in card
    generic = facts | {"expert": "generic (not fine-tuned)", "trained_on": None, "distance": None}
    data = export_expert(record(file, sha256), tmp_path, found, ("a", "b", "c"), generic)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        card = archive.read("README.md").decode()
    assert "trained from scratch on\nCIFAR-10, and on nothing else" in card
    assert "fine-tuned as described" not in card and "fine-tuned on\n" not in card
