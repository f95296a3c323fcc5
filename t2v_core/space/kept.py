"""Pictures of the task space that take seconds, kept in the bank by the distances they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank, content_key
from t2v_core.space.clustering import MOST_ORDERED, Clustering, cluster
from t2v_core.space.projection import PERPLEXITY, tsne

MOST_ADDED = 0.25
"""Share of a map's tasks that may be added to it before it is drawn anew."""

_BASE = content_key("tasks that maps are drawn from")


def map_base(bank: Bank, ids: Sequence[str], anew: bool = False) -> list[str]:
    """The tasks that the bank's maps are drawn from: all other tasks are placed on them, which stay as they are.

    They are those that were there when a map was first drawn. Once more than ``MOST_ADDED`` of their number have come
    since, all tasks take their places.

    Args:
        bank: where they are kept.
        ids: of the tasks that may be among them.
        anew: take all, whatever was kept.

    Returns:
        ids, in the order given.
    """
    found = None if anew else bank.derived(_BASE)
    kept = frozenset() if found is None else frozenset(found.tolist())
    base = [i for i in ids if i in kept]
    if len(ids) - len(base) <= MOST_ADDED * len(base):
        return base
    bank.keep_derived(_BASE, np.array(ids))
    return list(ids)


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
