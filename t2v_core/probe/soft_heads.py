"""Linear heads fitted to soft labels: a distribution over the classes for every image, as a teacher gives it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from t2v_core.probe.heads import REGULARISATION, SHORT_BATCH, Head, minimise


def fit_regularised_soft_head(features: Tensor, targets: Tensor, weight_decay: float = REGULARISATION) -> Head:
    """The minimum of the cross entropy to soft labels plus weight_decay / 2 ||W||^2 on standardised features.

    It is ``heads.fit_regularised_head`` for labels that are distributions: convex, so that the head depends on
    the images and the teacher alone. All images weigh the same, there being no classes to balance.

    Args:
        features: ``[N, d]``.
        targets: ``[N, K]`` rows that sum to 1.
        weight_decay: strength of the L2 penalty; biases are free.

    Returns:
        The head; its accuracy is how often it agrees with the teacher on these images, its validation size 0.
    """
    goal = targets.double()
    head = minimise(features, goal.shape[1], weight_decay, lambda logits: functional.cross_entropy(logits[0].T, goal))
    return replace(head, validation_accuracy=_agreement(head.logits(features), targets))


def fit_two_soft_epochs(features: Tensor, targets: Tensor, seed: int = 0) -> Head:
    """WLF Algorithm 1's head start: from zero, two epochs of Adam at 1e-4 on 10,000 images each.

    Args:
        features: ``[N, d]`` float32.
        targets: ``[N, K]`` rows that sum to 1.
        seed: of the images drawn.

    Returns:
        The head; its accuracy is how often it agrees with the teacher on these images, its validation size 0.
    """
    linear = torch.nn.Linear(features.shape[1], targets.shape[1], device=features.device)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    optimiser = torch.optim.Adam(linear.parameters(), lr=1e-4)
    drawn = np.random.default_rng([seed, 4]).integers(0, len(features), (2 * 10_000 // SHORT_BATCH, SHORT_BATCH))
    for rows in torch.from_numpy(drawn).to(features.device):
        optimiser.zero_grad()
        functional.cross_entropy(linear(features[rows]), targets[rows]).backward()
        optimiser.step()
    agreement = _agreement(linear(features), targets)
    weight, bias = (p.detach().cpu().numpy() for p in (linear.weight, linear.bias))
    return Head(weight, bias, agreement, 0, len(drawn))


def _agreement(logits: Tensor, targets: Tensor) -> float:
    """Share of the images to which two predictions give the same class."""
    return float((logits.argmax(1) == targets.argmax(1)).double().mean())
