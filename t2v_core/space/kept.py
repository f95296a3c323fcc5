"""Pictures of the task space that take seconds, kept in the bank by the distances they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank, content_key
from t2v_core.space.clustering import MOST_ORDERED, Clustering, cluster
from t2v_core.space.projection import PERPLEXITY, tsne


def kept_map(bank: Bank, distance: pd.DataFrame, perplexity: float = PERPLEXITY, seed: int = 0) -> NDArray[np.float64]:
    """``tsne`` of a distance matrix ``[n, n]``, computed once: ``[n, 2]``."""
    return _kept(bank, distance, ("tsne", perplexity, seed), lambda d: tsne(d, perplexity, seed))


def kept_clustering(bank: Bank, distance: pd.DataFrame, linkage: str = "complete") -> Clustering:
    """``cluster`` of a distance matrix ``[n, n]``, computed once.

    Raises:
        InputError: as ``cluster``.
    """
    merges = _kept(bank, distance, ("linkage", linkage, MOST_ORDERED), lambda d: cluster(d, linkage).merges)
    return Clustering(merges, len(distance) <= MOST_ORDERED)


def _kept(bank: Bank, distance: pd.DataFrame, what: tuple, compute: Callable[[NDArray], NDArray]) -> NDArray:
    matrix = distance.to_numpy()
    key = content_key(*what, str(matrix.dtype), matrix.shape, hashlib.sha256(matrix.tobytes()).hexdigest())
    found = bank.derived(key)
    if found is None:
        found = compute(matrix)
        bank.keep_derived(key, found)
    return found
