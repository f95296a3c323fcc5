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
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from t2v_core.embedding.batches import balanced_batch
from t2v_core.embedding.record import Embedding
from t2v_core.embedding.tangent_kernel import TANGENT, unit
from t2v_core.errors import InputError
from t2v_core.fisher.mcr2 import EPS_SQUARE, mcr2_loss
from t2v_core.probe.probe import normalise
from t2v_core.probe.random_networks import SPECS, Architecture, RandomNetwork, random_network
from t2v_core.task.record import DecodedTask, IntArray, Progress
from t2v_core.task.streaming import ahead

WITHOUT_LABELS = "PseudoTask or the domain embedding, which need no labels"


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

BY_ARCHITECTURE: dict[Architecture, TangentSettings] = {"small": KEPT, "resnet18": TangentSettings()}
"""How tasks are embedded by either kind of network: small images quickly, or photographs as in the paper."""


@dataclass(frozen=True)
class _Source:
    """A task's training images: ``rows [N]`` of its pixels, and their labels ``[N]``."""

    decoded: DecodedTask
    rows: IntArray
    labels: IntArray

    def batches(self, settings: TangentSettings) -> int:
        """How many batches its images fill, up to the settings' number."""
        return min(settings.batches, -(-len(self.rows) // settings.batch_size))

    def draw(self, size: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], IntArray]:
        """A class-balanced batch of pixels and labels."""
        drawn = balanced_batch(self.labels, size, rng)
        pixels = self.decoded.pixels[self.rows[drawn]]
        if not (pixels != pixels[:1]).any():
            raise InputError(
                f"the {len(drawn)} images drawn from {self.decoded.task.name!r} are all the same, so nothing tells "
                "its classes apart; check the files"
            )
        return pixels, self.labels[drawn]


def embed_tangent(
    decoded: DecodedTask,
    settings: TangentSettings | None = None,
    *,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Embedding:
    """Embed one labelled task; see ``embed_tangents``."""
    return embed_tangents([decoded], settings, device=device, progress=progress)[0]


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
        One embedding a task. Its vector holds M unit vectors of P numbers, one after the other, each exact in
        float16; ``tangent_kernel.gradients`` takes them apart. It comes as a single chunk: its spread is over
        networks, not over samples. Its facts say how many ``batches`` a network there were.

    Raises:
        InputError: a task has one class, no class of two images, or images that are all the same.
    """
    settings = settings or TangentSettings()
    device = device or torch.device("cpu")
    sources = [_source(decoded) for decoded in tasks]
    counts = [source.batches(settings) for source in sources]
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
    sources = [_source(decoded) for decoded in tasks]
    needed = [budget // min(x for x in counts if x > number) for number in range(max(counts))]
    parts: dict[int, list[NDArray[np.float16]]] = {x: [] for x in counts}
    needs = [[count] * len(sources) for count in needed]
    sketches = _sketches(sources, needs, settings, device or torch.device("cpu"), progress)
    for number, (found, _) in enumerate(sketches):
        for x in counts:
            if x > number:
                parts[x].append(unit(np.stack([batches[: budget // x].mean(0) for batches in found])))
    return {x: np.stack(part, axis=1) for x, part in parts.items()}


def _source(decoded: DecodedTask) -> _Source:
    """A task's training images, refused where the loss has nothing to separate."""
    name, rows = decoded.task.name, np.flatnonzero(~decoded.task.held_out)
    classes, labels = np.unique(decoded.task.labels[rows], return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"the Task Tangent Kernel separates classes and {name!r} has only one; add a second class, or choose "
            f"{WITHOUT_LABELS}"
        )
    if np.bincount(labels).max() < 2:
        raise InputError(
            f"no class of {name!r} has two images, so nothing tells what belongs together; add images, or choose "
            f"{WITHOUT_LABELS}"
        )
    return _Source(decoded, rows, labels)


def _sketches(
    sources: Sequence[_Source],
    batches: Sequence[Sequence[int]],
    settings: TangentSettings,
    device: torch.device,
    progress: Progress | None,
) -> Iterator[tuple[list[NDArray[np.float32]], NDArray[np.float64]]]:
    """For each network every task's reduced gradients ``[batches, P]``, and the seconds ``[T]`` that each task took.

    ``batches`` holds, for each network, how many every task gets. A large network takes a quarter of a second to draw,
    on one processor core, which is more than a GPU needs for its gradient: the next ones are drawn meanwhile. Without a
    GPU the cores are busy with gradients already.
    """

    def build(number: int) -> tuple[RandomNetwork, Tensor, Tensor]:
        network = random_network(settings.architecture, settings.network_seed, number, device)
        size = sum(p.numel() for p in network.block.parameters())
        return network, *_projection(size, number, settings, device)

    numbers = range(len(batches))
    built = (build(number) for number in numbers) if device.type == "cpu" else ahead(build, len(batches))
    done, total = 0, sum(map(sum, batches))
    clock = [time.perf_counter()]
    for number, (network, bucket, sign) in enumerate(built):
        found = [np.empty((count, settings.dimension), np.float32) for count in batches[number]]
        parameters = list(network.block.parameters())
        clock.append(time.perf_counter())
        for source, sketches in zip(sources, found, strict=True):
            for batch in range(len(sketches)):
                rng = np.random.default_rng([settings.seed, number, 3, batch])
                pixels, labels = source.draw(settings.batch_size, rng)
                features = network.features(normalise(pixels, SPECS[settings.architecture], device))
                loss = mcr2_loss(features, torch.from_numpy(labels).to(device), settings.eps_square)
                gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
                reduced = torch.zeros(settings.dimension, device=device).index_add_(0, bucket, gradient * sign)
                sketches[batch] = reduced.cpu().numpy()
                done += 1
                if progress is not None:
                    progress(done, total, "gradients")
            clock.append(time.perf_counter())
        waiting, *spent = np.diff(clock)
        yield found, np.array(spent) + waiting / len(sources)
        clock = [time.perf_counter()]


def _projection(parameters: int, number: int, settings: TangentSettings, device: torch.device) -> tuple[Tensor, Tensor]:
    """A network's count sketch: for each of its numbers the sum it goes to, and its sign."""
    rng = np.random.default_rng([settings.network_seed, number, 2, settings.dimension])
    bucket = torch.from_numpy(rng.integers(0, settings.dimension, parameters))
    sign = torch.from_numpy(rng.integers(0, 2, parameters, dtype=np.int8)).float() * 2 - 1
    return bucket.to(device), sign.to(device)
