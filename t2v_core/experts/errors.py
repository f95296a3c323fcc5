"""The error matrix: test error of a linear head on each expert's frozen features (T2V supplement 4.1)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from t2v_core.probe.heads import fit_heads

PROTOCOL = (
    "linear head on frozen features (bfloat16 where fast), full-batch Adam with early stopping, "
    "balanced error on held-out images"
)


def balanced_error(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes present of the share misclassified, in %.

    Args:
        predicted, labels: ``[N]`` class indices.
    """
    return 100 * float(np.mean([np.mean(predicted[labels == k] != k) for k in np.unique(labels)]))


def task_errors(features: Tensor, labels: np.ndarray, held_out: np.ndarray, seed: int = 0) -> list[float]:
    """Test error (%) of one task under E experts.

    Args:
        features: ``[E, N, d]`` each expert's features of the task's images.
        labels: ``[N]`` class indices.
        held_out: ``[N]`` true for test images; heads are fitted on the others.
        seed: of the validation split inside the training images.

    Returns:
        E balanced errors in %.
    """
    classes, labels = np.unique(labels, return_inverse=True)
    train = torch.from_numpy(np.flatnonzero(~held_out)).to(features.device)
    test = torch.from_numpy(np.flatnonzero(held_out)).to(features.device)
    heads = fit_heads(features[:, train], labels[~held_out], len(classes), seed)
    return [
        balanced_error(head.logits(features[e, test]).argmax(1).cpu().numpy(), labels[held_out])
        for e, head in enumerate(heads)
    ]
