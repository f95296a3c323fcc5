"""Task Tangent Kernel (WLF section 6): Task -> gradients of an untrained loss under random networks.

For network i, g_i(T) is the gradient of the MCR^2 loss of a class-balanced batch of the task with respect
to the last residual block. No pre-trained network has a part in it, and nothing is trained. Two tasks are
compared by ``tangent_kernel``.

A gradient has 115,520 numbers (small networks) or 4.7 million (ResNet-18). A count sketch (Charikar et al.
2002) reduces it to P: every number is added, with a random sign, to one of P sums. Cosines are kept on average,
with a standard error of at most about 1 / sqrt(P) a network, which the mean over networks divides by sqrt(M).

Equation 6 takes the gradient of the whole task, of which a batch gives a noisy estimate. Noise divides a cosine by
the root of both sides' reliabilities, r the cosine of two batches of one task (attenuation, Spearman 1904). For a
given target its own r matters not, but the sources' do: with one batch r runs from about 0.25 (two classes, between
which the two terms of the loss nearly cancel) over 0.5 (five) to 0.75 (45), so that tasks of many classes look nearest
to everything. The mean of B batches has B r / (1 + (B - 1) r), which evens the sources out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from t2v_core.embedding.record import Embedding
from t2v_core.embedding.sketches import Sketch, Source, source_of
from t2v_core.embedding.tangent_kernel import TANGENT, unit
from t2v_core.fisher.mcr2 import EPS_SQUARE
from t2v_core.probe.precision import full_precision
from t2v_core.probe.random_networks import Architecture
from t2v_core.task.record import DecodedTask, Progress
from t2v_core.task.streaming import ahead


@dataclass(frozen=True)
class TangentSettings:
    """Options of the embedding; they are part of its record.

    Attributes:
        architecture: of the random networks.
        networks: M. Network i is the same in any number of them.
        batches: batches a network at most, whose gradients are averaged; a task gets no more than its images fill.
        batch_size: images a batch, fewer where the task has fewer.
        eps_square: eps^2 of the loss.
        dimension: P, numbers kept of each network's gradient.
        network_seed: of the networks and sketches; other networks make another space.
        seed: of the images drawn.
    """

    architecture: Architecture = "resnet18"
    networks: int = 100
    batches: int = 1
    batch_size: int = 128
    eps_square: float = EPS_SQUARE
    dimension: int = 1024
    network_seed: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.networks, self.batches, self.dimension) < 1 or self.batch_size < 4:
            raise ValueError(f"need a network, a batch, a dimension and batches of at least 4 images, got {self}")


KEPT = TangentSettings(architecture="small", networks=16, batches=4, dimension=512)
"""What the demo bank keeps of its experts' tasks: a new task is compared after a few seconds of its own gradients."""

HALVES = 8
SEEN: dict[Architecture, int] = {"small": HALVES, "resnet18": 1}
"""Halves of the images that every network sees: of large networks each an eighth, to double the wait and no more."""

BY_ARCHITECTURE: dict[Architecture, TangentSettings] = {"small": KEPT, "resnet18": TangentSettings()}
"""How tasks are embedded by either kind of network: small images quickly, or photographs as in the paper."""


def embed_tangent(
    decoded: DecodedTask,
    settings: TangentSettings | None = None,
    *,
    refits: bool = False,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Embedding:
    """Embed one labelled task; see ``embed_tangents``.

    With ``refits`` the gradients of halves of its images come along, which tell how far the vector moves with the
    images: a task of up to ``batch_size`` images shows all of them to every network, so that the spread over networks
    says nothing of it. With ``SEEN`` halves a network they take about as long again as ``SEEN`` batches.
    """
    embedding = embed_tangents([decoded], settings, device=device, progress=progress)[0]
    if not refits:
        return embedding
    settings, device = settings or TangentSettings(), device or torch.device("cpu")
    return replace(embedding, refits=_of_halves(source_of(decoded), settings, device, progress))


def few_for_a_batch(embedding: Embedding) -> list[str]:
    """What a person should know of a task with fewer images than a batch; empty where it has enough."""
    images, usual = embedding.facts["batch_size"], embedding.settings["batch_size"]
    if images == usual:
        return []
    return [
        f"A batch of the Task Tangent Kernel holds {usual} images and there are only {images}: all of its networks see "
        "the same ones, so that much depends on these very images. More would make the ranking firmer."
    ]


@full_precision()
def embed_tangents(
    tasks: Sequence[DecodedTask],
    settings: TangentSettings | None = None,
    *,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> list[Embedding]:
    """Embed labelled tasks, building every network once for all of them.

    Args:
        tasks: decoded as ``SPECS[settings.architecture]`` says; held-out images are not used.
        settings: options.
        device: where to compute, by default the CPU; the networks and images are the same on any.
        progress: called with gradients done.

    Returns:
        One embedding a task, with the seconds it would have taken alone. Its vector holds M unit vectors of P numbers,
        one after the other, each exact in float16; ``tangent_kernel.gradients`` takes them apart. It comes as a single
        chunk: its spread is over networks, not over samples. Its facts say how many ``batches`` a network there were.

    Raises:
        InputError: a task has one class, no class of two images, or images that are all the same.
    """
    settings = settings or TangentSettings()
    device = device or torch.device("cpu")
    sources = [source_of(decoded) for decoded in tasks]
    counts = [source.batches(settings.batches, settings.batch_size) for source in sources]
    parts, seconds = [], np.zeros(len(tasks))
    for found, took in _sketches(sources, [counts] * settings.networks, settings, device, progress):
        parts.append(unit(np.stack([sketches.mean(0) for sketches in found])))
        seconds += took
    vectors = np.stack(parts, axis=1).reshape(len(tasks), -1).astype(np.float32)
    family = f"{settings.architecture}, He-normal by numpy, seed {settings.network_seed}"
    return [
        Embedding(
            vector=vector,
            method=TANGENT,
            probe_id=f"random-{settings.architecture}",
            weights_hash=hashlib.sha256(family.encode()).hexdigest(),
            settings=asdict(settings),
            samples=len(source.rows),
            chunk_means=vector[None],
            chunk_weights=np.ones(1),
            seconds=float(spent),
            device=str(device),
            facts={
                "batch_size": min(settings.batch_size, len(source.rows)),
                "batches": count,
                "classes": int(source.labels.max()) + 1,
                "classes_of_one_image": int((np.bincount(source.labels) == 1).sum()),
            },
        )
        for vector, source, count, spent in zip(vectors, sources, counts, seconds, strict=True)
    ]


def networks_against_batches(
    tasks: Sequence[DecodedTask],
    counts: Sequence[int] = (1, 2, 5, 10, 20, 50, 100),
    budget: int = 100,
    settings: TangentSettings | None = None,
    *,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> dict[int, NDArray[np.float16]]:
    """WLF Figure 7: x networks with budget / x batches each, for every x in ``counts``.

    Args:
        tasks: as for ``embed_tangents``.
        counts: numbers of networks.
        budget: batches in all. A gradient that several x use is computed once.
        settings: options; its networks and batches are not used.
        device: where to compute.
        progress: called with gradients done.

    Returns:
        For each x the gradients ``[T, x, P]`` to give to ``tangent_kernel``.
    """
    if min(counts) < 1 or max(counts) > budget:
        raise ValueError(f"counts must lie between 1 and the budget of {budget} batches, got {list(counts)}")
    settings = settings or TangentSettings()
    sources = [source_of(decoded) for decoded in tasks]
    needed = [budget // min(x for x in counts if x > number) for number in range(max(counts))]
    parts: dict[int, list[NDArray[np.float16]]] = {x: [] for x in counts}
    needs = [[count] * len(sources) for count in needed]
    sketches = _sketches(sources, needs, settings, device or torch.device("cpu"), progress)
    for number, (found, _) in enumerate(sketches):
        for x in counts:
            if x > number:
                parts[x].append(unit(np.stack([batches[: budget // x].mean(0) for batches in found])))
    return {x: np.stack(part, axis=1) for x, part in parts.items()}


def _sketches(
    sources: Sequence[Source],
    batches: Sequence[Sequence[int]],
    settings: TangentSettings,
    device: torch.device,
    progress: Progress | None,
) -> Iterator[tuple[list[NDArray[np.float32]], NDArray[np.float64]]]:
    """For each network every task's reduced gradients ``[batches, P]``, and the seconds ``[T]`` each would take alone.

    ``batches`` holds, for each network, how many every task gets.
    """
    done, total = 0, sum(map(sum, batches))
    clock = [time.perf_counter()]
    for number, sketch in enumerate(_networks(len(batches), settings, device)):
        found = [np.empty((count, settings.dimension), np.float32) for count in batches[number]]
        clock.append(time.perf_counter())
        for source, sketches in zip(sources, found, strict=True):
            for batch in range(len(sketches)):
                rng = np.random.default_rng([settings.seed, number, 3, batch])
                pixels, labels = source.draw(settings.batch_size, rng)
                sketches[batch] = sketch.gradient(pixels, labels, settings.eps_square)
                done += 1
                if progress is not None:
                    progress(done, total, "gradients")
            clock.append(time.perf_counter())
        waiting, *spent = np.diff(clock)
        yield found, np.array(spent) + waiting
        clock = [time.perf_counter()]


def _of_halves(
    source: Source, settings: TangentSettings, device: torch.device, progress: Progress | None
) -> NDArray[np.float32]:
    """The gradients of ``HALVES`` halves of a task's images, ``[HALVES, M P]``, one batch of a half each.

    All networks that see a half see the same one. NaN where one does not.
    """
    found = np.full((HALVES, settings.networks, settings.dimension), np.nan, np.float32)
    each = SEEN[settings.architecture]
    for number, sketch in enumerate(_networks(settings.networks, settings, device)):
        for half in {(number + step) % HALVES for step in range(each)}:
            rngs = (np.random.default_rng([settings.seed, *key]) for key in ((half, 6), (number, 7, half)))
            pixels, labels = source.draw_half(settings.batch_size, *rngs)
            found[half, number] = unit(sketch.gradient(pixels, labels, settings.eps_square))
        if progress is not None:
            progress(number + 1, settings.networks, "halves of the images")
    return found.reshape(HALVES, -1)


def _networks(count: int, settings: TangentSettings, device: torch.device) -> Iterator[Sketch]:
    """The first networks, one after the other.

    A large one takes a quarter of a second to draw, on one processor core, which is more than a GPU needs for its
    gradient: the next ones are drawn meanwhile. Without a GPU the cores are busy with gradients already.
    """

    def build(number: int) -> Sketch:
        return Sketch(settings.architecture, settings.network_seed, number, settings.dimension, device)

    return map(build, range(count)) if device.type == "cpu" else ahead(build, count)
