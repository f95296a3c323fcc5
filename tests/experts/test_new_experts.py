"""New experts: trained on a person's images, brought along as files or by name; and files that are none."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import ErrorEntry
from t2v_core.cli import main
from t2v_core.errors import InputError
from t2v_core.experts.schedules import PAPER, SCALED, Schedule, choose_schedule
from t2v_core.experts.training import fine_tune
from t2v_core.experts.weights import keep_weights, load_expert, spec_of
from t2v_core.new_experts import add_experts
from t2v_core.probe.bundled import SPEC, WEIGHTS
from t2v_core.probe.network import ResNet20
from t2v_core.task.record import InputSpec
from tests.conftest import write_folder

CPU = torch.device("cpu")


def quiet(*_) -> None:
    pass


def add(bank: Bank, source: Path | str, architecture: str = "resnet20", **more) -> list[dict]:
    options = {"task_id": None, "name": None, "input_size": None} | more
    return add_experts(bank, str(source), architecture, device=CPU, report=quiet, **options)["rows"]


@pytest.fixture
def empty(tmp_path) -> Bank:
    return Bank(tmp_path / "empty")


def state(classes: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return ResNet20(classes).state_dict()


def record(bank: Bank, expert_id: str):
    return next(e for e in bank.experts() if e.id == expert_id)


def test_a_file_fine_tuned_elsewhere_becomes_an_expert(empty, tmp_path, shapes):
    save_file(state(), tmp_path / "My Fish.safetensors")
    (row,) = add(empty, tmp_path / "My Fish.safetensors")
    kept = record(empty, row["id"])
    assert (kept.name, kept.architecture, kept.task_id) == ("My Fish", "resnet20", None)
    expert = load_expert(kept, empty.weights, CPU)
    torch.manual_seed(0)
    own = ResNet20(3).eval()
    x = expert.normalise(shapes.pixels[:4])
    torch.testing.assert_close(expert.network(x), own.features(x), rtol=2e-2, atol=2e-3)


def test_a_whole_folder_is_added_or_nothing_of_it(empty, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(2):
        save_file(state(seed=n), folder / f"number {n}.safetensors")
    (folder / "notes.txt").write_text("not an expert")
    assert [row["name"] for row in add(empty, folder)] == ["number 0", "number 1"]
    (folder / "zero.safetensors").write_bytes(b"nothing")
    other = Bank(tmp_path / "other")
    with pytest.raises(InputError, match=r"zero\.safetensors"):
        add(other, folder)
    assert other.experts() == []
    assert not other.weights.exists()


def broken(change) -> dict[str, torch.Tensor]:
    values = state()
    change(values)
    return values


BAD = {
    "missing": (lambda s: s.pop("blocks.0.conv1.weight"), "'blocks.0.conv1.weight' is missing"),
    "shape": (lambda s: s.update({"conv1.weight": torch.zeros(16, 3, 5, 5)}), r"the shape \[16, 3, 5, 5\] in place of"),
    "surplus": (lambda s: s.update({"backdoor": torch.zeros(1)}), "'backdoor' is none of its layers"),
    "nan": (lambda s: s["bn1.weight"].fill_(float("nan")), "not finite in 'bn1.weight'"),
    "inf": (lambda s: s["bn1.bias"].fill_(float("inf")), "not finite in 'bn1.bias'"),
    "variance below 0": (lambda s: s["bn1.running_var"].fill_(-1), "features that are not finite"),
    "exploded": (lambda s: [v.mul_(1e30) for n, v in s.items() if "weight" in n], "features that are not finite"),
    "all zero": (lambda s: [v.zero_() for v in s.values()], "every image the same features"),
    "quantised": (lambda s: s.update({"conv1.weight": torch.ones(16, 3, 3, 3, dtype=torch.int8)}), "whole numbers in"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_weights_that_are_no_expert_leave_nothing_behind(empty, tmp_path, change, message):
    save_file(broken(change), tmp_path / "bad.safetensors")
    with pytest.raises(InputError, match=message):
        add(empty, tmp_path / "bad.safetensors")
    assert empty.experts() == []
    assert not empty.weights.exists()


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("evil-was-here"),))


@pytest.mark.parametrize("how", ["pickle", "newest pickle", "torch", "text", "cut"])
def test_files_of_other_kinds_are_never_opened_as_such(empty, tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "expert.safetensors"
    if how == "pickle":
        file.write_bytes(pickle.dumps(Evil(), protocol=2))
    elif how == "newest pickle":
        file.write_bytes(pickle.dumps(Evil()))
    elif how == "torch":
        torch.save(state(), file)
    elif how == "text":
        file.write_text("I am a text")
    else:
        save_file(state(), file)
        file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(InputError, match="not a safetensors file") as raised:
        add(empty, file)
    assert ("pickle" in str(raised.value)) == (how not in ("text", "cut"))
    assert not (tmp_path / "evil-was-here").exists()
    assert empty.experts() == []


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        (WEIGHTS, {"name": "../../evil"}, "hides a path"),
        (WEIGHTS, {"name": "a\\b"}, "hides a path"),
        (WEIGHTS, {"name": "a\x00b"}, "no name"),
        (WEIGHTS, {"task_id": "nothing"}, "no task 'nothing'"),
        (WEIGHTS, {"architecture": "resnet18"}, "does not hold the weights of a resnet18"),
        (WEIGHTS, {"architecture": "../resnet18"}, "no probe '../resnet18'"),
        (WEIGHTS, {"architecture": "timm/../x"}, "timm knows no model '../x'"),
        (WEIGHTS, {"input_size": 3}, "between 8 and 2048"),
        ("nowhere.safetensors", {}, "does not exist"),
        ("nowhere.pt", {}, "does not exist"),
        ("no/such/folder", {}, "does not exist"),
        ("resnet9000", {}, "no probe 'resnet9000'"),
        ("resnet18:last", {}, "matters for probes alone"),
        ("bundled", {"input_size": 64}, "--input-size is for files"),
    ],
)
def test_names_and_options_at_fault(empty, source, more, message):
    with pytest.raises(InputError, match=message):
        add(empty, source, **more)
    assert empty.experts() == []


def test_an_expert_of_another_architecture_sees_images_its_own_way(empty, tmp_path, monkeypatch):
    """A torchvision file with a classifier of its own, at a size of its own."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=7)
    save_file(network.state_dict(), tmp_path / "moths.safetensors")
    (row,) = add(empty, tmp_path / "moths.safetensors", "resnet18", input_size=64)
    kept = record(empty, row["id"])
    assert spec_of(kept) == InputSpec(73, 64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    expert = load_expert(kept, empty.weights, CPU)
    assert expert.features(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 512)
    assert "fc.weight" not in load_file(empty.weights / kept.weights_file)


def test_experts_by_name_come_from_the_local_weights(empty, tmp_path, monkeypatch):
    monkeypatch.setenv("T2V_WEIGHTS", str(tmp_path))
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), tmp_path / "timm_test_vit.safetensors")
    (row,) = add(empty, "timm/test_vit", name="a small transformer")
    kept = record(empty, row["id"])
    assert (kept.name, kept.architecture) == ("a small transformer", "timm/test_vit")
    expert = load_expert(kept, empty.weights, CPU)
    size = spec_of(kept).crop
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    from t2v_core.probe.registry import load_probe

    torch.testing.assert_close(
        expert.features(pixels), load_probe("timm/test_vit", CPU).features(pixels), rtol=5e-2, atol=5e-2
    )


def test_attention_survives_being_kept(empty, tmp_path, monkeypatch):
    """torchvision's attention is rewritten in a probe, with other names for its weights than its files have."""

    def small(name: str = "", classes: int = 9, **_: object) -> torchvision.models.VisionTransformer:
        return torchvision.models.VisionTransformer(224, 112, 1, 2, 16, 32, num_classes=classes)

    monkeypatch.setattr(torchvision.models, "get_model", small)
    torch.manual_seed(0)
    network = small(classes=5).eval()
    save_file(network.state_dict(), tmp_path / "v.safetensors")
    (row,) = add(empty, tmp_path / "v.safetensors", "vit_b_16")
    expert = load_expert(record(empty, row["id"]), empty.weights, CPU)
    network.heads = torch.nn.Identity()
    x = expert.normalise(np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8))
    torch.testing.assert_close(expert.network(x), network(x).detach(), rtol=2e-2, atol=2e-2)


@pytest.mark.slow
def test_tables_of_whole_numbers_are_the_architectures_own(empty, tmp_path):
    """A Swin transformer keeps one with its weights: which bias belongs to which pair of places."""
    torch.manual_seed(0)
    network = torchvision.models.swin_t(num_classes=3).eval()
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, tmp_path / "s.safetensors")
    (row,) = add(empty, tmp_path / "s.safetensors", "swin_t")
    expert = load_expert(record(empty, row["id"]), empty.weights, CPU)
    network.head = torch.nn.Identity()
    x = expert.normalise(np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8))
    torch.testing.assert_close(expert.network(x), network(x).detach(), rtol=5e-2, atol=5e-2)


def test_a_size_that_a_network_cannot_take_is_one_sentence(empty, tmp_path):
    torch.manual_seed(0)
    save_file(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "s.safetensors")
    with pytest.raises(InputError, match="takes no images of 8 pixels"):
        add(empty, tmp_path / "s.safetensors", "squeezenet1_1", input_size=8)
    assert empty.experts() == []


def test_a_training_that_diverges_is_no_expert(tmp_path, shapes, bundled):
    body = replace(SCALED.body, epochs=2, images_per_epoch=640, learning_rate=1e20)
    with pytest.raises(InputError, match="weights are not finite"):
        fine_tune(bundled, shapes, tmp_path, Schedule("wild", body))
    assert not list(tmp_path.iterdir())


def test_what_was_measured_at_another_size_is_forgotten(bank):
    expert = next(e for e in bank.experts() if e.id == "expert-digits")
    bank.save_expert(expert)
    assert "expert-digits" in bank.errors()
    spec = InputSpec(64, 64, SPEC.mean, SPEC.std)
    bank.save_expert(replace(expert, spec=spec))
    assert "expert-digits" not in bank.errors()
    bank.save_errors([ErrorEntry("digits", "expert-digits", 5.0, 10, "")])
    bank.save_expert(replace(expert, spec=spec))
    assert "expert-digits" in bank.errors()


def test_errors_measured_with_weights_that_have_gone_are_not_written(bank):
    bank.save_errors(
        [ErrorEntry("digits", "generic", 77.0, 10, ""), ErrorEntry("digits", "expert-shapes", 78.0, 10, "")],
        {"generic": "other weights", "expert-shapes": record(bank, "expert-shapes").weights_sha256},
    )
    assert bank.errors().loc["digits", "expert-shapes"] == 78
    assert bank.errors().loc["digits", "generic"] != 77
    bank.save_errors([ErrorEntry("gone", "generic", 1.0, 1, "")], {"generic": record(bank, "generic").weights_sha256})
    bank.save_errors([ErrorEntry("digits", "gone", 1.0, 1, "")], {"gone": "x"})


def test_numbers_too_large_for_half_precision_are_kept_whole(tmp_path):
    layer = torch.nn.Linear(2, 2)
    layer.weight.data.fill_(1e6)
    file, _ = keep_weights(layer, tmp_path)
    assert float(load_file(file)["weight"].max()) == 1e6


def test_cells_of_experts_of_several_widths_are_filled(bank, tmp_path, worlds):
    from t2v_core.filling import fill_errors

    torch.manual_seed(0)
    save_file(torchvision.models.resnet18(num_classes=2).state_dict(), tmp_path / "wide.safetensors")
    (row,) = add(bank, tmp_path / "wide.safetensors", "resnet18", input_size=32, task_id="shapes")
    tasks = {"stripes": worlds["stripes"].decoded}
    assert fill_errors(bank, tasks, bank.experts(), CPU, quiet) == 1
    assert 0 <= bank.errors().loc["stripes", row["id"]] <= 100


def test_training_by_command_puts_task_and_expert_into_the_bank(capsys, tmp_path, shapes):
    folder = write_folder(tmp_path / "shapes of mine", shapes, 12)
    command = ["experts", "train", str(folder), "--bank", str(tmp_path / "b"), "--json"]
    command += ["--epochs", "1", "--images-per-epoch", "64"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    bank = Bank(tmp_path / "b")
    kept = record(bank, found["id"])
    assert kept.name == "shapes of mine"
    assert kept.task_id in {t.id for t in bank.tasks()}
    assert spec_of(kept) == SPEC
    assert kept.training["settings"]["epochs"] == 1
    assert kept.training["settings"]["balanced"]
    before = kept.created
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["already"]
    assert record(bank, found["id"]).created == before
    assert main([*command, "--seed", "1", "--schedule", "nothing"]) == 2
    assert "no schedule 'nothing'" in capsys.readouterr().err


def test_adding_by_command_is_one_line_where_it_fails(capsys, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x02 a pickle")
    assert main(["experts", "add", str(tmp_path / "bad.safetensors"), "--bank", str(tmp_path / "b"), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("error:") == 1
    assert "pickle" in err


def test_an_expert_of_unknown_origin_comes_with_a_word_on_what_it_is_good_for(capsys, bank_path, tmp_path):
    save_file(state(), tmp_path / "mine.safetensors")
    options = ["experts", "add", str(tmp_path / "mine.safetensors"), "--bank", str(bank_path)]
    assert main(options) == 0
    assert "note: What 'mine' learned from is unknown" in capsys.readouterr().out
    assert main([*options, "--task", "shapes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []


def test_schedules_are_the_papers_or_scaled_ones():
    assert (PAPER.head_epochs, PAPER.body.epochs, PAPER.body.decay_at) == (10, 60, 40)
    assert (PAPER.body.images_per_epoch, PAPER.body.learning_rate, PAPER.body.weight_decay) == (10_000, 1e-3, 5e-4)
    large = choose_schedule("paper", InputSpec(256, 224, SPEC.mean, SPEC.std), seed=3)
    assert (large.body.padding, large.body.seed) == (28, 3)
    assert large.key == PAPER.key  # the seed is recorded apart, the border follows from the input
    assert choose_schedule("scaled", SPEC) == SCALED
    assert choose_schedule("scaled", SPEC, epochs=2).key != SCALED.key
    with pytest.raises(InputError, match="--epochs must be at least 1"):
        choose_schedule("scaled", SPEC, epochs=0)


def test_the_papers_rate_falls_to_a_tenth(bundled, shapes, monkeypatch):
    from t2v_core.probe import training

    rates = []
    original = torch.optim.SGD.step

    def step(self, *given, **more):
        rates.append(self.param_groups[0]["lr"])
        return original(self, *given, **more)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    settings = training.TrainingSettings(
        epochs=3, images_per_epoch=20, batch_size=10, learning_rate=0.1, decay_at=2, warmup=0
    )
    training.train_classifier(ResNet20(5), bundled.normalise(shapes.pixels[:20]), shapes.task.labels[:20], settings)
    np.testing.assert_allclose(rates, [0.1] * 4 + [0.01] * 2)
