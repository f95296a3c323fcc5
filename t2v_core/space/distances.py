"""Distances between tasks (T2V section 3.3). A missing embedding gives a missing distance, never 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError
from t2v_core.probe.record import BETA
from t2v_core.space.kernel import fill_symmetric

FloatArray = NDArray[np.float64]

ALPHA = 0.15
"""Weight of the source's complexity in the asymmetric distance (T2V section 3.3)."""

LARGEST_SINGLE = 1e38
"""Float32 values above it could overflow when two are added."""

ROWS = 512
"""Rows turned into float64 precisions at a time."""


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
    that are zero in both tasks (or below the smallest normal number) say nothing and are left out.

    Args:
        a: ``[n, D]`` non-negative Fisher diagonals; a row with NaN is a missing embedding. Two float32 arrays
            are taken as they are, which is fast and within 1e-6 of the formula; all else is float64.
        b: ``[m, D]`` likewise. The very same array as ``a`` costs half.

    Returns:
        ``[n, m]`` values in 0..1; NaN where either embedding is missing or wholly zero. Symmetric to the last
        digit, with a zero diagonal, where ``a`` and ``b`` hold the same rows.

    Raises:
        ValueError: the dimensions disagree or a value is negative.
    """
    same = a is b
    a = np.atleast_2d(a)
    b = a if same else np.atleast_2d(b)
    return symmetric_rounds(a[None], a[None] if same else b[None], same=same)[0]


def symmetric_rounds(a: NDArray, b: NDArray, *, same: bool = False) -> FloatArray:
    """``symmetric`` of the rows of ``a[r]`` to the rows of ``b[r]``, round by round: a bootstrap in one call.

    Args:
        a: ``[R, n, D]``.
        b: ``[R, m, D]``.
        same: ``a`` and ``b`` are one and the same, so that half of the work is enough.

    Returns:
        ``[R, n, m]``.

    Raises:
        ValueError: the shapes disagree or a value is negative.
    """
    if a.shape[2] != b.shape[2]:
        raise ValueError(f"embeddings must have one dimension, got {a.shape[2]} and {b.shape[2]}")
    if len(a) != len(b):
        raise ValueError(f"both sides must have the same number of rounds, got {len(a)} and {len(b)}")
    largest = max(_largest(a), 0 if same else _largest(b))
    single = a.dtype == b.dtype == np.float32 and largest < LARGEST_SINGLE
    a = np.require(a, np.float32 if single else np.float64, ["C", "A"])
    b = a if same else np.require(b, a.dtype, ["C", "A"])
    distance = np.empty((len(a), a.shape[1], b.shape[1]))
    if distance.size:
        fill_symmetric(a, b, distance, same)
    return distance


def _largest(fisher: NDArray) -> float:
    """The largest value that is not NaN; refuses negative ones."""
    if np.fmin.reduce(fisher, axis=None, initial=0) < 0:
        raise ValueError("Fisher diagonals cannot be negative")
    return float(np.fmax.reduce(fisher, axis=None, initial=0))


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
    fisher = np.atleast_2d(fisher)
    samples = np.broadcast_to(samples, len(fisher))
    parts = [
        symmetric(precision(fisher[i : i + ROWS], samples[i : i + ROWS], prior, beta), prior)[:, 0]
        for i in range(0, len(fisher), ROWS)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def asymmetric(distance: NDArray, source_to_trivial: NDArray, alpha: float = ALPHA) -> FloatArray:
    """d_asym(a -> b) = d_sym(a, b) - alpha d_sym(a, t_0): complex sources come closer.

    Args:
        distance: ``[targets, sources]`` symmetric distances.
        source_to_trivial: ``[sources]`` from ``to_trivial``.
        alpha: weight of the source's complexity.
    """
    return distance - alpha * source_to_trivial[None, :]


def asymmetric_by_norm(distance: NDArray, source_norm: NDArray, alpha: float) -> FloatArray:
    """d'_asym(a -> b) = d_sym(a, b) - alpha ||F_a|| / m (WLF equation 4): sources that ask more come closer.

    The size of a Fisher diagonal depends on its probe and not only on the task, while distances lie in 0..1. m, the
    median norm of the sources at hand, takes that unit away: alpha has no dimension and means the same under every
    probe. A source of twice the median norm comes nearer than one of the median by alpha.

    Args:
        distance: ``[targets, sources]`` symmetric distances.
        source_norm: ``[sources]`` ||F_a|| of each source; NaN for a missing embedding, whose distance becomes NaN.
        alpha: weight of the source's norm.
    """
    known = source_norm[np.isfinite(source_norm)]
    scale = float(np.median(known)) if len(known) else np.nan
    return distance - alpha * (source_norm / scale)[None, :]


def cosine(a: NDArray, b: NDArray) -> FloatArray:
    """Cosine distance ``[n, m]`` between rows, for domain embeddings; NaN for a zero or missing row."""
    u = _unit_rows(a)
    # One array with itself is multiplied symmetrically to the last digit.
    v = u if b is a else _unit_rows(b)
    return np.clip(1 - u @ v.T, 0, 2)


def cosine_rounds(a: NDArray, b: NDArray) -> FloatArray:
    """``cosine`` of the rows of ``a[r]`` to the rows of ``b[r]``: ``[R, n, D]`` and ``[R, m, D]`` to ``[R, n, m]``."""
    return np.stack([cosine(left, right) for left, right in zip(a, b, strict=True)])


def _unit_rows(x: NDArray) -> FloatArray:
    x = np.atleast_2d(x).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return x / np.linalg.norm(x, axis=1, keepdims=True)
