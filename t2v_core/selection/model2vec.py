"""MODEL2VEC: experts placed among the tasks they serve well (T2V section 3.4, supplement 4.3).

Expert j stands at m_j = F_j + b_j: the embedding of its own task (0 where unknown) plus a bias learned from an
error matrix, so that softmax(-gamma d_asym(t_i, m_j)) predicts the best experts of each training task.

The sum is one of logarithms, taken relative to the mean training task: m_j = F_j exp(b_j), and an expert of unknown
origin starts at the mean task. d_sym compares shares F_a / (F_a + F_b), which depend on log F_a - log F_b alone: in
logarithms it is the same everywhere, a step of 0.05 changes any filter of any expert by 5 %, and m_j stays
positive, as a Fisher diagonal is. In the diagonals' own units, 1e-8 to 1e-1, one step of 0.05 would leave nothing
of F_j; in units of each filter's mean it still drowns the experts of easy tasks, whose F_j is small throughout.
gamma = exp(g) starts at 1.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from t2v_core.embedding.record import TASK2VEC
from t2v_core.probe.record import BETA, ProbeInfo
from t2v_core.selection.meta_task import MetaTask
from t2v_core.selection.model2vec_kernel import compiled
from t2v_core.selection.nearest import distances
from t2v_core.selection.regret import BoolArray, FloatArray
from t2v_core.selection.selectors import Selector
from t2v_core.space.distances import ALPHA, precision

DECAY_1, DECAY_2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma and Ba 2015)."""


@dataclass(frozen=True)
class Placed:
    """Experts placed in the task space.

    Attributes:
        models: ``[E, D]`` m_j, non-negative; NaN where nothing is known of an expert and nothing was learned.
        samples: ``[E]`` images taken to stand behind each, for its complexity.
        gamma: learned inverse temperature.
        info: the probe.
        alpha: weight of the experts' complexity.
    """

    models: FloatArray
    samples: FloatArray
    gamma: float
    info: ProbeInfo
    alpha: float

    def distances(self, targets: NDArray) -> FloatArray:
        """d_asym(t_i, m_j) ``[T, E]`` of Fisher embeddings ``[T, D]``; the nearest expert is the prediction."""
        return distances(targets, self.models, self.samples, self.info, "asymmetric", self.alpha)


@dataclass(frozen=True)
class Model2Vec(Selector):
    """The learned selector with the papers' settings.

    Attributes:
        alpha: weight of the source's complexity in d_asym.
        sharpness: of the soft targets softmax(-sharpness (e - mean) / std).
        learning_rate, weight_decay, epochs: of Adam, over the whole matrix at once.
    """

    alpha: float = ALPHA
    sharpness: float = 20.0
    learning_rate: float = 0.05
    weight_decay: float = 5e-4
    epochs: int = 81

    @property
    def name(self) -> str:
        return "model2vec"

    @property
    def title(self) -> str:
        return "nearest expert, each moved to where the errors on the other tasks put it"

    def scores(self, meta: MetaTask) -> FloatArray:
        """Leave one out: every task is scored by experts that were placed without its errors."""
        if meta.vectors is None:
            return np.full(meta.errors.shape, np.nan)
        rows, targets = training_rows(meta), meta.vectors.targets[TASK2VEC]

        def left_out(row: int) -> FloatArray:
            return self.fit(meta, rows[rows != row]).distances(targets[[row]])[0]

        # A task that teaches nothing has nothing to leave out.
        found = self.fit(meta, rows).distances(targets)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for row, distance in zip(rows, pool.map(left_out, rows), strict=True):
                found[row] = distance
        return found

    def fit(self, meta: MetaTask, rows: NDArray[np.intp]) -> Placed:
        """Place the experts by the errors of some tasks.

        Args:
            meta: with vectors.
            rows: indices of the tasks to learn from, of ``training_rows``.
        """
        v = meta.vectors
        if v is None:
            raise ValueError("MODEL2VEC needs the embeddings of tasks and experts")
        own = v.sources[TASK2VEC].astype(np.float64)
        known = np.all(np.isfinite(own), axis=1)
        samples = np.where(known, v.samples, v.samples[known].mean() if known.any() else 1)
        if not len(rows):
            return Placed(own, samples, 1.0, v.info, self.alpha)
        tasks, errors = v.targets[TASK2VEC][rows], meta.candidate_errors[rows]
        own = np.where(known[:, None], own, tasks.mean(0, dtype=np.float64))
        soft, candidate = soft_targets(errors, self.sharpness), np.isfinite(errors)
        problem = Problem(tasks.astype(np.float32), soft, candidate, v.info.filter_prior, samples, self.alpha)
        bias, log_gamma = np.zeros_like(own), np.zeros(1)
        adam_bias, adam_gamma = Adam(bias, self.learning_rate), Adam(log_gamma, self.learning_rate)
        for _ in range(self.epochs):
            gamma = float(np.exp(log_gamma[0]))
            _, gradient, gamma_gradient = problem.loss(own * np.exp(bias), gamma)
            adam_bias.step(gradient + self.weight_decay * bias)
            adam_gamma.step(np.array([gamma * gamma_gradient]))
        return Placed(own * np.exp(bias), samples, float(np.exp(log_gamma[0])), v.info, self.alpha)


@dataclass(frozen=True)
class Problem:
    """Cross entropy between the soft targets and softmax(-gamma d_asym), and its gradient.

    Attributes:
        tasks: ``[T, D]``; its type, float32 or float64, is that of the computation.
        soft: ``[T, E]`` target probabilities.
        candidate: ``[T, E]``.
        prior: ``[D]`` lambda^2, the trivial embedding t_0.
        samples: ``[E]`` images behind each model.
        alpha: weight of the models' complexity.
    """

    tasks: NDArray
    soft: FloatArray
    candidate: BoolArray
    prior: FloatArray
    samples: FloatArray
    alpha: float

    def loss(self, models: FloatArray, gamma: float) -> tuple[float, FloatArray, float]:
        """Loss, dL/dlog(models) ``[E, D]`` and dL/dgamma.

        Args:
            models: ``[E, D]``, non-negative; a filter at 0 stays there.
            gamma: inverse temperature.
        """
        trivial = self.prior[None]
        similarity, slope = similarity_to_fixed(trivial, precision(models, self.samples, self.prior))
        shift = -self.alpha * (1 - similarity)
        distance, pull, gradient = compiled()(
            self.tasks, models.astype(self.tasks.dtype), self.candidate, self.soft, gamma, shift
        )
        through_shift = self.alpha * gamma * pull.sum(0) / len(self.tasks)
        by_precision = through_shift[:, None] * slope
        total = gradient + by_precision * 2 * self.samples[:, None] / BETA * models
        logits = np.where(self.candidate, -gamma * distance, -np.inf)
        log_p = np.where(self.candidate, log_softmax(logits, axis=1), 0)
        return -float((self.soft * log_p).sum(1).mean()), total, float((pull * distance).sum() / len(self.tasks))


class Adam:
    """Adam on one array, changed in place (Kingma and Ba 2015)."""

    def __init__(self, values: FloatArray, learning_rate: float) -> None:
        self._values, self._learning_rate, self._steps = values, learning_rate, 0
        self._mean, self._square = np.zeros_like(values), np.zeros_like(values)

    def step(self, gradient: FloatArray) -> None:
        """Move against a gradient."""
        self._steps += 1
        self._mean += (1 - DECAY_1) * (gradient - self._mean)
        self._square += (1 - DECAY_2) * (gradient**2 - self._square)
        mean, square = self._mean / (1 - DECAY_1**self._steps), self._square / (1 - DECAY_2**self._steps)
        self._values -= self._learning_rate * mean / (np.sqrt(square) + EPSILON)


def similarity_to_fixed(fixed: FloatArray, moving: FloatArray) -> tuple[FloatArray, FloatArray]:
    """1 - d_sym of rows ``[n]``, and its gradient ``[n, D]`` with respect to the second argument.

    Args:
        fixed: ``[n, D]`` or ``[1, D]``, non-negative.
        moving: ``[n, D]``, positive wherever ``fixed`` is zero.
    """
    total = fixed + moving
    r, q = fixed / total, moving / total
    rr, qq, rq = (np.einsum("nd,nd->n", x, y)[:, None] for x, y in ((r, r), (q, q), (r, q)))
    norm = np.sqrt(rr * qq)
    slope = r / total * ((r - q) / norm + rq / norm * (r / rr - q / qq))
    return (rq / norm)[:, 0], slope


def soft_targets(errors: FloatArray, sharpness: float) -> FloatArray:
    """softmax(-sharpness (e - mean) / std) over each row's candidates ``[T, E]``; 0 where there is no candidate."""
    spread = np.nanstd(errors, axis=1, keepdims=True)
    standard = -sharpness * (errors - np.nanmean(errors, axis=1, keepdims=True)) / spread
    weights = np.nan_to_num(np.exp(standard - np.nanmax(standard, axis=1, keepdims=True)))
    return weights / weights.sum(1, keepdims=True)


def training_rows(meta: MetaTask) -> NDArray[np.intp]:
    """Indices of the tasks that teach something: embedded, with candidates that differ."""
    if meta.vectors is None or not meta.errors.size:
        return np.zeros(0, dtype=np.intp)
    embedded = np.all(np.isfinite(meta.vectors.targets[TASK2VEC]), axis=1)
    errors = meta.candidate_errors
    highest = np.where(np.isfinite(errors), errors, -np.inf).max(1)
    return np.flatnonzero(embedded & (highest > meta.best))
