"""Heads on the features of several experts at once, of whatever widths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from t2v_core.probe.heads import Head, fit_heads


def fit_each(
    features: Sequence[Tensor], labels: np.ndarray, rows: np.ndarray, num_classes: int, seed: int
) -> list[Head]:
    """A head for each of E experts; those of one width are fitted together.

    Args:
        features: E of ``[N, d]``, all on one device; d may differ.
        labels: ``[N]`` class indices in ``0..num_classes-1``.
        rows: ``[N]`` true for the images to fit on.
        num_classes: K.
        seed: of the validation split.
    """
    by_width: dict[int, list[int]] = defaultdict(list)
    for e, z in enumerate(features):
        by_width[z.shape[1]].append(e)
    heads: dict[int, Head] = {}
    for members in by_width.values():
        stacked = torch.stack([features[e][torch.from_numpy(rows).to(features[e].device)] for e in members])
        heads |= zip(members, fit_heads(stacked, labels[rows], num_classes, seed), strict=True)
    return [heads[e] for e in range(len(features))]
