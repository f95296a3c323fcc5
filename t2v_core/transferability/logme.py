"""LogME: the evidence that a Bayesian linear model on the features gives to the labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from t2v_core.transferability.arrays import FloatArray, class_codes, class_sums, matrix, varied

DECADES = 10
"""How far from the largest squared singular value the ratio of precisions is searched, on either side."""


def logme(features: ArrayLike, labels: ArrayLike) -> float:
    r"""Mean over classes of max_{a,b} log p(y_c | F, a, b) / N, in nats an image. Higher is better.

    y_c is 1 for the images of class c and 0 for the others; y_c = F w + noise, w ~ N(0, I / a),
    noise ~ N(0, I / b), so y_c ~ N(0, F F^T / a + I / b). For a given ratio l = a / b the best b is known,
    1 / b = q(l) / N with q(l) = y_c^T (F F^T / l + I)^-1 y_c, and with the singular values s of F

        log p / N = - (log(2 pi q(l) / N) + 1) / 2 - sum_i log(1 + s_i^2 / l) / (2 N).

    The paper iterates MacKay's fixed point for a and b; here the same maximum is found over l alone, on a grid
    and then between its points, so nothing can stall or diverge. Where fewer dimensions than images fit y_c
    without noise the evidence has no maximum: l / max s^2 is searched in 10^-10..10^10, which keeps it finite.

    Unchanged by rotation and scale of the features; not by a shift, for the model has no intercept.

    Source:
        You et al., LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML 2021: the
        maximum evidence of the linear model, averaged over classes one against the rest.

    Shape:
        - features: ``[N, d]`` of the target's images by the expert
        - labels: ``[N]`` of the target
        - returns: a scalar

    Raises:
        InputError: one class, constant features, NaN, or rows that do not match.
    """
    found = varied(matrix(features))
    codes = class_codes(labels, len(found), "LogME")
    left, singular, _ = np.linalg.svd(found, full_matrices=False)
    rank = int((singular > singular[0] * max(found.shape) * np.finfo(np.float64).eps).sum())
    squared = singular[:rank] ** 2
    along = class_sums(left[:, :rank], codes) ** 2
    beside = np.maximum(np.bincount(codes) - along.sum(1), 0)

    grid = np.log(squared[0]) + np.linspace(-DECADES, DECADES, 8 * DECADES + 1) * np.log(10)
    coarse = _evidence(grid, squared, along, beside, len(found))
    best = coarse.argmax(0)
    step = grid[1] - grid[0]
    total = 0.0
    for c, start in enumerate(best):
        refined = minimize_scalar(
            lambda x, c=c: -_evidence(np.array([x]), squared, along[c : c + 1], beside[c : c + 1], len(found))[0, 0],
            bounds=(grid[start] - step, grid[start] + step),
            method="bounded",
            options={"xatol": 1e-6},
        )
        total += max(-refined.fun, coarse[start, c])
    return float(total / len(best))


def _evidence(
    log_ratio: FloatArray, squared: FloatArray, along: FloatArray, beside: FloatArray, images: int
) -> FloatArray:
    """Log evidence per image at given ratios a / b, at the best b of each.

    Shape:
        - log_ratio: ``[G]``
        - squared: ``[r]`` squared singular values
        - along: ``[K, r]`` squared parts of the targets along the left singular vectors
        - beside: ``[K]`` squared length of what no feature reaches
        - returns: ``[G, K]``
    """
    growth = 1 + squared / np.exp(log_ratio)[:, None]
    misfit = (1 / growth) @ along.T + beside
    return -(np.log(2 * np.pi * misfit / images) + 1) / 2 - np.log(growth).sum(1)[:, None] / (2 * images)
