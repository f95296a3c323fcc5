"""Picking the expert whose own task lies nearest, by one of three distances; alpha tuned by cross validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.errors import InputError
from t2v_core.probe.record import ProbeInfo
from t2v_core.selection.meta_task import MetaTask
from t2v_core.selection.regret import FloatArray, chosen_error, estimates, relative_increase
from t2v_core.selection.selectors import Selector
from t2v_core.space.distances import ALPHA, asymmetric, cosine, symmetric, symmetric_rounds, to_trivial

TITLES = {
    "asymmetric": "nearest task, with credit for complex sources (the default)",
    "symmetric": "nearest task in the task space",
    "domain": "most similar-looking images, labels ignored",
}
METRICS = tuple(TITLES)
ALPHAS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)


def distances(
    targets: NDArray, sources: NDArray, source_samples: NDArray, info: ProbeInfo, metric: str, alpha: float = ALPHA
) -> FloatArray:
    """Distances ``[targets, sources]``; lower is better.

    Args:
        targets: ``[T, D]`` vectors of the tasks to serve.
        sources: ``[E, D]`` vectors of the experts' own tasks.
        source_samples: ``[E]`` images behind each source.
        info: the probe they all stem from.
        metric: one of ``METRICS``.
        alpha: weight of the source's complexity (asymmetric only).

    Raises:
        InputError: the metric is unknown.
    """
    if metric == "domain":
        return cosine(targets, sources)
    if metric == "symmetric":
        return symmetric(targets, sources)
    if metric == "asymmetric":
        complexity = to_trivial(sources, source_samples, info.filter_prior)
        return asymmetric(symmetric(targets, sources), complexity, alpha)
    raise InputError(f"there is no selector {metric!r}; choose one of {', '.join(METRICS)}")


def distances_in_rounds(
    targets: NDArray, sources: NDArray, source_samples: NDArray, info: ProbeInfo, metric: str, alpha: float = ALPHA
) -> FloatArray:
    """Distances ``[R, E]`` of a target as it came out in each of R rounds to the sources of the same round.

    Args:
        targets: ``[R, D]``.
        sources: ``[R, E, D]``.
        source_samples, info, metric, alpha: as for ``distances``.
    """
    if metric == "domain":
        return np.concatenate([cosine(t[None], s) for t, s in zip(targets, sources, strict=True)])
    found = symmetric_rounds(targets[:, None], sources)[:, 0]
    if metric == "asymmetric":
        rounds, experts, dimension = sources.shape
        complexity = to_trivial(sources.reshape(-1, dimension), np.tile(source_samples, rounds), info.filter_prior)
        found = found - alpha * complexity.reshape(rounds, experts)
    return found


def method_of(metric: str) -> str:
    """The embedding method a metric compares."""
    return DOMAIN if metric == "domain" else TASK2VEC


@dataclass(frozen=True)
class Nearest(Selector):
    """argmin_j d(expert j's task, t): one distance an expert, no training (T2V section 4.2).

    Attributes:
        metric: one of ``METRICS``.
        alpha: weight of the source's complexity (asymmetric only).
    """

    metric: str = "asymmetric"
    alpha: float = ALPHA

    @property
    def name(self) -> str:
        return self.metric

    @property
    def title(self) -> str:
        return TITLES[self.metric]

    def scores(self, meta: MetaTask) -> FloatArray:
        v = meta.vectors
        if v is None:
            return np.full(meta.errors.shape, np.nan)
        method = method_of(self.metric)
        return distances(v.targets[method], v.sources[method], v.samples, v.info, self.metric, self.alpha)


@dataclass(frozen=True)
class TunedAlpha:
    """The weight of the source's complexity, chosen on a meta-task.

    Attributes:
        alpha: with the lowest mean regret over all tasks; of equals the one nearest the default.
        table: ``alpha, mean, low, high``: mean relative error increase (%) of every alpha tried.
        mean, low, high: the same where every task's alpha was chosen on the other tasks: what tuning is worth.
    """

    alpha: float
    table: pd.DataFrame
    mean: float
    low: float
    high: float


def tune_alpha(meta: MetaTask, alphas: Sequence[float] = ALPHAS, offset: float = 0.0, seed: int = 0) -> TunedAlpha:
    """Choose alpha by leave-one-out cross validation over tasks.

    Args:
        meta: the meta-task.
        alphas: what to try.
        offset: added to the denominator of the relative increase.
        seed: of the bootstrap.
    """
    # Nearest the default first: argmin then settles ties in its favour.
    tried = sorted(alphas, key=lambda a: (abs(a - ALPHA), a))
    errors, best = meta.candidate_errors, meta.best
    regrets = np.stack(
        [relative_increase(chosen_error(errors, Nearest(alpha=a).scores(meta)), best, offset) for a in tried], axis=1
    )
    known = np.all(np.isfinite(regrets), axis=1)
    held_out = chosen_on_others(regrets)
    tuned = np.where(known, np.take_along_axis(regrets, held_out[:, None], 1)[:, 0], np.nan)
    *each, crossed = (e.within(0) for e in estimates(np.column_stack([regrets, tuned]), seed=seed))
    rows = [(a, e.mean, e.low, e.high) for a, e in zip(tried, each, strict=True)]
    table = pd.DataFrame(rows, columns=["alpha", "mean", "low", "high"]).sort_values("alpha", ignore_index=True)
    return TunedAlpha(tried[int(regrets[known].sum(0).argmin())], table, crossed.mean, crossed.low, crossed.high)


def chosen_on_others(regrets: FloatArray) -> NDArray[np.intp]:
    """``[T]`` index of the option with the least mean regret on all *other* tasks; of equals the first.

    Args:
        regrets: ``[T, A]`` of each option on each task; tasks with one that is not finite decide nothing.
    """
    totals = np.where(np.isfinite(regrets).all(1, keepdims=True), regrets, 0.0)
    return (totals.sum(0) - totals).argmin(1)
