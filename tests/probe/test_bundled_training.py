"""The recipe of the bundled probe: its parts, what teaches what, and going on after being cut off."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from t2v_core.probe.bundled import SPEC
from t2v_core.probe.bundled_training import RECIPE, Recipe, train_bundled
from t2v_core.probe.distillation import TEMPERATURE, Distillation, TaughtCopies, distil
from t2v_core.probe.network import ResNet20
from t2v_core.probe.probe import normalise
from t2v_core.probe.training import TrainingSettings

CPU = torch.device("cpu")
SHORT = TrainingSettings(epochs=1, batch_size=32, erase=0.5)
QUICK = Recipe(SHORT, SHORT, 2, (Distillation(SHORT, (0, 1), 0.1), Distillation(SHORT, (2, 0))), plain=2)


@pytest.fixture
def halves(shapes):
    return shapes.take(~shapes.task.held_out), shapes.take(shapes.task.held_out)


def test_training_writes_what_loading_reads(tmp_path, halves):
    train, test = halves
    card = train_bundled(train, test, QUICK, CPU, tmp_path)
    assert json.loads((tmp_path / "bundled.json").read_text()) == json.loads(json.dumps(card))
    assert card["classes"] == list(train.task.classes)
    assert card["train_content_hash"] == train.content_hash
    assert 0 <= card["test_accuracy"] <= 1
    assert card["test_accuracy_float32"] == pytest.approx(card["test_accuracy"], abs=0.05)
    again = ResNet20(len(train.task.classes))
    again.load_state_dict(
        {name: v.float() for name, v in load_file(tmp_path / "bundled.safetensors").items()}, strict=False
    )
    again.eval()
    with torch.inference_mode():
        right = again(normalise(test.pixels, SPEC, CPU)).argmax(1).numpy() == test.task.labels
    assert card["test_accuracy_float32"] == pytest.approx(right.mean())
    assert load_file(tmp_path / "bundled.safetensors")["fc.weight"].dtype == torch.float16


@pytest.mark.slow
def test_a_training_goes_on_from_its_finished_parts(tmp_path, halves):
    said = []

    def run(name, recipe=QUICK, parts=None):
        said.clear()
        (tmp_path / name).mkdir()
        train_bundled(*halves, recipe, CPU, tmp_path / name, parts, lambda part, *_: said.append(part))
        return load_file(tmp_path / name / "bundled.safetensors")

    def same(a, b):
        return all(torch.equal(a[k], b[k]) for k in a)

    parts = tmp_path / "parts"
    whole = run("whole")
    first = run("first", parts=parts)
    assert said == ["alone", "teacher", "taught-1", "taught-2"]
    assert same(first, whole)
    assert same(run("again", parts=parts), whole)
    assert not said
    (parts / "taught-1.safetensors").unlink()
    assert same(run("cut off", parts=parts), whole)
    assert said == ["taught-1"]
    other = run("other seed", QUICK.varied(7), parts)
    assert said == ["alone", "teacher", "taught-1", "taught-2"]
    assert not same(other, whole)


def test_varied_recipes_keep_everything_else():
    varied = RECIPE.varied(5, epochs=100)
    assert (varied.alone.epochs, varied.teacher.epochs) == (100, 60)
    assert [d.training.seed for d in varied.taught] == [6, 6]
    assert replace(varied, alone=RECIPE.alone, teacher=RECIPE.teacher, taught=RECIPE.taught) == RECIPE
    assert RECIPE.varied(0) == RECIPE


@pytest.fixture
def images():
    return torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def linear(seed, classes=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, classes))


def test_copies_are_the_same_whenever_asked_and_answered_by_all_teachers(images):
    teachers = [linear(1), linear(2)]
    copies = TaughtCopies(images, teachers, TrainingSettings(erase=0.5), plain=1)
    (plain, answers), (mixed, _) = copies[0], copies[1]
    again = TaughtCopies(images, teachers, TrainingSettings(erase=0.5), plain=1)
    assert torch.equal(again[0][0], plain)
    assert torch.equal(again[1][0], mixed)
    assert not torch.equal(plain, mixed)
    answers_by_hand = sum(
        torch.softmax(teacher(view) / TEMPERATURE, 1) for teacher in teachers for view in (plain, plain.flip(3))
    )
    torch.testing.assert_close(answers, answers_by_hand.detach() / 4, atol=0.01, rtol=0.01)  # bfloat16
    torch.testing.assert_close(answers.sum(1), torch.ones(40))


def test_a_mixed_copy_lies_between_two_images(images):
    """Images of one colour each: a mixture of two has a colour between theirs, and stays of one colour."""
    flat = torch.arange(40.0)[:, None, None, None].expand(40, 3, 8, 8).contiguous()
    mixed, _ = TaughtCopies(flat, [linear(0)], TrainingSettings(erase=0.0), plain=0)[0]
    assert (mixed.amax((1, 2, 3)) - mixed.amin((1, 2, 3))).abs().max() < 1e-4
    assert (mixed >= 0).all()
    assert (mixed <= 39).all()
    assert len(mixed[:, 0, 0, 0].unique()) > 30
    assert not torch.allclose(mixed, flat)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_loss_is_hintons(images, share):
    """One step over all images: the loss against cross entropy and divergence written out."""
    student, labels = linear(3), np.arange(40) % 4
    copies = TaughtCopies(images, [linear(1)], TrainingSettings(erase=0.0), plain=1)
    seen, p = copies[0]
    logits = student(seen).detach().double()
    q = torch.softmax(logits / TEMPERATURE, 1)
    divergence = (p * (p.double().log() - q.log())).sum(1).mean()
    entropy = -torch.log_softmax(logits, 1)[torch.arange(40), torch.from_numpy(labels)].mean()
    expected = share * entropy + (1 - share) * TEMPERATURE**2 * divergence
    training = TrainingSettings(epochs=1, batch_size=40, flip=False)
    found = distil(student, copies, labels, Distillation(training, (0,), share))
    assert found == pytest.approx(float(expected), rel=0.03)  # bfloat16


def test_a_student_without_labels_comes_to_answer_like_its_teacher(images):
    student = linear(3)
    copies = TaughtCopies(images, [linear(1)], TrainingSettings(padding=0, erase=0.0), plain=1)
    seen, answers = copies[0]  # of the teacher to both an image and its mirror image
    before = (student(seen).argmax(1) == answers.argmax(1)).float().mean()
    training = TrainingSettings(epochs=60, batch_size=20, learning_rate=0.02, weight_decay=0.0, flip=False)
    distil(student, copies, np.zeros(40), Distillation(training, (0,)))
    after = (student(seen).argmax(1) == answers.argmax(1)).float().mean()
    assert before < 0.6
    assert after > 0.8
