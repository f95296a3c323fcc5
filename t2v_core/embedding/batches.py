"""Class-balanced batches that do not depend on how the classes are numbered."""

from __future__ import annotations

import numpy as np

from t2v_core.task.record import IntArray
from t2v_core.task.sampling import quotas


def balanced_batch(labels: IntArray, size: int, rng: np.random.Generator) -> IntArray:
    """Rows of a class-balanced batch, no image twice; what a small class leaves of its share goes to the larger ones.

    Of more than size / 2 classes, some are drawn, first of all among those that have two images: without a companion
    of its class an image says nothing of the classes. How classes are numbered does not matter.

    Args:
        labels: ``[N]`` class indices.
        size: images wanted; all N if there are no more.
        rng: draws them.
    """
    if len(labels) <= size:
        return np.arange(len(labels))
    order = rng.permutation(len(labels))
    names, first, counts = np.unique(labels[order], return_index=True, return_counts=True)
    classes = rng.permutation(np.argsort(first))
    classes = classes[np.argsort(counts[classes] < 2, kind="stable")][: size // 2]
    shares = quotas(counts[classes], min(size, int(counts[classes].sum())))
    rows = [order[labels[order] == names[k]][:share] for k, share in zip(classes, shares, strict=True)]
    return np.sort(np.concatenate(rows))
