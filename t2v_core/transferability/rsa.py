"""RSA: do two networks find the same images alike?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

from t2v_core.errors import InputError
from t2v_core.transferability.arrays import ROUNDING, FloatArray, matrix


def rsa(features: ArrayLike, other: ArrayLike) -> float:
    """Spearman correlation, -1..1, of two networks' image dissimilarities. Higher is better.

    Each network's dissimilarity of images i and j is 1 - r_ij, the Pearson correlation of their features;
    the entries above the diagonal are compared by rank. The networks' dimensions may differ. Symmetric;
    unchanged by the order of the images, by the scale of the features, and by a rotation that keeps each
    image's mean.

    The paper compares the expert with a (small) network trained on the target, which is one more training per
    target; the probe's features may stand in for it. Memory grows with the square of the images: about 100 MB
    for 2,000.

    Source:
        Dwivedi and Roig, Representation Similarity Analysis for Efficient Task Taxonomy & Transfer Learning,
        CVPR 2019: dissimilarity matrices by Pearson's, compared by Spearman's correlation.

    Args:
        features: of the target's images by the expert.
        other: of the same images, in the same order, by the network that stands for the target.

    Shape:
        - features: ``[N, d]``
        - other: ``[N, e]``
        - returns: a scalar

    Raises:
        InputError: fewer than 3 images, rows that do not match, NaN, an image whose features are all equal, or
            images all equally alike.
    """
    pairs = _pairs(features, "expert's features"), _pairs(other, "reference network's features")
    if pairs[0].shape != pairs[1].shape:
        raise InputError(
            "RSA compares two networks on the same images, and the rows of their features do not match "
            f"({len(np.asarray(features))} and {len(np.asarray(other))}); give both for all images, in one order"
        )
    return float(spearmanr(*pairs).statistic)


def _pairs(features: ArrayLike, what: str) -> FloatArray:
    """Correlations of all pairs of images ``[N (N - 1) / 2]``; the ranks of 1 - r are theirs, reversed."""
    found = matrix(features, what)
    if len(found) < 3:
        raise InputError(f"RSA compares pairs of images and got {len(found)} images; give at least 3")
    flat = np.ptp(found, axis=1) <= ROUNDING * np.abs(found).max(1)
    if flat.any():
        raise InputError(
            f"the {what} of image {int(flat.argmax())} are constant, so its correlation with other images does "
            "not exist; check the network or leave the image out"
        )
    pairs = np.asarray(np.corrcoef(found))[np.triu_indices(len(found), 1)]
    if np.ptp(pairs) <= ROUNDING:
        raise InputError(f"the {what} make all images equally alike, so RSA has nothing to rank; check the network")
    return pairs
