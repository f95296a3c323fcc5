"""PseudoTask: blind to labels, its soft head against a reference, its teacher, its two estimators, bad input."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from t2v_core.embedding import pseudotask
from t2v_core.embedding.pseudotask import ALGORITHM_1, PSEUDOTASK, PseudoTaskSettings, embed_pseudotask, softness
from t2v_core.embedding.task2vec import Task2VecSettings, embed_task
from t2v_core.errors import InputError
from t2v_core.fisher.variational import VariationalSettings, variational_fisher
from t2v_core.probe.heads import fit_regularised_head
from t2v_core.probe.soft_heads import fit_regularised_soft_head, fit_two_soft_epochs
from t2v_core.space.distances import symmetric

QUICK = PseudoTaskSettings(total_draws=1, chunks=4)
SHORT = VariationalSettings(epochs=2, epoch_size=20, batch_size=10)


@pytest.fixture
def few(shapes):
    """Twelve images of each shape, and as many held out."""
    rows = [
        np.flatnonzero((shapes.task.labels == k) & (shapes.task.held_out == h))[:12] for k in range(5) for h in (0, 1)
    ]
    return shapes.take(np.sort(np.concatenate(rows)))


@pytest.fixture
def soft():
    """Features ``[60, 6]`` and soft labels ``[60, 3]`` that they do not explain wholly."""
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(size=(60, 6)) * 3 + 1).float()
    logits = z @ torch.from_numpy(rng.normal(size=(6, 3))).float() + torch.from_numpy(rng.normal(size=(60, 3))).float()
    return z, torch.softmax(logits, 1)


# ---- labels


def test_labels_shuffled_or_absent_give_the_same_bits(bundled, few):
    task = few.task
    plain = embed_pseudotask(few, bundled, QUICK)
    shuffled = replace(task, labels=np.random.default_rng(0).permutation(task.labels))
    absent = replace(task, labels=np.zeros_like(task.labels), classes=("",))
    for other in (shuffled, absent):
        found = embed_pseudotask(replace(few, task=other), bundled, QUICK)
        np.testing.assert_array_equal(found.vector, plain.vector)
        np.testing.assert_array_equal(found.chunk_means, plain.chunk_means)
        assert found.facts == plain.facts


def test_the_variational_one_is_blind_to_labels_and_repeats_with_its_seed(bundled, few):
    settings = replace(ALGORITHM_1, variational=SHORT)
    absent = replace(few, task=replace(few.task, labels=np.zeros_like(few.task.labels), classes=("",)))
    a, b, c = (
        embed_pseudotask(d, bundled, s)
        for d, s in ((few, settings), (absent, settings), (few, replace(settings, seed=1)))
    )
    np.testing.assert_array_equal(a.vector, b.vector)
    assert not np.array_equal(a.vector, c.vector)
    assert len(a.facts["loss"]) == 2
    assert a.method == PSEUDOTASK
    assert a.space != embed_pseudotask(few, bundled, QUICK).space


def test_held_out_images_are_not_used(bundled, few):
    pixels = few.pixels.copy()
    pixels[few.task.held_out] = 0
    a, b = embed_pseudotask(few, bundled, QUICK), embed_pseudotask(replace(few, pixels=pixels), bundled, QUICK)
    np.testing.assert_array_equal(a.vector, b.vector)
    assert a.samples == 60


def test_the_embedding_is_a_fisher_diagonal_in_a_space_of_its_own(bundled, few):
    found = embed_pseudotask(few, bundled, QUICK)
    assert found.vector.shape == (784,)
    assert (found.vector >= 0).all()
    assert found.vector.any()
    np.testing.assert_allclose(found.chunk_weights, 0.25)  # every image counts the same
    np.testing.assert_allclose(found.chunk_weights @ found.chunk_means, found.vector, rtol=1e-4, atol=1e-12)
    assert found.space != embed_task(few, bundled, Task2VecSettings(total_draws=1, chunks=4)).fisher.space
    drawn = embed_pseudotask(few, bundled, replace(QUICK, seed=1))
    assert drawn.space == found.space
    hard = embed_pseudotask(few, bundled, replace(QUICK, labels="hard"))
    assert hard.space != found.space


def test_other_images_are_another_task(bundled, few, worlds):
    digits = worlds["digits"].decoded
    digits = digits.take(np.flatnonzero(~digits.task.held_out)[:30])
    exact = replace(QUICK, estimator="exact")
    halves = [few.take(np.arange(len(few)) % 4 // 2 == half) for half in (0, 1)]
    a, b, c = (embed_pseudotask(d, bundled, exact).vector for d in (*halves, digits))
    assert symmetric(a, b)[0, 0] < 0.5 * symmetric(a, c)[0, 0]


# ---- head and teacher


def test_the_soft_head_is_the_optimum_that_a_reference_finds(soft):
    z, theta = soft
    head = fit_regularised_soft_head(z, theta, weight_decay=0.05)
    # Every image three times, once as each class, weighted by the class's probability: the same loss.
    x = ((z - z.mean(0)) / z.std(0, correction=0)).numpy()
    reference = LogisticRegression(C=1 / 0.05, max_iter=5000, tol=1e-9)
    reference.fit(np.repeat(x, 3, axis=0), np.tile([0, 1, 2], 60), sample_weight=theta.numpy().ravel() / 60)
    np.testing.assert_allclose(torch.softmax(head.logits(z), 1).numpy(), reference.predict_proba(x), atol=2e-4)
    agree = head.logits(z).argmax(1) == theta.argmax(1)
    assert head.validation_accuracy == pytest.approx(float(agree.double().mean()))


def test_on_certain_labels_it_is_the_head_of_hard_labels(soft):
    z, _ = soft
    labels = np.arange(60) % 3
    soft_head = fit_regularised_soft_head(z, torch.eye(3)[labels])
    np.testing.assert_allclose(soft_head.weight, fit_regularised_head(z, labels, 3).weight, atol=1e-4)


def test_the_papers_two_epochs_start_towards_the_teacher(soft):
    z, theta = soft
    head, again = fit_two_soft_epochs(z, theta), fit_two_soft_epochs(z, theta)
    np.testing.assert_array_equal(head.weight, again.weight)
    gain = torch.nn.functional.cross_entropy(head.logits(z), theta)
    assert float(gain) < np.log(3) - 0.05
    assert np.abs(head.weight).max() < 400 * 1e-4 + 1e-6  # 400 steps of Adam at 1e-4 go no further
    assert head.validation_accuracy > 0.6


def test_softness_by_hand():
    uniform, sure = torch.full((2, 4), 0.25), torch.eye(4)[[0, 0, 2]]
    assert softness(uniform) == {"softness": pytest.approx(1), "confidence": 0.25, "classes_predicted": 1}
    assert softness(sure) == {"softness": 0, "confidence": 1, "classes_predicted": 2}
    assert softness(torch.tensor([[0.5, 0.5, 0, 0]]))["softness"] == pytest.approx(0.5)


def test_the_teacher_is_the_probes_own_classifier(bundled, few):
    z = bundled.features(few.pixels[~few.task.held_out])
    theta = torch.softmax(bundled.classifier(z), 1)
    facts = embed_pseudotask(few, bundled, QUICK).facts
    for name, value in softness(theta.detach()).items():
        assert facts[name] == pytest.approx(value)
    assert facts["agreement"] > 0.7


# ---- the variational estimate's images and labels


@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_the_teacher_is_asked_about_the_augmented_images(bundled, few, monkeypatch, labels):
    asked = {}

    def spy(*arguments, batch, **options):
        asked["images"], asked["targets"] = batch(np.arange(8))
        return variational_fisher(*arguments, batch=batch, **options)

    monkeypatch.setattr(pseudotask, "variational_fisher", spy)
    embed_pseudotask(few, bundled, replace(ALGORITHM_1, variational=SHORT, labels=labels))
    plain = bundled.normalise(few.pixels[~few.task.held_out][:8])
    assert asked["images"].shape == plain.shape
    assert not any(torch.equal(a, b) for a, b in zip(asked["images"], plain, strict=True))
    theta = torch.softmax(bundled.classifier(bundled.network(asked["images"])), 1)
    expected = theta if labels == "soft" else torch.eye(10)[theta.argmax(1)]
    torch.testing.assert_close(asked["targets"], expected.detach(), atol=1e-5, rtol=1e-4)


def test_certain_soft_labels_give_what_labels_give(bundled, few):
    pixels, labels = few.pixels[::3], few.task.labels[::3]
    labels = np.unique(labels, return_inverse=True)[1]
    head = fit_regularised_head(bundled.features(pixels), labels, labels.max() + 1)

    def certain(rows):
        return bundled.normalise(pixels[rows]), torch.eye(int(labels.max()) + 1)[labels[rows]]

    plain, soft = (variational_fisher(bundled, head, pixels, labels, SHORT, batch=batch) for batch in (None, certain))
    np.testing.assert_allclose(soft.fisher, plain.fisher, rtol=1e-3)


# ---- bad input


def test_a_probe_without_a_classifier_is_refused(random_probe, few):
    with pytest.raises(InputError, match=r"without a classifier.*teacher"):
        embed_pseudotask(few, random_probe, QUICK)


def test_a_classifier_whose_weights_are_no_numbers_is_refused(bundled, few):
    broken = replace(bundled, classifier=copy.deepcopy(bundled.classifier))
    with torch.no_grad():
        broken.classifier.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match="no numbers"):
        embed_pseudotask(few, broken, QUICK)


def test_a_classifier_that_says_the_same_of_all_images_is_refused(bundled, few):
    """Its soft labels carry nothing: the head's weights and their Fisher information would be rounding errors."""
    indifferent = replace(bundled, classifier=copy.deepcopy(bundled.classifier))
    with torch.no_grad():
        indifferent.classifier.weight.zero_()
    with pytest.raises(InputError, match="look the same to the probe"):
        embed_pseudotask(few, indifferent, QUICK)


def test_images_that_say_nothing_are_refused(bundled, few):
    with pytest.raises(InputError, match="fewer than two images"):
        embed_pseudotask(few.take(np.flatnonzero(~few.task.held_out)[:1]), bundled, QUICK)
    same = replace(few, pixels=np.repeat(few.pixels[:1], len(few), axis=0))
    with pytest.raises(InputError, match="look the same"):
        embed_pseudotask(same, bundled, QUICK)


def test_hard_labels_of_one_class_are_refused(bundled, few):
    theta = bundled.classifier(bundled.features(few.pixels)).argmax(1).numpy()
    train = ~few.task.held_out
    common = np.bincount(theta[train]).argmax()
    alike = few.take(train & (theta == common))
    assert len(alike) > 2
    with pytest.raises(InputError, match="use soft labels"):
        embed_pseudotask(alike, bundled, replace(QUICK, labels="hard"))
