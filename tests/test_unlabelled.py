"""Images without labels, and images no probe knows, from the command line: ranking, words, downloads, refusals."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from t2v_core import pipeline
from t2v_core.bank.bank import Bank
from t2v_core.bank.transfer import copy_tasks, export_bank, import_bank
from t2v_core.embedding import tangent
from t2v_core.embedding.tangent import TangentSettings
from t2v_core.errors import InputError
from t2v_core.fisher.variational import VariationalSettings
from t2v_core.probe.random_networks import SPECS
from t2v_core.request import find_task, suited_networks
from t2v_core.task.decoding import decode
from tests.conftest import write_folder, zip_folder
from tests.test_cli import run, run_json
from tests.unlabelled import write_flat


@pytest.fixture
def fresh(shapes):
    """Held-out shapes: no expert saw them, one was trained on their like."""
    return shapes.take(shapes.task.held_out)


@pytest.fixture
def flat(tmp_path, fresh) -> Path:
    return write_flat(tmp_path / "flat", fresh, 60)


def write_labels(folder: Path, seed: int) -> None:
    """Random labels of three classes beside the images."""
    files = sorted(f.name for f in folder.glob("*.png"))
    drawn = np.random.default_rng(seed).permutation(np.arange(len(files)) % 3)
    lines = ["file,label", *(f"{f},class{k}" for f, k in zip(files, drawn, strict=True))]
    (folder / "labels.csv").write_text("\n".join(lines))


def test_a_folder_without_labels_is_ranked_by_pseudotask(capsys, methods_path, flat, tmp_path):
    result = run_json(capsys, "recommend", flat, "--bank", methods_path, "--out", tmp_path / "out")
    assert result["selector"] == "pseudotask"
    assert result["ranking"][0]["task_id"] == "shapes"
    assert 0 <= result["ranking"][0]["p_first"] <= 1
    assert any("no labels" in warning for warning in result["warnings"])
    assert result["task"]["classes"] == []
    assert result["task"]["validation_accuracy"] is None
    assert result["task"]["learnable"] is False
    assert 0 < result["teacher"]["softness"] < 1
    assert "classifier" in result["teacher"]["sentence"]
    assert all(row["fitted"] is None for row in result["ranking"])
    shown = run(capsys, "recommend", zip_folder(flat, tmp_path / "flat.zip"), "--bank", methods_path)[1]
    assert "flat: 60 images, no labels" in shown
    assert "not what you want to tell apart" in shown


@pytest.mark.slow
def test_labels_shuffled_or_absent_do_not_change_a_bit(capsys, methods_path, flat):
    def ranked(*more: str) -> dict:
        found = run_json(
            capsys, "recommend", flat, "--bank", methods_path, "--selector", "pseudotask", "--max-images", "40", *more
        )
        return {key: found[key] for key in ("ranking", "certainty", "familiarity", "teacher")}

    absent = ranked()
    write_labels(flat, 1)
    first = ranked()
    write_labels(flat, 2)
    assert first == ranked() == absent
    assert ranked("--seed", "1")["ranking"] != absent["ranking"]


@pytest.mark.slow
def test_the_download_without_a_head_gives_features_by_itself(capsys, methods_path, flat, tmp_path):
    run_json(capsys, "recommend", flat, "--bank", methods_path, "--out", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "out" / "expert-shapes.zip") as archive:
        assert "head.safetensors" not in archive.namelist()
        archive.extractall(tmp_path / "expert")
    images = sorted(flat.glob("*.png"))[:3]
    found = subprocess.run(
        [sys.executable, "features.py", *map(str, images)],
        cwd=tmp_path / "expert",
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert [row[0] for row in rows] == [str(i) for i in images]

    import torch

    from t2v_core.experts.weights import load_expert

    bank = Bank(methods_path)
    expert = next(e for e in bank.experts() if e.id == "expert-shapes")
    network = load_expert(expert, bank.weights, torch.device("cpu"))
    pixels = np.stack([np.asarray(Image.open(i).convert("RGB")) for i in images])
    expected = network.features(pixels).numpy()
    np.testing.assert_allclose(np.array([row[1:] for row in rows], float), expected, atol=2e-3)


def test_tangent_ranks_by_networks_and_can_be_kept(capsys, methods_path, shapes_folder, tmp_path):
    options = ["--selector", "tangent", "--bank", methods_path, "--out", tmp_path / "out"]
    result = run_json(capsys, "recommend", shapes_folder, *options)
    assert result["probe"]["id"] == "random-small"
    assert "16 untrained networks" in result["probe"]["title"]
    assert sum(row["p_first"] for row in result["ranking"]) == pytest.approx(1)
    assert all(row["spread"] > 0 for row in result["ranking"])
    assert result["task"]["relative_error"] is None
    copy_tasks(Bank(tmp_path / "out" / "task"), Bank(methods_path))
    bank = Bank(methods_path)
    assert result["task"]["id"] in bank.embeddings("tangent")
    assert len(bank.probes()) == 1
    export_bank(bank, tmp_path / "b.zip")
    import_bank(Bank(tmp_path / "other"), tmp_path / "b.zip")
    assert result["task"]["id"] in Bank(tmp_path / "other").embeddings("tangent")


def test_embed_by_either_method_and_keep(capsys, methods_path, flat, shapes_folder):
    pseudo = run_json(capsys, "embed", flat, "--bank", methods_path, "--save")
    assert (pseudo["method"], pseudo["classes"], pseudo["dimension"]) == ("pseudotask", [], 784)
    assert (
        pseudo["vector"] == run_json(capsys, "embed", flat, "--method", "pseudotask", "--bank", methods_path)["vector"]
    )
    kept = next(t for t in Bank(methods_path).tasks() if t.id == pseudo["id"])
    assert (kept.classes, kept.counts) == ((), (60,))
    tangent = run_json(capsys, "embed", shapes_folder, "--method", "tangent", "--bank", methods_path, "--save")
    assert tangent["dimension"] == 16 * 512
    assert tangent["relative_error"] is None
    assert any("holds 128 images and there are only 60" in warning for warning in tangent["warnings"])


def test_a_bank_of_resnet18_gradients_compares_new_tasks_by_resnet18(
    capsys, monkeypatch, bank_path, tmp_path, worlds, shapes_folder
):
    few = TangentSettings("resnet18", networks=1, batch_size=8, dimension=16)
    monkeypatch.setitem(tangent.BY_ARCHITECTURE, "resnet18", few)
    bank = Bank(bank_path)
    own = next(t for t in bank.tasks() if t.id == "textures")
    images = write_folder(tmp_path / "own", worlds["textures"].decoded, 4)
    at_224 = decode(find_task(images).task, SPECS["resnet18"])
    bank.save_task(own, bank.image_sets()[own.image_set], [tangent.embed_tangent(at_224, few)], None)
    options = ["--method", "tangent", "--architecture", "resnet18", "--bank", bank_path]
    embedded = run_json(capsys, "embed", shapes_folder, *options)
    assert (embedded["probe"], embedded["dimension"]) == ("random-resnet18", 16)
    result = run_json(capsys, "recommend", shapes_folder, "--selector", "tangent", "--bank", bank_path, "--fit-head")
    assert result["probe"]["id"] == "random-resnet18"
    assert [row["task_id"] for row in result["ranking"]] == ["textures"]
    assert 0 < result["ranking"][0]["fitted"]["accuracy"] <= 1  # by the expert, which sees 32 pixels


@pytest.mark.slow
def test_a_task_kept_by_other_networks_than_the_experts_leaves_them_comparable(
    capsys, monkeypatch, methods_path, shapes_folder, tmp_path, worlds
):
    monkeypatch.setitem(tangent.BY_ARCHITECTURE, "resnet18", TangentSettings("resnet18", 1, batch_size=8, dimension=16))
    scans = write_folder(tmp_path / "2024 scans", worlds["textures"].decoded, 4)
    options = ["--method", "tangent", "--architecture", "resnet18", "--bank", methods_path, "--save"]
    kept = run_json(capsys, "embed", scans, *options)
    assert kept["id"] < "shapes"  # it comes first in the bank, and is no expert's
    result = run_json(capsys, "recommend", shapes_folder, "--selector", "tangent", "--bank", methods_path)
    assert result["probe"]["id"] == "random-small"


def test_what_is_offered_in_place_of_labels_is_taken(capsys, methods_path, flat):
    code, _, err = run(capsys, "embed", flat, "--method", "exact", "--bank", methods_path)
    assert code == 2
    assert "choose pseudotask or domain" in err
    for method in ("pseudotask", "domain"):
        assert run_json(capsys, "embed", flat, "--method", method, "--bank", methods_path)["method"] == method


def test_other_weights_than_the_banks_are_told_so(capsys, methods_path, flat, monkeypatch):
    keeps = Bank.embeddings

    def by_another(bank, method, weights_hash=None, *more, **options):
        return keeps(bank, method, weights_hash and "another", *more, **options)

    monkeypatch.setattr(Bank, "embeddings", by_another)
    code, _, err = run(capsys, "recommend", flat, "--bank", methods_path)
    assert code == 2
    assert "other weights of the probe 'bundled'" in err


def test_hard_labels_and_the_authors_own_algorithm_are_there_for_the_asking(capsys, monkeypatch, methods_path, flat):
    quick = VariationalSettings(epochs=2, epoch_size=20, batch_size=10)
    monkeypatch.setattr(pipeline, "ALGORITHM_1", replace(pipeline.ALGORITHM_1, variational=quick))
    found = {
        method: run_json(capsys, "embed", flat, "--method", method, "--max-images", 20, "--bank", methods_path)
        for method in ("pseudotask", "pseudotask-hard", "pseudotask-variational")
    }
    assert {f["method"] for f in found.values()} == {"pseudotask"}
    assert [f["settings"]["labels"] for f in found.values()] == ["soft", "hard", "soft"]
    assert found["pseudotask-variational"]["settings"]["estimator"] == "variational"
    assert len({tuple(f["vector"]) for f in found.values()}) == 3
    assert len({f["facts"]["softness"] for f in found.values()}) == 1  # the teacher is the same


@pytest.mark.parametrize("option", [("--tolerance", 0.02), ("--precision", "bfloat16")])
@pytest.mark.parametrize("method", ["variational", "published", "pseudotask-variational"])
def test_what_the_variational_estimate_cannot_heed_is_refused(capsys, methods_path, flat, method, option):
    code, _, err = run(capsys, "embed", flat, "--method", method, *option, "--bank", methods_path)
    assert code == 2
    assert option[0] in err


@pytest.mark.parametrize(("side", "networks"), [(32, "small"), (64, "small"), (65, "resnet18"), (224, "resnet18")])
def test_large_images_get_the_papers_networks_and_small_ones_small_networks(tmp_path, side, networks):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("RGB", (side + 40, side), (i, 0, 0)).save(tmp_path / name / f"{i}.png")
    task = find_task(tmp_path).task
    assert suited_networks(task) == networks
    for file in tmp_path.glob("*/*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(InputError, match="can be read"):
        suited_networks(task)


def test_the_architecture_of_untrained_networks_takes_the_method_that_has_any(capsys, methods_path, shapes_folder):
    code, _, err = run(capsys, "embed", shapes_folder, "--architecture", "resnet18", "--bank", methods_path)
    assert code == 2
    assert "--method tangent" in err


@pytest.mark.parametrize("selector", ["asymmetric", "symmetric", "model2vec", "tangent"])
def test_a_selector_that_reads_labels_says_what_remains(capsys, methods_path, flat, selector):
    code, _, err = run(capsys, "recommend", flat, "--bank", methods_path, "--selector", selector)
    assert code == 2
    assert err.strip().splitlines()[-1].count("error:") == 1
    assert "no labels" in err
    assert "pseudotask or domain" in err


def test_one_class_is_refused_with_what_remains_which_works(capsys, methods_path, shapes_folder, tmp_path):
    (tmp_path / "one").mkdir()
    (shapes_folder / "circle").rename(tmp_path / "one" / "circle")
    for more in ([], ["--selector", "tangent"]):
        code, _, err = run(capsys, "recommend", tmp_path / "one", "--bank", methods_path, *more)
        assert code == 2
        assert "one class 'circle'" in err
        assert "pseudotask or domain" in err
    for selector in ("pseudotask", "domain"):
        found = run_json(
            capsys, "recommend", tmp_path / "one", "--bank", methods_path, "--selector", selector, "--fit-head"
        )
        assert found["task"]["classes"] == ["circle"]
        assert any("takes labels" in warning for warning in found["warnings"])


def test_a_class_of_one_image_is_no_fault_to_pseudotask(capsys, methods_path, shapes_folder):
    for extra in sorted((shapes_folder / "star").glob("*.png"))[1:]:
        extra.unlink()
    for selector in ("asymmetric", "tangent"):
        code, _, err = run(capsys, "recommend", shapes_folder, "--bank", methods_path, "--selector", selector)
        assert code == 2
        assert "'star' of 'shapes' has 1 image" in err
        assert "pseudotask or domain" in err
    found = run_json(capsys, "recommend", shapes_folder, "--bank", methods_path, "--selector", "pseudotask")
    assert found["task"]["images"] == 49


def test_few_and_constant_images(capsys, methods_path, tmp_path, fresh):
    few = run_json(capsys, "recommend", write_flat(tmp_path / "few", fresh, 5), "--bank", methods_path)
    assert any("only 5 images" in warning for warning in few["warnings"])
    code, _, err = run(capsys, "embed", write_flat(tmp_path / "three", fresh, 3), "--bank", methods_path)
    assert (code, "3 images; a task needs at least 4" in err) == (2, True)
    grey = tmp_path / "grey"
    grey.mkdir()
    for size in range(32, 40):  # files that differ, pixels that do not
        Image.new("RGB", (size, size), (90, 90, 90)).save(grey / f"{size}.png")
    for selector in ("pseudotask", "domain"):
        code, _, err = run(capsys, "recommend", grey, "--bank", methods_path, "--selector", selector)
        assert code == 2
        assert "look the same to the probe" in err


def test_a_bank_that_keeps_nothing_to_compare_says_what_to_do(capsys, bank_path, flat, shapes_folder):
    for folder, selector in ((flat, "pseudotask"), (shapes_folder, "tangent")):
        code, _, err = run(capsys, "recommend", folder, "--bank", bank_path, "--selector", selector)
        assert code == 2
        assert "python -m t2v_core bank methods" in err
    assert run_json(capsys, "recommend", flat, "--bank", bank_path, "--selector", "domain")["selector"] == "domain"
