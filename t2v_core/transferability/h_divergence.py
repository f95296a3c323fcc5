"""H-divergence: can a linear classifier tell the images of two tasks apart?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from t2v_core.errors import InputError
from t2v_core.transferability.arrays import matrix, varied

FOLDS = 5


def h_divergence(features: ArrayLike, other: ArrayLike, seed: int = 0) -> float:
    """d_A = 2 (1 - 2 e), 0 for domains that cannot be told apart, 2 for separable ones. Lower is better.

    e is the error of a linear classifier between the two tasks' images by one network (the probe), mean of
    the two tasks' own error rates so that their sizes do not matter, over 5 stratified folds drawn by
    ``seed``. The classifier is a linear discriminant whose covariance is shrunk by Ledoit and Wolf: it is in
    closed form and holds with fewer images than dimensions. An error above one half counts as one half, for
    the opposite classifier is a linear one too; tasks that share their images get 0. Labels play no part.

    Unchanged, for given folds, by shift and scale of each feature.

    Source:
        Ben-David et al., Analysis of Representations for Domain Adaptation, NIPS 2006: the proxy A-distance.
        WLF section 7.1: "accuracy of a linear classifier separating domains".

    Args:
        features: of one task's images.
        other: of the other's, by the same network.
        seed: of the folds.

    Shape:
        - features: ``[N, d]``
        - other: ``[M, d]``
        - returns: a scalar

    Raises:
        InputError: fewer than 3 images of a task, features of different networks, constant within a task, or NaN.
    """
    sides = matrix(features, "first task's features"), matrix(other, "second task's features")
    sizes = [len(side) for side in sides]
    if min(sizes) < 3:
        raise InputError(
            f"H-divergence needs at least 3 images of each task and got {sizes[0]} and {sizes[1]}; add some"
        )
    if sides[0].shape[1] != sides[1].shape[1]:
        raise InputError(
            f"H-divergence compares two tasks by one network, and their features have {sides[0].shape[1]} and "
            f"{sides[1].shape[1]} dimensions; embed both by the same probe"
        )
    for side, name in zip(sides, ("first", "second"), strict=True):
        varied(side, f"{name} task's features")
    domain = np.repeat([0, 1], sizes)
    classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.5, 0.5])
    folds = StratifiedKFold(min(FOLDS, *sizes), shuffle=True, random_state=seed)
    wrong = cross_val_predict(classifier, np.concatenate(sides), domain, cv=folds) != domain
    error = (wrong[domain == 0].mean() + wrong[domain == 1].mean()) / 2
    return float(2 * (1 - 2 * min(error, 0.5)))
