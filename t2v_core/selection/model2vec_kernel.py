"""The inner loop of MODEL2VEC, compiled by Numba on first use and kept on disk.

Importing this module costs nothing: Numba is loaded when experts are placed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from t2v_core.space.kernel import to_machine_code


@cache
def compiled() -> Callable[..., tuple[NDArray, NDArray, NDArray]]:
    """``distances_and_gradient`` as machine code; it runs without Python's lock, so folds can share threads."""
    return to_machine_code(distances_and_gradient)


def distances_and_gradient(
    tasks: NDArray, models: NDArray, candidate: NDArray, soft: NDArray, gamma: float, shift: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Distances, the pull on each, and the cross entropy's gradient with respect to the models.

    With r = t / (t + m), q = m / (t + m) and C = r.q / sqrt(r.r q.q), d = 1 - C + shift and
    dC/dlog(m) = r q ((r - q) / sqrt(r.r q.q) + C (r / r.r - q / q.q)).

    Args:
        tasks: ``[T, D]`` non-negative, float32 for speed or float64.
        models: ``[E, D]`` of the same type.
        candidate: ``[T, E]`` bool; others take no part in a row's softmax.
        soft: ``[T, E]`` target probabilities, 0 where no candidate.
        gamma: inverse temperature.
        shift: ``[E]`` added to the distances of a model.

    Returns:
        ``[T, E]`` distances; ``[T, E]`` soft target minus probability, which is dL/dd over gamma / T;
        ``[E, D]`` dL/dlog(m) through the symmetric distance.
    """
    one = tasks.dtype.type(1)
    tiny = tasks.dtype.type(1e-30)  # a filter that is zero on both sides gets shares 0, not 0 / 0
    count, dimension = tasks.shape
    experts = len(models)
    distance, pull = np.zeros((count, experts)), np.zeros((count, experts))
    gradient, inverse = np.zeros((experts, dimension), tasks.dtype), np.empty((experts, dimension), tasks.dtype)
    rr, qq, rq = np.empty(experts), np.empty(experts), np.empty(experts)
    for i in range(count):
        task = tasks[i]
        highest = -np.inf
        for j in range(experts):
            if not candidate[i, j]:
                continue
            model, share = models[j], inverse[j]
            a = b = c = tasks.dtype.type(0)
            for d in range(dimension):
                v = one / (task[d] + model[d] + tiny)
                share[d] = v
                r, q = task[d] * v, model[d] * v
                a += r * r
                b += q * q
                c += r * q
            rr[j], qq[j], rq[j] = a, b, c
            distance[i, j] = 1 - rq[j] / np.sqrt(rr[j] * qq[j]) + shift[j]
            highest = max(highest, -gamma * distance[i, j])
        total = 0.0
        for j in range(experts):
            if candidate[i, j]:
                pull[i, j] = np.exp(-gamma * distance[i, j] - highest)
                total += pull[i, j]
        for j in range(experts):
            if not candidate[i, j]:
                continue
            pull[i, j] = soft[i, j] - pull[i, j] / total
            norm = np.sqrt(rr[j] * qq[j])
            weight = tasks.dtype.type(-gamma * pull[i, j] / count)
            cross = tasks.dtype.type(1 / norm)
            by_r = tasks.dtype.type(rq[j] / norm / rr[j])
            by_q = tasks.dtype.type(rq[j] / norm / qq[j])
            model, share, out = models[j], inverse[j], gradient[j]
            for d in range(dimension):
                r, q = task[d] * share[d], model[d] * share[d]
                out[d] += weight * r * q * ((r - q) * cross + r * by_r - q * by_q)
    return distance, pull, gradient
