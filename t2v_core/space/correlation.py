"""Rank correlation of two values of tasks, such as norm and error (T2V Fig. 2 right), with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 5
"""Tasks: with fewer the interval covers nearly all of -1..1."""


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation.

    Attributes:
        rho: -1 to 1; NaN with fewer than ``LEAST`` tasks, or where one side does not vary.
        low, high: 95 % interval, on Fisher's z scale with the standard error of Bonett and Wright (2000).
        tasks: how many have both values.
    """

    rho: float
    low: float
    high: float
    tasks: int


def rank_correlation(x: NDArray, y: NDArray) -> RankCorrelation:
    """Spearman's rho of two values of n tasks, ``[n]`` each; tasks with NaN in either are left out."""
    # Loaded here: pages that correlate nothing need not wait for it.
    from scipy.stats import spearmanr

    known = np.isfinite(x) & np.isfinite(y)
    x, y, count = x[known], y[known], int(known.sum())
    if count < LEAST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankCorrelation(float("nan"), float("nan"), float("nan"), count)
    rho = float(spearmanr(x, y).statistic)
    if 1 - abs(rho) < 1e-12:
        return RankCorrelation(rho, rho, rho, count)
    error = np.sqrt((1 + rho**2 / 2) / (count - 3))
    low, high = np.tanh(np.arctanh(rho) + np.array([-1.96, 1.96]) * error)
    return RankCorrelation(rho, float(low), float(high), count)
