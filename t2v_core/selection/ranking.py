"""Ranking experts for one task by distance, with the probability that each comes first.

What is resampled is what the distance is a mean of: chunks of images for embeddings by a probe, networks for the Task
Tangent Kernel; and, where the target brings refits, the head behind it, or the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from t2v_core.embedding.record import PSEUDOTASK, Embedding
from t2v_core.embedding.tangent_kernel import TANGENT, cosines, gradients, tangent_kernel
from t2v_core.errors import InputError
from t2v_core.probe.record import ProbeInfo
from t2v_core.selection.nearest import distances, distances_in_rounds
from t2v_core.space.distances import ALPHA, asymmetric_by_norm, check_comparable, symmetric

ROUNDS = 400
CLEAR, LIKELY, RIVAL = 0.9, 0.6, 0.1
"""Shares of rounds from which a first place is called clear or likely, and an expert a rival for it."""
SAME = 1e-9
"""Distances that differ by less are sums of the same numbers in another order."""


@dataclass(frozen=True)
class Ranked:
    """One expert's place.

    Attributes:
        expert_id: the expert.
        distance: from the expert's task to the target, by the selector's distance.
        spread: standard deviation of that distance over bootstrap rounds.
        p_first: share of the rounds in which it came first; experts at one distance share a place.
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
    info: ProbeInfo | None,
    selector: str = "asymmetric",
    *,
    alpha: float | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> list[Ranked]:
    """Order experts by the distance of their tasks to ``target``, nearest first.

    In every bootstrap round the chunks of the target and of every source are drawn anew, so the
    probabilities cover the sampling of images and labels on both sides, and of the target's head where the target
    brings refits. With the Task Tangent Kernel the networks are drawn anew, and the target's images where it brings
    refits. Experts of one task are drawn as one.

    Args:
        target: the task to serve.
        sources: embedding of each expert's own task, by expert id.
        info: the probe; None with the Task Tangent Kernel, which has none.
        selector: one of ``nearest.METRICS``, ``"pseudotask"`` or ``"tangent"``.
        alpha: weight of the source's complexity (asymmetric, by default 0.15) or norm (PseudoTask, by default 0).
        rounds: bootstrap rounds.
        seed: of the bootstrap.

    Raises:
        InputError: there is no expert, or the embeddings stem from different spaces.
    """
    if not sources:
        raise InputError("no expert can be ranked: the bank has none whose task was embedded by this probe")
    alpha = _credit(selector) if alpha is None else alpha
    ids, embedded = list(sources), list(sources.values())
    check_comparable([target, *embedded])
    point = between([target], embedded, info, selector, alpha=alpha)[0]
    known = np.isfinite(point)  # no distance to an embedding of zeros is defined
    if not known.any():
        raise InputError("no expert can be ranked: the distance to none of their tasks is defined; embed the task anew")
    ids, embedded = list(compress(ids, known)), list(compress(embedded, known))
    point = point[known]
    rng = np.random.default_rng(seed)
    if selector == TANGENT:
        resampled = _other_networks(target, embedded, rounds, rng)
    else:
        resampled = _other_images(target, embedded, info, selector, alpha, rounds, rng)
    first, top3 = (_among_first(resampled, count) for count in (1, 3))
    ranked = [
        Ranked(
            expert_id,
            float(point[e]),
            float(resampled[:, e].std()),
            float(first[e]),
            float(top3[e]),
        )
        for e, expert_id in enumerate(ids)
    ]
    return sorted(ranked, key=lambda r: (r.distance, r.expert_id))


def _among_first(distances: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The share of rounds ``[E]`` in which each expert is among the first ``count``; those at one distance share."""
    distances = np.nan_to_num(np.round(distances / SAME), nan=np.inf)  # of a round in which nothing but zeros was drawn
    nearer = rankdata(distances, "min", axis=1) - 1
    equal = rankdata(distances, "max", axis=1) - nearer
    return np.clip((count - nearer) / equal, 0, 1).mean(0)


def between(
    targets: Sequence[Embedding],
    sources: Sequence[Embedding],
    info: ProbeInfo | None,
    selector: str,
    *,
    alpha: float | None = None,
) -> NDArray[np.float64]:
    """Distances ``[targets, sources]`` by a selector; for the Task Tangent Kernel 1 - k. Arguments as ``rank_experts``.

    Raises:
        InputError: the embeddings stem from different spaces.
    """
    if selector == TANGENT:
        return 1 - tangent_kernel(gradients(targets), gradients(sources)).mean
    a, b = (np.stack([e.vector for e in side]) for side in (targets, sources))
    alpha = _credit(selector) if alpha is None else alpha
    if selector == PSEUDOTASK:
        return asymmetric_by_norm(symmetric(a, b), _norms(b), alpha)
    return distances(a, b, np.array([e.samples for e in sources]), _known(info), selector, alpha)


def _credit(selector: str) -> float:
    """Alpha where none is given: the paper's, or none where it has to be tuned first."""
    return 0.0 if selector == PSEUDOTASK else ALPHA


def _norms(fisher: NDArray) -> NDArray[np.float64]:
    """||F|| of each row, the sum of its values."""
    return np.abs(fisher).sum(-1, dtype=np.float64)


def _known(info: ProbeInfo | None) -> ProbeInfo:
    if info is None:
        raise ValueError("distances between embeddings by a probe need its record, got None")
    return info


def _other_images(
    target: Embedding,
    sources: Sequence[Embedding],
    info: ProbeInfo | None,
    selector: str,
    alpha: float,
    rounds: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Distances ``[rounds, E]`` as they might have come out with other images on both sides."""
    a = target.bootstrap(rounds, rng)
    drawn = {id(source): source.bootstrap(rounds, rng) for source in {id(s): s for s in sources}.values()}
    b = np.stack([drawn[id(source)] for source in sources], axis=1)
    samples = np.array([source.samples for source in sources])
    if selector != PSEUDOTASK:
        return distances_in_rounds(a, b, samples, _known(info), selector, alpha)
    plain = distances_in_rounds(a, b, samples, _known(info), "symmetric")
    return np.concatenate([asymmetric_by_norm(d[None], n, alpha) for d, n in zip(plain, _norms(b), strict=True)])


def _other_networks(
    target: Embedding, sources: Sequence[Embedding], rounds: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Distances ``[rounds, E]`` as they might have come out with other random networks, and other images."""
    kept = gradients(sources)
    each = np.concatenate(list(cosines(gradients([target]), kept)))
    times = rng.multinomial(len(each), np.full(len(each), 1 / len(each)), rounds)
    found = 1 - times @ each / len(each)
    if target.refits is None:
        return found
    # The estimate from a half differs from that of all images as much as the latter does from the truth (the delete-d
    # jackknife of Shao and Wu 1989 with d = n / 2, whose factor is 1), by the networks that saw the half.
    halves = np.stack(list(cosines(target.refits.reshape(-1, *kept.shape[1:]), kept)), axis=1) - each
    moved = np.nanmean(halves[~np.isnan(halves).all((1, 2))], axis=1)
    if len(moved) < 2:
        return found
    return found + rng.normal(size=(rounds, len(moved))) @ (moved - moved.mean(0)) / np.sqrt(len(moved) - 1)


def certainty(
    ranked: list[Ranked], selector: str = "asymmetric", *, learnable: bool = True, compared: bool = False
) -> str:
    """How certain the first place is, in one or two sentences; never clear with the Task Tangent Kernel.

    Args:
        ranked: the experts, nearest first.
        selector: that ranked them.
        learnable: whether heads can be fitted on the task's labels.
        compared: whether they have been.
    """
    if len(ranked) == 1:
        return "There is only one candidate, so nothing could be compared."
    again = f"{'with other untrained networks, ' if selector == TANGENT else ''}drawing again among these images"
    then = (
        "The heads fitted on your images tell more."
        if compared
        else f"{'Compare' if learnable else 'Label some images and compare'} them with heads fitted on your images, or "
        "give more images."
    )
    equal = tied(ranked)
    share = sum(r.p_first for r in equal)
    if len(equal) > 1:
        return (
            f"Tied: {len(equal)} experts lie at one distance, as this rule cannot tell their own tasks apart; {again}, "
            f"one of them comes first in {share:.0%} of cases. {then}"
        )
    if share >= CLEAR and selector != TANGENT:
        return f"Clear: {again}, the same expert comes first in {share:.0%} of cases."
    if share >= LIKELY:
        # Other images of a task put another expert first far more often than its rounds do (benchmarks/README.md).
        but = "; other images of the same task may well put another one first" if selector == TANGENT else ""
        return f"Likely: {again}, the nearest expert comes first in {share:.0%} of cases{but}."
    rivals = {ranked[0].expert_id} | {r.expert_id for r in ranked if r.p_first >= RIVAL}
    return (
        f"Open: {again}, the nearest expert comes first in only {share:.0%} of cases; {len(rivals)} experts are within "
        f"the noise. {then}"
    )


def tied(ranked: list[Ranked]) -> list[Ranked]:
    """The experts that share the first place: those at one distance."""
    return [r for r in ranked if abs(r.distance - ranked[0].distance) < SAME]


def places(ranked: list[Ranked]) -> list[int]:
    """Each expert's place, from 1: those tied for the first share it."""
    equal = len(tied(ranked))
    return [1 if place <= equal else place for place in range(1, len(ranked) + 1)]
