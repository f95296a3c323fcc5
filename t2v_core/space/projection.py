"""A map of the task space: t-SNE on task distances, and new tasks placed on it without moving the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

PERPLEXITY = 15.0
NEIGHBOURS = 5

DENSE = 200
"""Tasks up to which all axes of classical scaling are computed; beyond, the two leading ones by iteration."""


def tsne(distance: FloatArray, perplexity: float = PERPLEXITY, seed: int = 0) -> FloatArray:
    """t-SNE coordinates (van der Maaten and Hinton 2008) from a distance matrix.

    Args:
        distance: ``[n, n]`` symmetric, zero diagonal, no NaN.
        perplexity: effective number of neighbours; lowered where n is small.
        seed: of the optimisation. Classical scaling gives the start, so the picture hardly depends on it.

    Returns:
        ``[n, 2]``. One task stands at the origin, two or three are laid out by classical scaling.
    """
    count = len(distance)
    start = classical_scaling(distance)
    if count < 4:
        return start
    # Loaded here: scikit-learn takes a second that pages showing a kept map need not wait for.
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    scale = start[:, 0].std()
    model = TSNE(
        metric="precomputed",
        init=1e-4 * start / (scale if scale > 0 else 1.0),
        perplexity=min(perplexity, (count - 1) / 3),
        random_state=seed,
    )
    # One thread: the same map whatever the number of cores, and no waiting at barriers where others use them.
    with threadpool_limits(1):
        return model.fit_transform(np.maximum(distance, 0)).astype(np.float64)


def classical_scaling(distance: FloatArray) -> FloatArray:
    """The two leading axes of classical multidimensional scaling (Torgerson 1952), ``[n, 2]``."""
    count = len(distance)
    inner = -0.5 * np.square(distance, dtype=np.float64)
    if not inner.any():  # no task, or none that differs from another
        return np.zeros((count, 2))
    inner -= inner.mean(0)
    inner -= inner.mean(1)[:, None]
    if count > DENSE:
        # Loaded here: SciPy's solvers take time that pages showing a kept map need not wait for.
        from scipy.sparse.linalg import eigsh

        values, vectors = eigsh(inner, k=2, which="LA", v0=np.random.default_rng(0).normal(size=count))
    else:
        values, vectors = np.linalg.eigh(inner)
    axes = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2], 0))
    # An eigenvector's sign is arbitrary: fix it, so that the same distances give the same map everywhere.
    axes *= np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1, 1)
    return np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))


def place(coordinates: FloatArray, distance: FloatArray, neighbours: int = NEIGHBOURS) -> FloatArray:
    """Place new tasks on an existing map, which stays as it is.

    A new task lands at the average of its nearest tasks' positions, weighted by a Gaussian of the
    distance whose width is the distance to the last of them.

    Args:
        coordinates: ``[n, 2]`` the map.
        distance: ``[m, n]`` from each new task to the map's tasks.
        neighbours: how many tasks pull.

    Returns:
        ``[m, 2]``.
    """
    count = min(neighbours, len(coordinates))
    nearest = np.argsort(distance, axis=1)[:, :count]
    found = np.take_along_axis(distance, nearest, 1)
    width = np.maximum(found[:, -1:] - found[:, :1], 1e-12)
    weights = np.exp(-(((found - found[:, :1]) / width) ** 2) * 2)
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("mk,mkd->md", weights, coordinates[nearest])
