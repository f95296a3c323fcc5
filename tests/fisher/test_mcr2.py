"""The MCR^2 loss: hand cases, both determinants, its gradient, and what it must not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from t2v_core.fisher.mcr2 import mcr2_loss


def slow_mcr2(features: np.ndarray, labels: np.ndarray, eps_square: float, wide: bool) -> float:
    """WLF equations 8 to 10 as they stand, with d x d or, if ``wide``, m x m determinants."""
    Z = (features / np.linalg.norm(features, axis=1, keepdims=True)).T
    d, m = Z.shape

    def logdet(part: np.ndarray) -> float:
        product = part.T @ part if wide else part @ part.T
        return np.linalg.slogdet(np.eye(len(product)) + d / (part.shape[1] * eps_square) * product)[1]

    classes = [Z[:, labels == label] for label in np.unique(labels)]
    return -0.5 * logdet(Z) + sum(part.shape[1] / (2 * m) * logdet(part) for part in classes)


def slow_loss(features: torch.Tensor, labels: torch.Tensor, eps_square: float = 0.5) -> torch.Tensor:
    """The same for torch's autograd, in the d x d form."""
    Z = (features / features.norm(dim=1, keepdim=True)).T
    d, m = Z.shape

    def logdet(part: torch.Tensor) -> torch.Tensor:
        return torch.logdet(torch.eye(d, dtype=Z.dtype) + d / (part.shape[1] * eps_square) * part @ part.T)

    parts = [Z[:, labels == label] for label in labels.unique()]
    return -0.5 * logdet(Z) + sum(part.shape[1] / (2 * m) * logdet(part) for part in parts)


def batch(m: int, d: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(m, d))), torch.from_numpy(rng.integers(0, classes, m))


def test_two_orthogonal_features_by_hand():
    features = torch.eye(2, dtype=torch.float64) * torch.tensor([3.0, 0.1])[:, None]  # lengths do not count
    apart = mcr2_loss(features, torch.tensor([0, 1]))
    # R = 1/2 logdet(I + 2 / (2 * 1/2) I) = log 3; each class: 1/4 log(1 + 2 / (1 * 1/2)) = 1/4 log 5.
    assert float(apart) == pytest.approx(-math.log(3) + 0.5 * math.log(5), abs=1e-12)
    # In one class R_class is R.
    assert float(mcr2_loss(features, torch.tensor([7, 7]))) == pytest.approx(0, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 20), st.integers(1, 12), st.integers(1, 5), st.sampled_from([0.1, 0.5, 2.0]), st.integers(0, 99))
def test_equals_both_forms_of_the_determinants_and_is_never_positive(m, d, classes, eps_square, seed):
    features, labels = batch(m, d, classes, seed)
    found = float(mcr2_loss(features, labels, eps_square))
    for wide in (False, True):
        assert found == pytest.approx(slow_mcr2(features.numpy(), labels.numpy(), eps_square, wide), abs=1e-9)
    assert found <= 1e-9  # the whole needs at least the rate of its parts (Yu et al. 2020, lemma A.2)


@pytest.mark.parametrize(("m", "d"), [(9, 4), (5, 11)])
def test_the_gradient_agrees_with_finite_differences_and_with_the_slow_form(m, d):
    features, labels = batch(m, d, 3, 0)
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: mcr2_loss(z, labels), features, eps=1e-6, atol=1e-6)
    fast = torch.autograd.grad(mcr2_loss(features, labels), features)[0]
    slow = torch.autograd.grad(slow_loss(features, labels), features)[0]
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


def test_class_names_do_not_enter_and_sample_order_does_not_matter():
    features, labels = batch(30, 8, 4, 1)
    loss = mcr2_loss(features, labels)
    assert torch.equal(loss, mcr2_loss(features, torch.tensor([90, 3, 41, 7])[labels]))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss, mcr2_loss(features[order], labels[order]))


def test_prefers_compact_classes_that_lie_apart():
    labels = torch.arange(12) % 3
    compact = torch.eye(3, dtype=torch.float64)[labels] + 0.01 * batch(12, 3, 3, 2)[0]
    assert mcr2_loss(compact, labels) < mcr2_loss(compact, labels.roll(1) // 2) < 0
