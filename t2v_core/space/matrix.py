"""The matrix of distances between all tasks of a bank, kept in the bank and grown as tasks are added.

One entry of the bank's derived store holds, for one metric in one embedding space, the SHA-256 of every vector and
the upper triangle of the distances between them in float32. Whoever asks next compares the hashes: what is known is
reused whatever became of the tasks' names and order, and only new vectors are measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank, content_key
from t2v_core.bank.methods import kept_methods
from t2v_core.embedding.record import DOMAIN, TASK2VEC, Embedding
from t2v_core.errors import InputError
from t2v_core.probe.record import BETA, ProbeInfo
from t2v_core.space.distances import ALPHA, asymmetric, check_comparable, cosine, symmetric, to_trivial

METRICS = ("symmetric", "asymmetric", "domain")

MEASURED = ("pseudotask", "tangent")
"""Methods whose distances between tasks are kept with the bank (see ``bank.methods``), where they were measured."""

FORMAT = 2
"""Of the kept arrays; raised when their layout or the arithmetic behind them changes."""

ROWS = 2048
"""New tasks measured at a time: bounds the float64 distances in memory beside the float32 matrix."""

Measure = Callable[[NDArray, NDArray], NDArray[np.float64]]


def task_distances(
    bank: Bank, metric: str = "symmetric", info: ProbeInfo | None = None, alpha: float = ALPHA
) -> pd.DataFrame:
    """Distances between all embedded tasks: rows are targets, columns sources; float32.

    Args:
        bank: the bank.
        metric: one of ``METRICS``, or of ``MEASURED`` between the tasks that were measured.
        info: the probe; by default the first the bank knows.
        alpha: weight of the source's complexity (asymmetric only).

    Raises:
        InputError: the metric is unknown or the embeddings cannot be compared.
    """
    if metric in MEASURED:
        methods = kept_methods(bank)
        return methods[metric].distances if metric in methods else pd.DataFrame()
    if metric not in METRICS:
        raise InputError(f"there is no metric {metric!r}; choose one of {', '.join((*METRICS, *MEASURED))}")
    info = info or next(iter(bank.probes().values()), None)
    if info is None:
        return pd.DataFrame()
    found = bank.embeddings(DOMAIN if metric == "domain" else TASK2VEC, info.weights_hash, chunks=False)
    if not found:
        return pd.DataFrame()
    ids, embeddings = list(found), list(found.values())
    check_comparable(embeddings)
    vectors = np.stack([e.vector for e in embeddings])
    measure = cosine if metric == "domain" else symmetric
    key = content_key("task_distances", FORMAT, measure.__name__, embeddings[0].space)
    hashes = _hashes(v.tobytes() for v in vectors)
    matrix = _grown(bank, key, hashes, vectors, measure)
    if metric == "asymmetric":
        matrix = asymmetric(matrix, _complexity(bank, embeddings, vectors, hashes, info), alpha).astype(np.float32)
    return pd.DataFrame(matrix, index=ids, columns=ids)


def nearest_pairs(distance: pd.DataFrame, count: int) -> list[tuple[str, str, float]]:
    """The pairs with the smallest distance, nearest first: target, source, distance.

    Of two tasks whose distance is the same in both directions one pair is given.

    Args:
        distance: between tasks, as ``task_distances`` gives them.
        count: how many at most.
    """
    values = distance.to_numpy(float)
    rows, columns = np.nonzero(~np.eye(len(values), dtype=bool) & np.isfinite(values))
    once = (rows < columns) | (values[rows, columns] != values[columns, rows])
    rows, columns = rows[once], columns[once]
    first = np.argsort(values[rows, columns], kind="stable")[:count]
    ids = list(distance.index)
    return [(ids[r], ids[c], float(values[r, c])) for r, c in zip(rows[first], columns[first], strict=True)]


def placeable(distance: pd.DataFrame) -> pd.DataFrame:
    """Without tasks that have no distance to any other: their embedding is missing or wholly zero."""
    known = (np.isfinite(distance.to_numpy()).sum(1) > 1) | (len(distance) == 1)
    return distance if known.all() else distance.loc[known, known]


def _complexity(
    bank: Bank, embeddings: list[Embedding], vectors: NDArray, hashes: NDArray, info: ProbeInfo
) -> NDArray[np.float64]:
    """Kept d_sym(a, t_0) ``[n]`` of every task; cheap enough to be measured anew when any task changes."""
    samples = np.array([e.samples for e in embeddings])
    key = content_key("to_trivial", FORMAT, BETA, info.prior_precision, embeddings[0].space)
    hashes = _hashes(h + b" %d" % n for h, n in zip(hashes.tolist(), samples.tolist(), strict=True))
    kept = bank.derived(key)
    if kept is not None and np.array_equal(kept["hashes"], hashes):
        return kept["values"]
    values = to_trivial(vectors, samples, info.filter_prior)
    _keep(bank, key, hashes, values)
    return values


def _grown(bank: Bank, key: str, hashes: NDArray, vectors: NDArray, measure: Measure) -> NDArray[np.float32]:
    """The kept matrix brought up to ``vectors``, and kept anew where anything changed."""
    kept = bank.derived(key)
    old_hashes = np.empty(0, dtype=hashes.dtype) if kept is None else kept["hashes"]
    old = np.empty((0, 0), dtype=np.float32) if kept is None else _square(kept["values"], len(old_hashes))
    if np.array_equal(old_hashes, hashes):
        return old
    place = {h: i for i, h in enumerate(old_hashes.tolist())}
    before = np.array([place.get(h, -1) for h in hashes.tolist()])
    known, new = np.flatnonzero(before >= 0), np.flatnonzero(before < 0)
    matrix = np.empty((len(vectors), len(vectors)), dtype=np.float32)
    matrix[np.ix_(known, known)] = old[np.ix_(before[known], before[known])]
    for begin in range(0, len(new), ROWS):
        rows, others = new[begin : begin + ROWS], np.concatenate([known, new[begin + ROWS :]])
        block = vectors[rows]
        matrix[np.ix_(rows, rows)] = measure(block, block)
        if len(others):
            between = measure(block, vectors[others]).astype(np.float32)
            matrix[np.ix_(rows, others)] = between
            matrix[np.ix_(others, rows)] = between.T
    # Rounding leaves the cosine of a vector with itself a digit from 1; a missing vector keeps its NaN.
    np.fill_diagonal(matrix, 0 * matrix.diagonal())
    _keep(bank, key, hashes, np.concatenate([row[i:] for i, row in enumerate(matrix)]))
    return matrix


def _hashes(rows: Iterable[bytes]) -> NDArray[np.bytes_]:
    """The SHA-256 of every row."""
    return np.array([hashlib.sha256(row).digest() for row in rows], dtype="S32")


def _keep(bank: Bank, key: str, hashes: NDArray, values: NDArray) -> None:
    """Keep values and what they belong to as one array: they must never be read apart."""
    fields = [("hashes", hashes.dtype, hashes.shape), ("values", values.dtype, values.shape)]
    bank.keep_derived(key, np.array((hashes, values), dtype=fields))


def _square(triangle: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The symmetric matrix behind the rows of its upper triangle, diagonal included."""
    matrix = np.empty((count, count), dtype=np.float32)
    begin = 0
    for i in range(count):
        end = begin + count - i
        matrix[i, i:] = matrix[i:, i] = triangle[begin:end]
        begin = end
    return matrix
