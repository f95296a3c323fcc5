"""EMD: how far one task's classes must be moved to become the other's."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

from t2v_core.errors import InputError
from t2v_core.transferability.arrays import FloatArray, class_codes, class_sums, matrix, varied

GAMMA = 0.01
"""Decay of the similarity with distance (Cui et al. 2018)."""


def class_means(features: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Mean feature of each class and its share of the images: a task as EMD sees it.

    Shape:
        - features: ``[N, d]``
        - labels: ``[N]``
        - returns: means ``[K, d]`` and shares ``[K]``, in the order of the sorted labels

    Raises:
        InputError: NaN, features that are the same for all images, or rows that do not match.
    """
    found = matrix(features)
    if len(found) > 1:
        varied(found)
    codes = class_codes(labels, len(found), "EMD", classes=1)
    counts = np.bincount(codes)
    return class_sums(found, codes) / counts[:, None], counts / len(found)


def earth_movers_distance(means: ArrayLike, shares: ArrayLike, other: ArrayLike, other_shares: ArrayLike) -> float:
    """EMD = min_f sum_ij f_ij ||m_i - n_j||, f >= 0 with row sums the shares and column sums the others'.

    Solved exactly, as a linear program. Symmetric, and zero for a task with itself. Lower is better. Unchanged
    by a rotation or shift common to both tasks, and by splitting a class into equal parts.

    Source:
        Cui et al., Large Scale Fine-Grained Categorization and Domain-Specific Transfer Learning, CVPR 2018:
        domain similarity, with the Euclidean ground distance.

    Args:
        means, shares: of one task, from ``class_means``.
        other, other_shares: of the other, by the same network.

    Shape:
        - means: ``[K, d]``, shares: ``[K]``
        - other: ``[L, d]``, other_shares: ``[L]``
        - returns: a scalar, in the unit of the features

    Raises:
        InputError: features of different networks, NaN, or shares that are no distribution over the classes.
    """
    sources, targets = matrix(means, "class means"), matrix(other, "class means")
    if sources.shape[1] != targets.shape[1]:
        raise InputError(
            f"EMD compares two tasks by one network, and their class means have {sources.shape[1]} and "
            f"{targets.shape[1]} dimensions; embed both by the same probe"
        )
    supply, demand = _shares(shares, len(sources)), _shares(other_shares, len(targets))
    leaves = sparse.kron(sparse.eye_array(len(sources)), np.ones((1, len(targets))))
    arrives = sparse.kron(np.ones((1, len(sources))), sparse.eye_array(len(targets)))
    plan = linprog(
        cdist(sources, targets).ravel(),
        A_eq=sparse.vstack([leaves, arrives], format="csc"),
        b_eq=np.concatenate([supply, demand]),
        method="highs-ds",
    )
    return max(float(plan.fun), 0.0)


def emd_similarity(
    means: ArrayLike, shares: ArrayLike, other: ArrayLike, other_shares: ArrayLike, gamma: float = GAMMA
) -> float:
    """exp(-gamma EMD), 0..1, 1 for a task with itself. Higher is better.

    Args, shapes, source and errors as ``earth_movers_distance``; gamma as in the paper by default.
    """
    return float(np.exp(-gamma * earth_movers_distance(means, shares, other, other_shares)))


def _shares(values: ArrayLike, classes: int) -> FloatArray:
    """Class shares ``[K]``, made to sum to 1 exactly enough for both sides of the program to agree."""
    found = np.asarray(values, dtype=np.float64)
    if found.shape != (classes,) or not (found >= 0).all() or not np.isclose(found.sum(), 1, atol=1e-6):
        raise InputError(f"the shares of {classes} classes must be as many numbers of 0 or more with sum 1")
    return found / found.sum()
