"""A mean over samples kept in additive parts, so that it comes with its own spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ChunkSums:
    """Additive parts of a weighted mean over samples, such as a Fisher diagonal.

    Attributes:
        sums: ``[C, D]`` float64: for each chunk of samples, the weighted sum over its samples.
        weights: ``[C]`` total weight of each chunk.
        samples: images used.
    """

    sums: NDArray[np.float64]
    weights: NDArray[np.float64]
    samples: int

    def merged(self, count: int) -> ChunkSums:
        """The same in at most so many chunks: neighbours add up."""
        if len(self.weights) <= count:
            return self
        first = np.arange(count) * len(self.weights) // count
        return ChunkSums(np.add.reduceat(self.sums, first), np.add.reduceat(self.weights, first), self.samples)

    @property
    def mean(self) -> NDArray[np.float64]:
        """``[D]`` the mean over all samples used."""
        return self.sums.sum(0) / self.weights.sum()

    @property
    def relative_error(self) -> float:
        """Standard error of the mean over its norm, from the chunks; NaN for a single chunk or a zero mean."""
        return relative_standard_error(self.sums / self.weights[:, None], self.weights / self.weights.sum())


def standard_error(chunk_means: NDArray, chunk_weights: NDArray) -> NDArray[np.float64]:
    """Standard error ``[D]`` of a weighted mean of chunk means, from how they differ; NaN for a single chunk.

    Args:
        chunk_means: ``[C, D]``.
        chunk_weights: ``[C]``, summing to 1.
    """
    count = len(chunk_weights)
    if count < 2:
        return np.full(chunk_means.shape[1], np.nan)
    variance = chunk_weights**2 @ (chunk_means - chunk_weights @ chunk_means) ** 2
    return np.sqrt(variance * count / (count - 1))


def relative_standard_error(chunk_means: NDArray, chunk_weights: NDArray) -> float:
    """Norm of ``standard_error`` over the norm of the mean; NaN for a single chunk or a zero mean. Args likewise."""
    norm = np.linalg.norm(chunk_weights @ chunk_means)
    return float(np.linalg.norm(standard_error(chunk_means, chunk_weights)) / norm) if norm else float("nan")


def assign_chunks(labels: np.ndarray, chunks: int, seed: int) -> NDArray[np.int64]:
    """Spread the samples of every class evenly and at random over ``chunks`` chunks: ``[N]`` numbers.

    Every chunk has the same number of a class; what is left over goes to all of them in turn, in a new order each time.
    So of classes with fewer samples than there are chunks, some of the chunks are as good a sample as any.
    """
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(labels))
    chunks = min(chunks, len(labels))
    chunk = np.empty(len(labels), dtype=np.int64)
    left = []
    for label in np.unique(labels):
        members = order[labels[order] == label]
        whole = len(members) // chunks * chunks
        chunk[members[:whole]] = np.arange(whole) % chunks
        left.append(members[whole:])
    rest = np.concatenate(left)
    turns = [rng.permutation(chunks) for _ in range(len(rest) // chunks + 1)]
    chunk[rest] = np.concatenate(turns)[: len(rest)]
    return chunk


def imbalance(classes: np.ndarray, chunk: np.ndarray) -> NDArray[np.float64]:
    """How far the first c + 1 chunks are from holding the same share of every class: ``[C]``, in total variation.

    It is 1 while a class is missing, since nothing in the chunks at hand would show what that does to a mean.

    Args:
        classes: ``[N]`` of the samples.
        chunk: ``[N]`` their chunks.
    """
    classes = np.unique(classes, return_inverse=True)[1]
    there = np.zeros((classes.max() + 1, chunk.max() + 1))
    np.add.at(there, (classes, chunk), 1)
    share = there.cumsum(1) / there.sum(1, keepdims=True)
    return np.where((share == 0).any(0), 1.0, np.abs(share / share.sum(0) - 1 / len(share)).sum(0) / 2)
