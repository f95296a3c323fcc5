"""Heads: several sets at once, convergence, balance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from t2v_core.probe import heads
from t2v_core.probe.heads import class_weights, fit_heads, fit_regularised_head
from t2v_core.task.sampling import stratified_split


def blobs(per_class: int, classes: int, dim: int, spread: float, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    centres = rng.normal(size=(classes, dim)) * 2
    return torch.from_numpy(centres[labels] + spread * rng.normal(size=(len(labels), dim))).float(), labels


def test_learns_what_a_reference_learns():
    z, labels = blobs(60, 4, 10, 1.5, 0)
    fresh, fresh_labels = z[::2], labels[::2]
    (head,) = fit_heads(z[None, 1::2], labels[1::2], 4)
    ours = float((head.logits(fresh).argmax(1).numpy() == fresh_labels).mean())
    reference = LogisticRegression(C=0.1, max_iter=1000).fit(z[1::2], labels[1::2]).score(fresh, fresh_labels)
    assert ours > reference - 0.05
    assert abs(head.validation_accuracy - ours) < 0.15
    assert head.validation_size == 24


def test_the_accuracy_of_very_uneven_classes_is_balanced():
    """Two images of one class and 100 of the other: each counts for half of the accuracy."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [2, 100])
    z = torch.from_numpy(rng.normal(size=(102, 3))).float()  # nothing to learn from
    for head in (fit_regularised_head(z, labels, 2), fit_heads(z[None], labels, 2)[0]):
        held = head.validation_size - 1  # of the large class, and one of the small
        shares = {hit / 2 + right / held / 2 for hit in (0, 1) for right in range(held + 1)}
        assert min(abs(head.validation_accuracy - share) for share in shares) < 1e-6


def test_early_stopping_of_very_uneven_classes_is_that_of_a_plain_loop():
    """A class of 2 images, of which one is set aside, has another share there than in the whole."""
    labels = np.repeat([0, 1, 2], [2, 40, 90])
    for seed in range(12):
        noise = np.random.default_rng(seed).normal(size=(132, 8))
        z = torch.from_numpy(noise + 1.5 * np.eye(3, 8)[labels]).float()
        assert fit_heads(z[None], labels, 3)[0].steps == steps_of_a_plain_loop(z, labels)


def steps_of_a_plain_loop(z: torch.Tensor, labels: np.ndarray) -> int:
    """Until patience is over, on losses that are a mean over classes of means over images."""
    x = (z - z.mean(0)) / z.std(0, correction=0)
    held = stratified_split(labels, heads.VALIDATION_SHARE, 0)
    layer = torch.nn.Linear(z.shape[1], 3)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    adam = torch.optim.Adam(layer.parameters(), lr=heads.LEARNING_RATE, eps=heads.EPSILON)

    def loss(part):
        of_classes = [layer(x[part & (labels == k)]).log_softmax(1)[:, k].mean() for k in range(3)]
        return -torch.stack(of_classes).mean()

    best, best_step = np.inf, 0
    for step in range(1, heads.MAX_STEPS + 1):
        adam.zero_grad()
        (loss(~held) + 0.5 * heads.WEIGHT_DECAY * layer.weight.pow(2).sum()).backward()
        adam.step()
        if step % heads.CHECK_EVERY == 0:
            now = float(loss(held).detach())
            if now < best:
                best, best_step = now, step
            elif step - best_step >= heads.PATIENCE:
                break
    return best_step


def test_sets_fitted_together_are_fitted_as_if_alone():
    a, labels = blobs(30, 3, 6, 1.0, 1)
    b, _ = blobs(30, 3, 6, 3.0, 2)
    together = fit_heads(torch.stack([a, b]), labels, 3)
    for z, head in zip((a, b), together, strict=True):
        (alone,) = fit_heads(z[None], labels, 3)
        assert alone.steps == head.steps
        np.testing.assert_allclose(head.weight, alone.weight, rtol=1e-3, atol=1e-4)


def test_a_set_stops_when_it_is_done_however_long_the_others_take():
    sets = torch.stack([blobs(20, 3, 20, 0.05, 9)[0], *(blobs(20, 3, 20, spread, 109)[0] for spread in (1.5, 2.5))])
    labels = np.repeat(np.arange(3), 20)
    third = fit_heads(sets, labels, 3)[2]
    (alone,) = fit_heads(sets[2:], labels, 3)
    assert third.steps == pytest.approx(alone.steps, abs=10)
    assert third.steps < 100  # going on with the first two, it was stopped at 340 for a late, minute gain


def test_acts_on_raw_features_whatever_their_scale():
    z, labels = blobs(30, 3, 6, 1.0, 3)
    (plain,) = fit_heads(z[None], labels, 3)
    (moved,) = fit_heads(1000 * z[None] + 77, labels, 3)
    torch.testing.assert_close(plain.logits(z), moved.logits(1000 * z + 77), rtol=1e-2, atol=1e-2)


def test_a_constant_feature_does_no_harm():
    z, labels = blobs(20, 2, 4, 1.0, 4)
    z[:, 1] = 5
    (head,) = fit_heads(z[None], labels, 2)
    assert np.isfinite(head.weight).all()


def test_class_weights_are_balanced():
    labels = np.array([0, 0, 0, 2])
    weights = class_weights(labels, 3)
    assert weights.sum() == pytest.approx(1)
    assert weights[:3].sum() == pytest.approx(weights[3])


@pytest.mark.parametrize(("classes", "features"), [(2, 6), (4, 6), (3, 200)])
def test_the_regularised_head_is_the_optimum_that_a_reference_finds(classes, features):
    z, labels = blobs(30, classes, features, 2.0, 5)
    z, labels = z[7:], labels[7:]  # unequal classes; with 200 features, fewer images than those
    x = ((z - z.mean(0)) / z.std(0, correction=0)).numpy()
    weights = class_weights(labels, classes)
    head = fit_regularised_head(z, labels, classes, weight_decay=0.05)
    # With two classes scikit-learn has one weight vector w for W = (-w/2, w/2): half the penalty.
    reference = LogisticRegression(C=(2 if classes == 2 else 1) / 0.05, max_iter=5000, tol=1e-8)
    expected = reference.fit(x, labels, sample_weight=weights).predict_proba(x)
    np.testing.assert_allclose(torch.softmax(head.logits(z), 1).numpy(), expected, atol=2e-4)


def test_a_regularised_head_is_hardly_surer_for_having_few_images():
    """What F is made of, p (1 - p), on 60 and on 1,200 images of one world."""
    z, labels = blobs(400, 3, 40, 10.0, 6)
    few = np.concatenate([np.flatnonzero(labels == k)[:20] for k in range(3)])

    def doubt(rows, weight_decay):
        head = fit_regularised_head(z[rows], labels[rows], 3, weight_decay=weight_decay)
        p = torch.softmax(head.logits(z[rows]), 1)
        return float((p * (1 - p)).sum(1).mean()), head

    many, head = doubt(slice(None), 0.05)
    assert many / doubt(few, 0.05)[0] < 1.7
    assert doubt(slice(None), 5e-4)[0] / doubt(few, 5e-4)[0] > 10
    assert head.validation_size == 240
    assert 0.5 < head.validation_accuracy < 0.8
