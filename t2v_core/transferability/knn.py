"""kNN: how often an image's nearest neighbours in the expert's feature space name its class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors

from t2v_core.errors import InputError
from t2v_core.transferability.arrays import class_codes, matrix, varied


def knn(features: ArrayLike, labels: ArrayLike, neighbours: int = 1) -> float:
    """Leave-one-out accuracy, 0..1, of the k nearest neighbours by Euclidean distance. Higher is better.

    Each image is classified by the majority among its k nearest other images; classes that tie share the
    vote, so the order of the classes never matters. Unchanged by rotation, shift and scale of the features.

    Source:
        Puigcerver et al., Scalable Transfer Learning with Expert Models, ICLR 2021: experts selected by the
        leave-one-out accuracy of the nearest neighbour, k = 1.

    Args:
        features: of the target's images by the expert.
        labels: of the target.
        neighbours: k.

    Shape:
        - features: ``[N, d]``
        - labels: ``[N]``
        - returns: a scalar

    Raises:
        InputError: one class, a class with one image (no neighbour could name it), constant features, NaN, rows
            that do not match, or k out of range.
    """
    found = varied(matrix(features))
    codes = class_codes(labels, len(found), "kNN", per_class=2)
    if not 1 <= neighbours < len(found):
        raise InputError(
            f"{neighbours} neighbours cannot be found for {len(found)} images; ask for 1 to {len(found) - 1}"
        )
    near = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(found).kneighbors(return_distance=False)
    votes = np.zeros((len(found), codes.max() + 1))
    np.add.at(votes, (np.arange(len(found))[:, None], codes[near]), 1)
    first = votes == votes.max(1, keepdims=True)
    return float((first[np.arange(len(found)), codes] / first.sum(1)).mean())
