"""Ranking experts for one task by distance, with the probability that each comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError
from t2v_core.probe.record import ProbeInfo
from t2v_core.selection.nearest import distances, distances_in_rounds
from t2v_core.space.distances import ALPHA, check_comparable

ROUNDS = 400


@dataclass(frozen=True)
class Ranked:
    """One expert's place.

    Attributes:
        expert_id: the expert.
        distance: from the expert's task to the target, by the selector's distance.
        spread: standard deviation of that distance over bootstrap rounds.
        p_first: share of the rounds in which it came first.
        p_top3: share of the rounds in which it was among the first three.
    """

    expert_id: str
    distance: float
    spread: float
    p_first: float
    p_top3: float


def rank_experts(
    target: Embedding,
    sources: Mapping[str, Embedding],
    info: ProbeInfo,
    selector: str = "asymmetric",
    *,
    alpha: float = ALPHA,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> list[Ranked]:
    """Order experts by the distance of their tasks to ``target``, nearest first.

    In every bootstrap round the chunks of the target and of every source are drawn anew, so the
    probabilities cover the sampling of images and labels on both sides.

    Args:
        target: the task to serve.
        sources: embedding of each expert's own task, by expert id.
        info: the probe.
        selector: one of ``nearest.METRICS``.
        alpha: weight of the source's complexity.
        rounds: bootstrap rounds.
        seed: of the bootstrap.

    Raises:
        InputError: there is no expert, or the embeddings stem from different spaces.
    """
    if not sources:
        raise InputError("no expert can be ranked: the bank has none whose task was embedded by this probe")
    check_comparable([target, *sources.values()])
    ids = list(sources)
    samples = np.array([sources[i].samples for i in ids])
    vectors = np.stack([sources[i].vector for i in ids])
    point = distances(target.vector[None], vectors, samples, info, selector, alpha)[0]
    rng = np.random.default_rng(seed)
    target_rounds = target.bootstrap(rounds, rng)
    source_rounds = np.stack([sources[i].bootstrap(rounds, rng) for i in ids], axis=1)
    resampled = distances_in_rounds(target_rounds, source_rounds, samples, info, selector, alpha)
    places = resampled.argsort(1).argsort(1)
    ranked = [
        Ranked(
            expert_id,
            float(point[e]),
            float(resampled[:, e].std()),
            float((places[:, e] == 0).mean()),
            float((places[:, e] < 3).mean()),
        )
        for e, expert_id in enumerate(ids)
    ]
    return sorted(ranked, key=lambda r: (r.distance, r.expert_id))


def certainty(ranked: list[Ranked]) -> str:
    """How certain the first place is, in one sentence."""
    first = ranked[0].p_first
    if len(ranked) == 1:
        return "There is only one candidate, so nothing could be compared."
    if first >= 0.9:
        return f"Clear: with other images of the same kind the same expert comes first in {first:.0%} of cases."
    if first >= 0.6:
        return f"Likely: with other images of the same kind this expert comes first in {first:.0%} of cases."
    rivals = [r for r in ranked if r.p_first >= 0.1]
    return (
        f"Open: this expert comes first in only {first:.0%} of cases; {len(rivals)} experts are within the noise. "
        "Compare them with heads fitted on your images, or give more images."
    )
