"""NCE: what the expert's predicted class leaves unknown about the target's label."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from t2v_core.transferability.arrays import class_codes, class_sums, probabilities_of


def nce(probabilities: ArrayLike | None, labels: ArrayLike) -> float:
    r"""-H(Y | Z) = sum_{y,z} P(y, z) log( P(y, z) / P(z) ), at most 0. Higher is better.

    z_i is the class the expert finds most probable for image i (the first of equals), P the empirical joint
    distribution of labels and such classes. On probabilities that are 0 or 1 this is LEEP.

    Unchanged by the order of the labels' and of the expert's classes.

    Source:
        Tran, Nguyen and Hassner, Transferability and Hardness of Supervised Classification Tasks, ICCV 2019:
        the conditional entropy of the label sequences, negated.

    Args:
        probabilities: softmax of the expert's own classifier on the target's images; None if it has none.
        labels: of the target.

    Shape:
        - probabilities: ``[N, Ks]``
        - labels: ``[N]``
        - returns: a scalar

    Raises:
        InputError: no classifier, rows that are no distributions, one class, NaN, or rows that do not match.
    """
    found = probabilities_of(probabilities, "NCE")
    codes = class_codes(labels, len(found), "NCE")
    joint = class_sums(np.eye(found.shape[1])[found.argmax(1)], codes) / len(found)
    source = joint.sum(0)
    return float(xlogy(joint, joint).sum() - xlogy(source, source).sum())
