"""The Fisher information of a two-layer sigmoid network in closed form: the oracle for the other estimators.

    p = sigma(w^T z + b),  z = sigma(U x)          (T2V supplement 5; the paper has b = 0)

The derivative of log p(y|x) with respect to U_kj is (y - p) w_k z_k (1 - z_k) x_j, and E_y (y - p)^2 =
p (1 - p) under the model. So the information of U, the filters, is the mean over samples of

    F = p (1 - p) S (x) x x^T,    S = s s^T,  s = w * z * (1 - z)

with (x) the Kronecker product: one block x x^T for every pair of filters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

FloatArray = NDArray[np.float64]


def fisher_matrix(
    x: ArrayLike, U: ArrayLike, w: ArrayLike, b: float = 0.0, weights: ArrayLike | None = None
) -> FloatArray:
    """The whole Fisher information matrix of U.

    Args:
        x: ``[N, D]`` samples.
        U: ``[H, D]`` one filter a row.
        w: ``[H]`` the head.
        b: its bias.
        weights: ``[N]`` of the samples, summing to 1; by default all the same.

    Returns:
        ``[H * D, H * D]`` in the order of ``U.ravel()``.
    """
    x, share, s = _terms(x, U, w, b, weights)
    matrix: FloatArray = np.einsum("n,nl,nk,ni,nj->likj", share, s, s, x, x, optimize=True)
    return matrix.reshape(s.shape[1] * x.shape[1], -1)


def analytic_fisher(
    x: ArrayLike, U: ArrayLike, w: ArrayLike, b: float = 0.0, weights: ArrayLike | None = None
) -> FloatArray:
    """Its diagonal, averaged over the weights of each filter: the embedding ``[H]``. Args as for ``fisher_matrix``.

    >>> analytic_fisher(x=[[2.0]], U=[[0.0]], w=[4.0], b=-2.0)  # p = z = 1/2: p (1 - p) (w z (1 - z) x)^2
    array([1.])
    """
    x, share, s = _terms(x, U, w, b, weights)
    found: FloatArray = (share * np.square(x).mean(1)) @ np.square(s)
    return found


def _terms(
    x: ArrayLike, U: ArrayLike, w: ArrayLike, b: float, weights: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """``x [N, D]``, the weighted p (1 - p) ``[N]`` and s ``[N, H]``, in float64."""
    x, U, w = (np.asarray(a, dtype=np.float64) for a in (x, U, w))
    z = expit(x @ U.T)
    p = expit(z @ w + b)
    each = np.full(len(x), 1 / len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    return x, each * p * (1 - p), w * z * (1 - z)
