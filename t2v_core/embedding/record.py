"""The Embedding record: a task's vector with everything needed to compare, repeat and doubt it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from t2v_core.fisher.sums import relative_standard_error, standard_error

TASK2VEC = "task2vec"
VARIATIONAL = "variational"
DOMAIN = "domain"
PSEUDOTASK = "pseudotask"

FISHER = frozenset({TASK2VEC, VARIATIONAL, PSEUDOTASK})
"""Methods whose vector is a Fisher diagonal: a number of at least 0 for every filter of the probe."""

NOISE_SETTINGS = frozenset({"seed", "chunks", "estimator", "total_draws", "tolerance", "precision"})
"""Settings that change the noise of an estimate but not what it estimates: vectors stay comparable."""

IDLE = 1e-6
"""Of a filter's largest value under any head: what is below counts as this much."""


@dataclass(frozen=True)
class Embedding:
    """One task embedded by one probe with one method.

    Attributes:
        vector: ``[D]`` float32; for Task2Vec the Fisher diagonal per filter, for the domain embedding
            the mean feature.
        method: ``"task2vec"``, ``"domain"``, ...
        probe_id: the probe's registry name.
        weights_hash: hash of the probe's weights.
        settings: every option that determined the vector.
        samples: number N of the images it was taken from; with a tolerance fewer may have sufficed, which the fact
            ``images_used`` tells.
        chunk_means: ``[C, D]`` float32, the same quantity on C disjoint chunks of the samples.
        chunk_weights: ``[C]`` weight of each chunk, summing to 1; ``chunk_weights @ chunk_means`` is
            ``vector``.
        seconds: wall time it took.
        device: where it was computed.
        refits: ``[R, D]`` float32, the Fisher diagonal of some of the samples under heads refitted on samples drawn
            with replacement (``embedding.refits``); for the Task Tangent Kernel the vector on halves of the samples,
            NaN for networks that did not see one; None where this noise was not asked for. A bank keeps none.
    """

    vector: NDArray[np.float32]
    method: str
    probe_id: str
    weights_hash: str
    settings: dict[str, object]
    samples: int
    chunk_means: NDArray[np.float32]
    chunk_weights: NDArray[np.float64]
    seconds: float = 0.0
    device: str = "cpu"
    facts: dict[str, object] = field(default_factory=dict)
    """Measurements made on the way, such as the head's validation accuracy. JSON values."""
    refits: NDArray[np.float32] | None = None

    @property
    def space(self) -> str:
        """Identifies what the vector may be compared with: same method, probe weights and settings that matter."""
        matter = {name: value for name, value in self.settings.items() if name not in NOISE_SETTINGS}
        key = json.dumps([self.method, self.weights_hash, matter], sort_keys=True)
        return hashlib.sha256(key.encode()).hexdigest()[:16]

    def bootstrap(self, rounds: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Vectors ``[rounds, D]`` as they might have come out with other samples of the same task.

        Chunks are drawn with replacement and averaged by weight; where there are refits, the head is drawn anew too.
        """
        count = len(self.chunk_weights)
        drawn = rng.integers(0, count, (rounds, count))
        times = np.zeros((rounds, count))
        np.add.at(times, (np.arange(rounds)[:, None], drawn), 1)
        weights = times * self.chunk_weights
        weights /= weights.sum(1, keepdims=True)
        # In float32, as the chunks are: a quarter of the time, and people wait for it.
        vectors = weights.astype(np.float32) @ self.chunk_means
        if self.refits is not None:
            vectors *= _factors(self.refits, rounds, rng)
        return vectors

    @property
    def standard_error(self) -> NDArray[np.float64]:
        """``[D]`` standard error of every number of the vector, estimated from the chunks; NaN for a single chunk."""
        return standard_error(self.chunk_means, self.chunk_weights)

    @property
    def relative_error(self) -> float:
        """Standard error of the vector over its norm, estimated from the chunks; NaN for a single chunk."""
        return relative_standard_error(self.chunk_means, self.chunk_weights)


def _factors(refits: NDArray[np.float32], rounds: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """What vectors ``[rounds, D]`` under other heads are of the vector at hand, filter by filter.

    Drawn from the normal distribution of the logarithms that has the mean 0 and the covariance of the refits'.

    Args:
        refits: ``[R, D]``, as in ``Embedding``.
        rounds: how many.
        rng: randomness.
    """
    # A filter that no head reaches has no logarithm, and nothing that could vary; of one that some heads do not reach
    # the logarithms would have no end.
    found = refits.astype(np.float64)
    logs = np.log(np.maximum(found, np.maximum(IDLE * found.max(0), np.finfo(np.float32).tiny)))
    deviations = ((logs - logs.mean(0)) / np.sqrt(len(logs) - 1)).astype(np.float32)
    return np.exp(rng.normal(size=(rounds, len(logs))).astype(np.float32) @ deviations)
