"""The matrix of distances between all tasks of a bank, kept in the bank by content."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from t2v_core.bank.bank import Bank, content_key
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.errors import InputError
from t2v_core.probe.record import ProbeInfo
from t2v_core.space.distances import ALPHA, asymmetric, check_comparable, cosine, symmetric, to_trivial

METRICS = ("symmetric", "asymmetric", "domain")


def task_distances(bank: Bank, metric: str = "symmetric", info: ProbeInfo | None = None) -> pd.DataFrame:
    """Distances between all embedded tasks: rows are targets, columns sources.

    Args:
        bank: the bank.
        metric: one of ``METRICS``.
        info: the probe; by default the first the bank knows.

    Raises:
        InputError: the metric is unknown or the embeddings cannot be compared.
    """
    if metric not in METRICS:
        raise InputError(f"there is no metric {metric!r}; choose one of {', '.join(METRICS)}")
    info = info or next(iter(bank.probes().values()), None)
    if info is None:
        return pd.DataFrame()
    found = bank.embeddings(DOMAIN if metric == "domain" else TASK2VEC, info.weights_hash)
    ids, embeddings = list(found), list(found.values())
    if not ids:
        return pd.DataFrame()
    check_comparable(embeddings)
    vectors = np.stack([e.vector for e in embeddings])
    key = content_key("task_distances", metric, ALPHA, hashlib.sha256(vectors.tobytes()).hexdigest(), ids)
    matrix = bank.derived(key)
    if matrix is None:
        matrix = cosine(vectors, vectors) if metric == "domain" else symmetric(vectors, vectors)
        np.fill_diagonal(matrix, 0)
        if metric == "asymmetric":
            samples = np.array([e.samples for e in embeddings])
            matrix = asymmetric(matrix, to_trivial(vectors, samples, info.filter_prior))
        bank.keep_derived(key, matrix)
    return pd.DataFrame(matrix, index=ids, columns=ids)
