"""Measuring methods on a small bank: one interface, kept, resumed, judged."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from t2v_core.bank.methods import kept_methods, name_by
from t2v_core.bank.records import ErrorEntry
from t2v_core.cli import main
from t2v_core.embedding import task2vec
from t2v_core.embedding.pseudotask import PseudoTaskSettings, embed_pseudotask
from t2v_core.embedding.tangent_kernel import gradients, tangent_kernel
from t2v_core.embedding.task2vec import Task2VecSettings
from t2v_core.errors import InputError
from t2v_core.experts.images import pixels_at
from t2v_core.experts.weights import keep_weights, load_expert
from t2v_core.fisher.variational import VariationalSettings
from t2v_core.measuring import by_score, run
from t2v_core.measuring.bench import CPU, Bench
from t2v_core.measuring.by_embedding import CHUNKS, variational_agreement
from t2v_core.measuring.run import measure, methods
from t2v_core.probe import heads
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.registry import blank_network, load_probe
from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.measured import NormCredit
from t2v_core.selection.meta_task import from_bank
from t2v_core.space.distances import symmetric
from t2v_core.task.worlds import demo
from t2v_core.transferability.knn import knn
from t2v_core.transferability.registry import SCORES
from tests.unlabelled import write_flat

TARGETS = {"sizes", "counts", "colours", "turned"}
EXPERTS = ["expert-shapes", "expert-textures"]


def silent(*_):
    """No progress."""


@pytest.fixture(autouse=True)
def few_networks(monkeypatch):
    monkeypatch.setattr(run, "KEPT", replace(run.KEPT, networks=2, dimension=32))


@pytest.mark.parametrize("name", [*SCORES, "tangent", "pseudotask", "pseudotask-random", "task2vec-random"])
def test_every_method_scores_every_target_and_expert_and_says_what_it_cost(tiny_bank, tiny, name):
    took = measure(tiny_bank, tiny, [name], report=silent)
    assert list(took) == [name]
    record = kept_methods(tiny_bank)[name]
    assert set(record.scores.index) == TARGETS
    assert list(record.scores.columns) == EXPERTS
    assert np.isfinite(record.scores.to_numpy()).all()
    assert record.target + record.seconds > 0
    assert (record.target > 0) != record.every_expert or name == "rsa"  # whose probe sees the target, too
    judged = audit_bank(tiny_bank, from_bank(tiny_bank))["twin"].judged[name]
    np.testing.assert_array_equal(judged.scores, record.scores.loc[["sizes", "turned"]].to_numpy(float))


def test_embeddings_of_the_experts_own_tasks_are_kept_for_uploads(tiny_bank, tiny, bundled):
    measure(tiny_bank, tiny, ["pseudotask", "tangent"], report=silent)
    kept = kept_methods(tiny_bank)
    fisher = tiny_bank.embeddings("pseudotask", bundled.info.weights_hash)
    network = tiny_bank.embeddings("tangent")
    assert set(fisher) == set(network) == {"shapes", "textures"}
    upload = embed_pseudotask(tiny[2].decoded, bundled, PseudoTaskSettings(chunks=CHUNKS))
    found = symmetric(upload.vector[None], np.stack([fisher[t].vector for t in ("shapes", "textures")]))
    np.testing.assert_allclose(kept["pseudotask"].scores.loc["sizes"], found[0], rtol=1e-6)
    norms = {f"expert-{task}": float(e.vector.sum()) for task, e in fisher.items()}
    assert kept["pseudotask"].facts["norms"] == pytest.approx(norms, rel=1e-6)
    between = tangent_kernel(gradients([network["shapes"]]), gradients([network["textures"]])).mean[0, 0]
    assert kept["tangent"].distances.loc["shapes", "textures"] == pytest.approx(1 - between, abs=1e-3)
    assert len(tiny_bank.probes()) == 1  # random networks are none


def test_another_choice_of_layers_is_another_probe():
    assert name_by("pseudotask", "bundled") == "pseudotask"
    assert name_by("pseudotask", "bundled:last") == "pseudotask:bundled:last"


def test_methods_without_labels_cannot_tell_tasks_over_the_same_images_apart(tiny_bank, tiny):
    measure(tiny_bank, tiny, ["pseudotask", "h_divergence", "rsa"], report=silent)
    for name, record in kept_methods(tiny_bank).items():
        assert not record.labels
        np.testing.assert_array_equal(record.scores.loc["sizes"], record.scores.loc["turned"], err_msg=name)
    assert kept_methods(tiny_bank)["pseudotask"].distances.loc["sizes", "turned"] == 0


def test_scores_are_those_of_the_plain_function_turned_so_that_lower_is_better(tiny_bank, tiny):
    measure(tiny_bank, tiny, ["knn"], report=silent)
    expert = next(e for e in tiny_bank.experts() if e.id == "expert-textures")
    network = load_expert(expert, tiny_bank.weights, CPU)
    counts = next(t.decoded for t in tiny if t.id == "counts")
    rows = ~counts.task.held_out
    expected = -knn(network.features(counts.pixels[rows]).numpy(), counts.task.labels[rows])
    assert kept_methods(tiny_bank)["knn"].scores.loc["counts", "expert-textures"] == pytest.approx(expected)


def test_experts_see_images_at_their_own_size(tiny_bank, tiny):
    """One of another width, too: trying all experts must not ask for features of one length."""
    expert = next(e for e in tiny_bank.experts() if e.id == "expert-textures")
    torch.manual_seed(0)
    network = blank_network("resnet18").detach()[0]
    file, sha256 = keep_weights(network, tiny_bank.weights)
    spec = replace(SPEC, resize=48, crop=48)
    other = replace(expert, architecture="resnet18", weights_file=file.name, weights_sha256=sha256, spec=spec)
    tiny_bank.save_expert(other)
    tiny_bank.save_errors(ErrorEntry(task, "expert-textures", 20.0, 9, "made") for task in TARGETS)
    measure(tiny_bank, tiny, ["knn", "oracle"], report=silent)
    counts = next(t.decoded for t in tiny if t.id == "counts").take(np.arange(27) % 3 < 2)
    features = load_expert(other, tiny_bank.weights, CPU).features(pixels_at(counts, SPEC, spec)).numpy()
    expected = -knn(features, counts.task.labels)
    assert kept_methods(tiny_bank)["knn"].scores.loc["counts", "expert-textures"] == pytest.approx(expected)


def test_a_run_goes_on_where_it_was_cut_off(tiny_bank, tiny, monkeypatch):
    def cut(stage, done, total, message):
        if stage == "LogME":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(tiny_bank, tiny, ["knn", "logme", "h_score"], report=cut)
    assert list(kept_methods(tiny_bank)) == ["knn"]
    before = tiny_bank.version()
    assert list(measure(tiny_bank, tiny, ["knn", "logme", "h_score"], report=silent)) == ["logme", "h_score"]
    assert tiny_bank.version() > before
    assert measure(tiny_bank, tiny, ["knn", "logme", "h_score"], report=silent) == {}
    assert list(measure(tiny_bank, tiny, ["knn"], seed=1, report=silent)) == ["knn"]


def test_an_expert_whose_task_is_not_at_hand_has_no_score_where_it_is_needed(tiny_bank, tiny):
    measure(tiny_bank, [t for t in tiny if t.id != "textures"], ["leep", "emd", "knn"], report=silent)
    kept = kept_methods(tiny_bank)
    for name in ("leep", "emd"):
        assert np.isnan(kept[name].scores["expert-textures"]).all(), name
        assert np.isfinite(kept[name].scores["expert-shapes"]).all(), name
    assert np.isfinite(kept["knn"].scores).all(axis=None)
    assert kept["leep"].facts["refused"] == {next(iter(kept["leep"].facts["refused"])): 4}
    assert "no classifier" in next(iter(kept["leep"].facts["refused"]))


def test_an_expert_that_cannot_be_run_has_no_score_and_stops_nobody(tiny_bank, tiny):
    file = next(e.weights_file for e in tiny_bank.experts() if e.id == "expert-textures")
    (tiny_bank.weights / file).unlink()
    measure(tiny_bank, tiny, ["h_score"], report=silent)
    record = kept_methods(tiny_bank)["h_score"]
    assert record.scores.isna().all().tolist() == [False, True]
    assert "are missing from the bank" in next(iter(record.facts["refused"]))


def test_networks_against_batches_and_the_costs_alone(tiny_bank, tiny, monkeypatch):
    monkeypatch.setattr("t2v_core.measuring.by_embedding.NETWORKS", (1, 2))
    monkeypatch.setattr("t2v_core.measuring.by_embedding.BUDGET", 2)
    measure(tiny_bank, tiny, ["networks-or-batches", "domain", "oracle", "task2vec"], report=silent)
    kept = kept_methods(tiny_bank)
    assert all(r.costs_only and r.seconds + r.target > 0 for r in kept.values())
    assert 2 * kept["oracle"].seconds > kept["domain"].target
    assert measure(tiny_bank, tiny, list(kept), report=silent) == {}
    facts = kept["networks-or-batches"].facts
    assert facts["targets"] == ["sizes", "turned"]
    assert facts["experts"] == EXPERTS
    assert list(facts["picks"]) == ["1", "2"]
    assert set(np.ravel(list(facts["picks"].values()))) <= set(EXPERTS)
    assert audit_bank(tiny_bank, from_bank(tiny_bank))["twin"].judged.keys() == {
        "chance",
        "static",
        "asymmetric",
        "symmetric",
        "domain",
    }


def test_shared_features_are_computed_once_and_charged_to_each(tiny_bank, tiny, monkeypatch):
    bench = Bench(tiny_bank, tiny, 0, silent)
    first = by_score.expert_scores(bench, "knn")
    loads = []
    monkeypatch.setattr(Bench, "load", lambda self, expert: loads.append(expert))
    second = by_score.expert_scores(bench, "h_score")
    assert not loads
    images = sum(len(bench.tasks[target].decoded) for target in bench.targets)
    each = [bench.seconds_per_image(expert.id) for expert in bench.experts]
    assert len(set(each)) == len(each)  # a clock for every network
    assert bench.seconds_per_image() == 0  # the probe saw nothing
    forward = np.mean(each) * images / len(bench.targets)
    assert min(first.seconds, second.seconds) >= forward > 0


def test_what_cannot_be_measured_is_said(tiny_bank, tiny, tmp_path):
    with pytest.raises(InputError, match=r"no method 'leap'.*leep"):
        measure(tiny_bank, tiny, ["leap"], report=silent)
    with pytest.raises(InputError, match="none of its targets with these very images"):
        measure(tiny_bank, [], ["leep"], report=silent)


def test_the_command(tiny_bank, tiny, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("t2v_core.task.worlds.demo.demo_tasks", lambda path, seed, progress: tiny)
    options = ["--bank", tiny_bank.location, "--data", str(tmp_path), "--only", "h_score", "emd", "--json"]
    assert main(["bank", "methods", "cifar100", *options]) == 0
    out, err = capsys.readouterr()
    assert list(json.loads(out)["seconds"]) == ["h_score", "emd"]
    assert "EMD: 4/4" in err
    assert main(["bank", "methods", "cifar100", *options]) == 0
    assert json.loads(capsys.readouterr().out)["seconds"] == {}
    assert main(["bank", "methods", "cifar100", *options[:4], "--only", "none"]) == 2


def test_titles_and_needs_are_stated_once_for_all(tiny_bank, tiny):
    known = methods()
    assert {n for n, m in known.items() if m.every_expert} == {
        "oracle",
        "rsa",
        "leep",
        "nce",
        "h_score",
        "h_score_shrunk",
        "logme",
        "knn",
    }
    assert {n for n, m in known.items() if not m.labels} == {
        "pseudotask",
        "pseudotask-hard",
        "pseudotask-random",
        "domain",
        "h_divergence",
        "rsa",
    }


@pytest.mark.slow
def test_the_variational_estimate_is_held_against_the_exact_one(tiny_bank, tiny):
    short = VariationalSettings(epochs=1, epoch_size=100)
    facts = variational_agreement(
        Bench(tiny_bank, tiny, 0, silent), Task2VecSettings(estimator="variational", variational=short)
    ).facts
    assert np.shape(facts["rho"]) == np.shape(facts["ratio"]) == (len(facts["targets"]), len(facts["layers"]))
    assert np.nanmax(np.abs(facts["rho"])) <= 1
    assert np.median(facts["all"]) > 0.3  # two estimates of one thing
    assert np.min(facts["ratio"]) >= 0
    assert 0.01 < np.median(facts["all_ratio"]) < 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("probe", "file", "classes"),
    [("resnet18", "resnet18", 1000), ("places365/resnet18", "resnet18_places365", 365)],
)
def test_a_teacher_of_published_shape_is_measured_and_ranks_images_without_labels(
    tiny_bank, tiny, shapes, capsys, monkeypatch, tmp_path, probe, file, classes
):
    """PseudoTask by ImageNet's or Places365's ResNet-18 from a file, from `bank methods` to `recommend`."""
    monkeypatch.setattr(task2vec, "SIGNED_PASSES", 20)
    monkeypatch.setattr(heads, "MAX_STEPS", 10)
    monkeypatch.setenv("T2V_WEIGHTS", str(tmp_path))
    torch.manual_seed(0)
    save_file(torchvision.models.resnet18(num_classes=classes).state_dict(), tmp_path / f"{file}.safetensors")
    teacher = load_probe(probe, CPU)
    assert Bench(tiny_bank, tiny, 0, silent, teacher).at_probe("shapes").pixels.shape[1:] == (224, 224, 3)
    monkeypatch.setattr(demo, "demo_tasks", lambda *_: tiny)
    command = ["bank", "methods", "cifar100", "--data", "any", "--bank", str(tiny_bank.location), "--probe", probe]
    assert main([*command, "--only", "pseudotask"]) == 0
    assert main([*command, "--only", "logme"]) == 2  # no teacher has a part in it
    (record,) = kept_methods(tiny_bank).values()
    assert record.name == f"pseudotask:{probe}"
    assert record.title.endswith(f"by {teacher.info.title}")
    assert record.facts["softness"] > 0
    assert NormCredit(record).alpha(from_bank(tiny_bank)) >= 0  # tuned on the targets
    assert set(tiny_bank.embeddings("pseudotask", teacher.info.weights_hash)) == {"shapes", "textures"}

    flat = write_flat(tmp_path / "flat", shapes.take(shapes.task.held_out), 8)
    capsys.readouterr()
    ask = ["recommend", str(flat), "--bank", str(tiny_bank.location), "--probe", probe, "--json"]
    assert main(ask) == 0
    told = capsys.readouterr().out
    assert "NaN" not in told
    found = json.loads(told)
    assert {record["rule"] for record in found["track_record"]} == {f"pseudotask:{probe}-norm"}
    assert (found["selector"], found["probe"]["id"]) == ("pseudotask", probe)
    assert {row["task_id"] for row in found["ranking"]} == {"shapes", "textures"}
