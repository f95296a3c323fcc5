"""The values of embeddings as a histogram (WLF Fig. 8): how much of an embedding a few filters hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGES = np.linspace(-4, 2, 61)
"""log10 of a filter's value over the mean of its embedding; what lies beyond is counted in the outermost bins."""


def value_histogram(vectors: NDArray) -> list[float]:
    """Shares of the values between ``EDGES``, pooled over embeddings; they sum to 1.

    Each value is divided by the mean absolute value of its embedding, so that tasks, probes and methods whose
    embeddings differ in size can be compared. Values of 0 are left out: a logarithm has no place for them.

    Args:
        vectors: ``[n, D]``; rows with NaN are left out.

    Returns:
        60 numbers; all 0 where there is no value.
    """
    known = np.abs(vectors[np.isfinite(vectors).all(1)].astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.log10(known / known.mean(1, keepdims=True))
    values = np.clip(relative[np.isfinite(relative)], EDGES[0], EDGES[-1])
    counts, _ = np.histogram(values, EDGES)
    return (counts / max(counts.sum(), 1)).tolist()
