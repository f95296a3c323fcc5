"""Distances between tasks (T2V section 3.3). A missing embedding gives a missing distance, never 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError

FloatArray = NDArray[np.float64]

ALPHA = 0.15
"""Weight of the source's complexity in the asymmetric distance (T2V section 3.3)."""

BETA = 1e-7
"""Weight of the KL term that turns a Fisher diagonal into a precision (method section 3)."""


def check_comparable(embeddings: Sequence[Embedding]) -> None:
    """Refuse to mix embeddings of different probes, methods or settings.

    Raises:
        InputError: they do not all stem from one space.
    """
    spaces = {e.space: f"{e.method} by {e.probe_id} ({e.weights_hash[:8]}) with {e.settings}" for e in embeddings}
    if len(spaces) > 1:
        raise InputError(
            "embeddings of different probes, methods or settings cannot be compared: "
            + "; ".join(sorted(spaces.values()))
            + "; embed all tasks the same way"
        )


def symmetric(a: NDArray, b: NDArray) -> FloatArray:
    """d_sym: cosine distance between F_a / (F_a + F_b) and F_b / (F_a + F_b), element-wise.

    With s = F_a + F_b this is 1 - sum(F_a F_b / s^2) / sqrt(sum(F_a^2 / s^2) sum(F_b^2 / s^2)). Filters
    that are zero in both tasks say nothing and are left out.

    Args:
        a: ``[n, D]`` non-negative Fisher diagonals; a row with NaN is a missing embedding.
        b: ``[m, D]`` likewise.

    Returns:
        ``[n, m]`` values in 0..1; NaN where either embedding is missing or wholly zero.

    Raises:
        ValueError: the dimensions disagree or a value is negative.
    """
    a, b = np.atleast_2d(a), np.atleast_2d(b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"embeddings must have one dimension, got {a.shape[1]} and {b.shape[1]}")
    if (a < 0).any() or (b < 0).any():
        raise ValueError("Fisher diagonals cannot be negative")
    distance = np.empty((len(a), len(b)))
    with np.errstate(invalid="ignore", divide="ignore"):
        for i, row in enumerate(a.astype(np.float64)):
            total = row + b
            dead = total == 0
            # Two divisions: 1 - r would lose the small shares' digits, and with them the symmetry.
            r, q = row / total, b / total
            r[dead] = q[dead] = 0
            cosine = np.einsum("jd,jd->j", r, q) / np.sqrt(np.einsum("jd,jd->j", r, r) * np.einsum("jd,jd->j", q, q))
            distance[i] = 1 - cosine
    return np.clip(distance, 0, 1)


def precision(fisher: NDArray, samples: NDArray | int, prior: NDArray, beta: float = BETA) -> FloatArray:
    """Lambda = (2N / beta) F + lambda^2: the Fisher diagonal on the footing of the variational estimate.

    Args:
        fisher: ``[n, D]``.
        samples: N of each task, ``[n]`` or one number.
        prior: ``[D]`` lambda^2 of each filter's layer.
        beta: weight of the KL term.
    """
    return 2 * np.reshape(samples, (-1, 1)) / beta * np.atleast_2d(fisher).astype(np.float64) + prior


def to_trivial(fisher: NDArray, samples: NDArray | int, prior: NDArray, beta: float = BETA) -> FloatArray:
    """d_sym(a, t_0) ``[n]``: distance to the task that teaches nothing; small for simple tasks.

    Args as for ``precision``. t_0 is the prior itself: without data Lambda = lambda^2.
    """
    return symmetric(precision(fisher, samples, prior, beta), prior)[:, 0]


def asymmetric(distance: NDArray, source_to_trivial: NDArray, alpha: float = ALPHA) -> FloatArray:
    """d_asym(a -> b) = d_sym(a, b) - alpha d_sym(a, t_0): complex sources come closer.

    Args:
        distance: ``[targets, sources]`` symmetric distances.
        source_to_trivial: ``[sources]`` from ``to_trivial``.
        alpha: weight of the source's complexity.
    """
    return distance - alpha * source_to_trivial[None, :]


def cosine(a: NDArray, b: NDArray) -> FloatArray:
    """Cosine distance ``[n, m]`` between rows, for domain embeddings; NaN for a zero or missing row."""
    a, b = np.atleast_2d(a).astype(np.float64), np.atleast_2d(b).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        a = a / np.linalg.norm(a, axis=1, keepdims=True)
        b = b / np.linalg.norm(b, axis=1, keepdims=True)
    return np.clip(1 - a @ b.T, 0, 2)
