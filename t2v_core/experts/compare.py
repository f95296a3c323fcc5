"""Comparing experts on one's own images: the accuracy of a head fitted on each one's features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

from t2v_core.experts.heads import fit_each
from t2v_core.probe.heads import Head

FOLDS = 5
Z95 = 1.959964


@dataclass(frozen=True)
class Fitted:
    """How well a linear head on one expert's features does on images it was not fitted on.

    Attributes:
        accuracy: share classified correctly, 0..1.
        low, high: 95 % Wilson interval.
        n: images it was measured on.
        how: ``"held-out images"`` or ``"5-fold cross validation"``.
        head: fitted on all images that are not held out.
        right: ``[n]`` which of those images it got right.
    """

    accuracy: float
    low: float
    high: float
    n: int
    how: str
    head: Head
    right: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))


@dataclass(frozen=True)
class Gain:
    """How many more of the same images one head gets right than another, as a share: -1..1.

    Attributes:
        gain: as counted.
        low, high: its interval.
    """

    gain: float
    low: float
    high: float


def paired_gain(one: Fitted, other: Fitted, compared: int = 1) -> Gain:
    """The difference of two shares of the same images, by the adjusted Wald interval (Agresti and Min 2005).

    Both heads looked at the same images, so only those that one of them got wrong tell them apart: far fewer chances
    for noise than two intervals of their own suggest.

    Args:
        one, other: fitted by the same ``compare_experts``.
        compared: heads among which ``one`` may have been singled out for its accuracy. The interval holds for all of
            them at 95 % (Bonferroni).
    """
    ahead, behind = float((one.right & ~other.right).sum()), float((other.right & ~one.right).sum())
    n = len(one.right)
    # Half an image is added to each of the four cells of the table.
    shift, spread, total = (ahead - behind) / (n + 2), ahead + behind + 1, n + 2
    half = norm.isf(0.025 / compared) * np.sqrt(max(0.0, spread - shift**2 * total)) / total
    return Gain((ahead - behind) / n, max(-1.0, shift - half), min(1.0, shift + half))


def wilson(correct: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = correct / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def fold_numbers(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Stratified fold ``[N]`` of each sample; no more folds than the smallest class has images."""
    rng = np.random.default_rng(seed)
    _, counts = np.unique(labels, return_counts=True)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), dtype=np.int64)
    fold[order] = np.arange(len(labels)) % max(2, min(folds, int(counts.min())))
    return fold


def compare_experts(
    features: Sequence[Tensor] | Tensor, labels: np.ndarray, held_out: np.ndarray, seed: int = 0
) -> list[Fitted]:
    """Fit and validate a head for each of E experts.

    Where the task has held-out images they are the test; otherwise stratified cross validation uses
    every image once for testing, which gives the tightest interval the images allow.

    Args:
        features: E of ``[N, d]``, features of all images under each expert; d may differ.
        labels: ``[N]`` class indices.
        held_out: ``[N]`` true for test images.
        seed: of folds and validation splits.
    """
    classes, labels = np.unique(labels, return_inverse=True)
    num_classes, features = len(classes), list(features)
    right = np.zeros((len(features), len(labels)), dtype=bool)
    if held_out.any():
        how, folds = "held-out images", [held_out]
    else:
        fold = fold_numbers(labels, FOLDS, seed)
        folds = [fold == k for k in range(int(fold.max()) + 1)]
        how = f"{len(folds)}-fold cross validation"
    for test in folds:
        heads = fit_each(features, labels, ~test, num_classes, seed)
        for e, head in enumerate(heads):
            rows = torch.from_numpy(test).to(features[e].device)
            predicted = head.logits(features[e][rows]).argmax(1).cpu().numpy()
            right[e, test] = predicted == labels[test]
    final = heads if held_out.any() else fit_each(features, labels, ~held_out, num_classes, seed)
    tested = np.logical_or.reduce(folds)
    return [_fitted(one, how, head) for one, head in zip(right[:, tested], final, strict=True)]


def _fitted(right: NDArray[np.bool_], how: str, head: Head) -> Fitted:
    correct, n = int(right.sum()), len(right)
    return Fitted(correct / n, *wilson(correct, n), n, how, head, right)
