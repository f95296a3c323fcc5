"""Heads: several sets at once, convergence, balance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from t2v_core.probe.heads import class_weights, fit_heads


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


def test_sets_fitted_together_are_fitted_as_if_alone():
    a, labels = blobs(30, 3, 6, 1.0, 1)
    b, _ = blobs(30, 3, 6, 3.0, 2)
    together = fit_heads(torch.stack([a, b]), labels, 3)
    for z, head in zip((a, b), together, strict=True):
        (alone,) = fit_heads(z[None], labels, 3)
        assert alone.steps == head.steps
        np.testing.assert_allclose(head.weight, alone.weight, rtol=1e-3, atol=1e-4)


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
