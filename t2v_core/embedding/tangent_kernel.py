"""The Task Tangent Kernel between embedded tasks (WLF equation 7): the mean over networks of a cosine. No torch.

    k(T1, T2) = 1/M sum_i <g_i(T1), g_i(T2)> / (||g_i(T1)|| ||g_i(T2)||)

It is a similarity: 1 for a task with itself. The M networks are a sample of all random networks, so the spread of the
cosines over them says how far their mean might move with other networks. How far it might with other images it says
only as far as every network draws its own, of which a small task has too few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError

FloatArray = NDArray[np.float64]

TANGENT = "tangent"


@dataclass(frozen=True)
class TangentKernel:
    """Similarities between two sets of tasks.

    Attributes:
        mean: ``[n, m]`` the kernel, in -1..1.
        error: ``[n, m]`` standard error of the mean over networks; NaN for a single network.
    """

    mean: FloatArray
    error: FloatArray


def gradients(embeddings: Sequence[Embedding]) -> NDArray[np.float16]:
    """The reduced gradients of several tasks, ``[n, M, P]``, each of length 1.

    Raises:
        InputError: they are not tangent embeddings by the same networks with the same settings.
    """
    if not embeddings or {e.method for e in embeddings} != {TANGENT} or len({e.space for e in embeddings}) > 1:
        found = sorted({f"{e.method} by {e.probe_id} with {e.settings}" for e in embeddings})
        raise InputError(
            f"the Task Tangent Kernel compares gradients of the same networks with the same settings, got {found}; "
            "embed all tasks the same way"
        )
    shape = len(embeddings), embeddings[0].settings["networks"], -1
    return np.stack([e.vector for e in embeddings]).reshape(shape).astype(np.float16)  # type: ignore[arg-type]


def unit(gradients: NDArray) -> NDArray[np.float16]:
    """Vectors ``[..., P]`` brought to length 1; NaN, as for a missing embedding, where a length is zero."""
    with np.errstate(invalid="ignore"):
        return (gradients / np.linalg.norm(gradients, axis=-1, keepdims=True)).astype(np.float16)


def cosines(a: NDArray, b: NDArray) -> Iterator[FloatArray]:
    """For one network after the other, the cosines ``[n, m]`` between two sets of tasks.

    Args:
        a: ``[n, M, P]`` gradients.
        b: ``[m, M, P]`` of the same networks. The very same array as ``a`` gives a symmetric result to the last digit.

    Raises:
        ValueError: the sets differ in networks or dimension.
    """
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(f"both sets must have the same networks and dimension, got {a.shape[1:]} and {b.shape[1:]}")
    for number in range(a.shape[1]):
        u = _rows(a[:, number])
        yield u @ (u if b is a else _rows(b[:, number])).T


def tangent_kernel(a: NDArray, b: NDArray) -> TangentKernel:
    """The kernel between two sets of tasks with its spread over networks. Arguments as for ``cosines``.

    ``a[:, :x]`` and ``b[:, :x]`` give the kernel of the first x networks.
    """
    count = a.shape[1]
    total = np.zeros((len(a), len(b)))
    square = np.zeros_like(total)
    for cosine in cosines(a, b):
        total += cosine
        square += cosine**2
    mean = total / count
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.maximum(square / count - mean**2, 0) * count / np.float64(count - 1)
    return TangentKernel(np.clip(mean, -1, 1), np.sqrt(variance / count))


def _rows(vectors: NDArray) -> FloatArray:
    """Rows of length 1 in float64, which half precision keeps to three digits only."""
    vectors = vectors.astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
