"""LEEP: how well the expert's own classes predict the target's labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from t2v_core.transferability.arrays import class_codes, class_sums, probabilities_of


def leep(probabilities: ArrayLike | None, labels: ArrayLike) -> float:
    r"""T = 1/N sum_i log( sum_z P(y_i | z) p(z | x_i) ), at most 0. Higher is better.

    P(y, z) = 1/N sum_{i: y_i = y} p(z | x_i) is the empirical joint distribution of labels and the expert's
    classes, P(y | z) = P(y, z) / P(z): the expected empirical prediction.

    Unchanged by the order of the labels' and of the expert's classes.

    Source:
        Nguyen et al., LEEP: A New Measure to Evaluate Transferability of Learned Representations, ICML 2020:
        the log expected empirical prediction.

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
    found = probabilities_of(probabilities, "LEEP")
    codes = class_codes(labels, len(found), "LEEP")
    joint = class_sums(found, codes)
    # A class the expert never predicts has P(z) = 0 and takes no part.
    given_source = np.divide(joint, joint.sum(0), out=np.zeros_like(joint), where=joint.sum(0) > 0)
    return float(np.log(np.einsum("iz,iz->i", found, given_source[codes])).mean())
