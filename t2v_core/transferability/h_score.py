"""H-score: how much of the features' variance the classes explain, plain and with a shrunk covariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.covariance import ledoit_wolf_shrinkage

from t2v_core.transferability.arrays import ROUNDING, Codes, FloatArray, class_codes, class_sums, matrix, varied


def h_score(features: ArrayLike, labels: ArrayLike) -> float:
    r"""H = tr(cov(f)^+ cov(E[f | y])), between 0 and K - 1. Higher is better.

    Unchanged by any invertible linear map of the features. With the thin singular value decomposition of the
    centred features, U S V^T, it is the squared length of the class sums of U's rows over the class sizes, so
    neither covariance is formed.

    As many dimensions as images less one explain every labelling in full: the score is then K - 1 for all
    experts alike and chooses none of them. ``h_score_shrunk`` still does.

    Source:
        Bao et al., An Information-Theoretic Approach to Transferability in Task Transfer Learning, ICIP 2019:
        the definition of the H-score.

    Shape:
        - features: ``[N, d]`` of the target's images by the expert
        - labels: ``[N]`` of the target
        - returns: a scalar

    Raises:
        InputError: one class, a class with one image, constant features, NaN, or rows that do not match.
    """
    explained, _, found, codes = _explained(features, labels, "H-score")
    if len(explained) == len(found) - 1:
        return float(codes.max())
    return float(explained.sum())


def h_score_shrunk(features: ArrayLike, labels: ArrayLike) -> float:
    r"""H_a = tr(cov_a(f)^-1 (1 - a) cov(E[f | y])), cov_a = (1 - a) cov(f) + a tr(cov(f)) / d I. Higher is better.

    a is the shrinkage of Ledoit and Wolf. In the basis of the singular vectors each component of the plain
    score is weighted by (1 - a) v / ((1 - a) v + a mean(v)), v its variance, so this is never above
    ``h_score``. Unchanged by rotation, shift and scale of the features.

    Source:
        Ibrahim, Ponomareva and Mazumder, Newer is not always better: Rethinking Transferability Metrics, their
        Peculiarities, Stability and Performance, ECML 2022: the shrinkage-based H-score. Shrinkage: Ledoit and
        Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.

    Shape:
        - features: ``[N, d]`` of the target's images by the expert
        - labels: ``[N]`` of the target
        - returns: a scalar

    Raises:
        InputError: as ``h_score``.
    """
    explained, variance, found, _ = _explained(features, labels, "H-score (shrunk)")
    shrinkage = float(ledoit_wolf_shrinkage(found))
    kept = (1 - shrinkage) * variance
    return float(explained @ (kept / (kept + shrinkage * variance.sum() / found.shape[1])))


def _explained(features: ArrayLike, labels: ArrayLike, score: str) -> tuple[FloatArray, FloatArray, FloatArray, Codes]:
    """Per principal component: the share of its variance that lies between classes, and that variance.

    Shape:
        - returns: shares ``[r]`` in 0..1 and variances times N ``[r]``, r the rank; checked features and class codes
    """
    found = varied(matrix(features))
    codes = class_codes(labels, len(found), score, per_class=2)
    left, singular, _ = np.linalg.svd(found - found.mean(0), full_matrices=False)
    rank = int((singular > singular[0] * max(found.shape) * ROUNDING).sum())
    sums = class_sums(left[:, :rank], codes)
    return (sums**2 / np.bincount(codes)[:, None]).sum(0), singular[:rank] ** 2, found, codes
