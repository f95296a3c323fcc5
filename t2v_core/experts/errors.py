"""The error matrix: test error of a linear head on each expert's frozen features (T2V supplement 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from t2v_core.experts.heads import fit_each
from t2v_core.task.record import BoolArray, Task
from t2v_core.task.sampling import stratified_split

PROTOCOL = "linear head, frozen features, balanced test error"
"""As every cell of the matrix keeps it. Features are bfloat16 where that is fast; Adam stops the head early."""

DRAWN = "; a random 30 % serves as held-out images"
TEST_SHARE = 0.3


def held_out_of(task: Task) -> tuple[BoolArray, str]:
    """Which of a task's images test a head, and how to record it.

    Returns:
        ``[N]`` true for the task's held-out images, or for a seeded share of every class where it keeps none;
        and the protocol.
    """
    if task.held_out.any():
        return task.held_out, PROTOCOL
    return stratified_split(task.labels, TEST_SHARE, seed=0), PROTOCOL + DRAWN


def balanced_error(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes present of the share misclassified, in %.

    Args:
        predicted, labels: ``[N]`` class indices.
    """
    return 100 * float(np.mean([np.mean(predicted[labels == k] != k) for k in np.unique(labels)]))


def task_errors(
    features: Sequence[Tensor] | Tensor, labels: np.ndarray, held_out: np.ndarray, seed: int = 0
) -> list[float]:
    """Test error (%) of one task under E experts.

    Args:
        features: E of ``[N, d]``, each expert's features of the task's images; d may differ.
        labels: ``[N]`` class indices.
        held_out: ``[N]`` true for test images; heads are fitted on the others.
        seed: of the validation split inside the training images.

    Returns:
        E balanced errors in %.
    """
    classes, labels = np.unique(labels, return_inverse=True)
    heads = fit_each(list(features), labels, ~held_out, len(classes), seed)
    test = torch.from_numpy(held_out)
    return [
        balanced_error(head.logits(z[test.to(z.device)]).argmax(1).cpu().numpy(), labels[held_out])
        for z, head in zip(features, heads, strict=True)
    ]
