"""Features, labels and probabilities drawn for the tests."""

from __future__ import annotations

import numpy as np


def clusters(
    seed: int = 0, images: int = 60, dimensions: int = 6, classes: int = 3, apart: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes whose means lie ``apart`` times a fixed random pattern; at least 2 images of each."""
    rng = np.random.default_rng(seed)
    pairs = np.repeat(np.arange(classes), 2)
    labels = rng.permutation(np.concatenate([pairs, rng.integers(0, classes, images - len(pairs))]))
    means = rng.normal(size=(classes, dimensions))
    noise = rng.normal(size=(len(labels), dimensions))
    return apart * means[labels] + noise + rng.normal(size=dimensions), labels


def probabilities(seed: int, images: int, classes: int, sharpness: float = 2.0) -> np.ndarray:
    """Softmax outputs ``[images, classes]``."""
    grown = np.exp(sharpness * np.random.default_rng(seed).normal(size=(images, classes)))
    return grown / grown.sum(1, keepdims=True)


def rotation(seed: int, dimensions: int) -> np.ndarray:
    """A random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dimensions, dimensions)))[0]
