"""The Fisher diagonal of a frozen probe's filters, the square taken per sample: exact or Monte Carlo.

    F = E_x E_{y ~ p(y|x)} [(d log p(y|x) / dw)^2], averaged over the weights of each filter
    (T2V section 3 and 3.1, WLF equation 1; the diagonal, the head left out).

The labels y come from the model, not from the data. ``exact`` takes their expectation identically by
K - 1 backward passes (``factors.softmax_exact``); ``montecarlo`` draws them; ``signs`` takes all
vectors of the exact factor in each pass, added up under random signs (``factors.softmax_signed``).

The public reference code squares the gradient of the batch mean, which scales as 1/B and is far noisier;
here the batch size does not enter the result at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from t2v_core.errors import InputError
from t2v_core.fisher import factors
from t2v_core.fisher.capture import watch
from t2v_core.fisher.layers import Gram, Patches, filter_means, read_input
from t2v_core.fisher.sums import ChunkSums, assign_chunks, imbalance
from t2v_core.probe.calls import Call
from t2v_core.probe.heads import Head, class_weights
from t2v_core.probe.precision import full_precision
from t2v_core.probe.probe import Probe
from t2v_core.task.record import Progress

KEEP_BYTES = 256 << 20
"""Of the layers' inputs kept between the backward passes of one batch."""

FIRST_LOOK = 10
"""Chunks done before an adaptive run first asks whether it may stop: fewer say little about the spread."""

CHUNK_IMAGES = 64
"""Images a chunk of an adaptive run has at most, so that of a large folder it need not look at a whole share."""

BALANCE = 0.1
"""Total variation by which the classes of the images that an adaptive run stops at may differ from equal shares."""


@dataclass(frozen=True)
class DiagonalSettings:
    """How a Fisher diagonal is estimated.

    Attributes:
        estimator: ``"exact"``, ``"montecarlo"`` or ``"signs"``.
        draws: labels, or signs, drawn a sample: backward passes. From K - 1 on (K binary attributes: K) the exact
            expectation is no dearer and is taken instead.
        likelihood: ``"softmax"`` over classes, or ``"bernoulli"`` for independent binary attributes.
        chunks: parts to keep apart for the spread.
        tolerance: stop once the relative standard error of F is below it, and of every class about as large a share
            has been seen; None uses every image.
        seed: of the drawn labels and of the chunks.
        batch_size: images a pass; it affects speed and memory, not the result.
        precision: ``"bfloat16"`` runs the network and the products of its gradients in it where it can, which is
            faster on machines that have it; sums are kept in float32 and float64 all the same.
    """

    estimator: Literal["exact", "montecarlo", "signs"] = "montecarlo"
    draws: int = 1
    likelihood: Literal["softmax", "bernoulli"] = "softmax"
    chunks: int = 20
    tolerance: float | None = None
    seed: int = 0
    batch_size: int = 32
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        """Refuse what no estimate can be made with."""
        if self.estimator not in ("exact", "montecarlo", "signs") or self.likelihood not in ("softmax", "bernoulli"):
            raise InputError(f"there is no estimator {self.estimator!r} under the likelihood {self.likelihood!r}")
        if min(self.draws, self.chunks, self.batch_size) < 1:
            raise InputError("draws, chunks and the batch size must be at least 1")
        if self.tolerance is not None and not self.tolerance > 0:
            raise InputError(f"a tolerance is a relative error above 0, not {self.tolerance:g}")


@full_precision()
def fisher_diagonal(
    probe: Probe,
    head: Head,
    pixels: np.ndarray,
    labels: np.ndarray,
    settings: DiagonalSettings | None = None,
    progress: Progress | None = None,
) -> ChunkSums:
    """Fisher diagonal of the probe's filters on one task.

    Args:
        probe: the frozen network.
        head: the task's head, whose predictions stand for p(y|x).
        pixels: ``[N, S, S, 3]`` uint8.
        labels: ``[N]`` class indices, or ``[N, K]`` zeros and ones under ``"bernoulli"``. They only
            balance the classes and never enter the gradient.
        settings: the estimator and its options.
        progress: called with images done.

    Returns:
        Chunk sums, of ``settings.chunks`` chunks where there are as many images; ``.mean`` is the embedding. With a
        tolerance they cover the images used.
    """
    settings = settings or DiagonalSettings()
    attributes = settings.likelihood == "bernoulli"
    classes = np.zeros(len(labels), dtype=np.int64) if attributes else np.asarray(labels)
    weights = class_weights(classes, 1 if attributes else len(head.bias))
    adaptive = settings.tolerance is not None
    parts = max(settings.chunks, -(-len(labels) // CHUNK_IMAGES)) if adaptive else settings.chunks
    chunk = assign_chunks(classes, parts, settings.seed)
    looks = np.flatnonzero(imbalance(classes, chunk)[:-1] <= BALANCE) + 1 if adaptive else np.empty(0, np.int64)
    looks = looks[looks >= FIRST_LOOK].tolist()
    factor = _factor(settings, len(labels), len(head.bias), probe.device)
    return _accumulate(probe, head, pixels, weights, chunk, looks, factor, settings, progress).merged(settings.chunks)


def _factor(
    settings: DiagonalSettings, samples: int, classes: int, device: torch.device
) -> Callable[[Tensor, np.ndarray], Tensor]:
    """The function ``(logits [B, K], rows [B]) -> [S, B, K]`` that the settings ask for."""
    softmax = settings.likelihood == "softmax"
    exact = factors.softmax_exact if softmax else factors.bernoulli_exact
    if settings.estimator == "exact" or settings.draws >= (classes - 1 if softmax else classes):
        return lambda logits, rows: exact(logits)
    rng = np.random.default_rng([settings.seed, 0])
    if settings.estimator == "signs":
        columns = classes - 1 if softmax else classes
        signs = rng.integers(0, 2, (samples, settings.draws, columns), dtype=np.int8) * 2 - 1
        signed = factors.softmax_signed if softmax else factors.bernoulli_signed
        return lambda logits, rows: signed(logits, torch.from_numpy(signs[rows]).to(device))
    uniforms = rng.random((samples, settings.draws) if softmax else (samples, settings.draws, classes))
    drawn = factors.softmax_drawn if softmax else factors.bernoulli_drawn
    return lambda logits, rows: drawn(logits, torch.from_numpy(uniforms[rows]).to(device))


def _accumulate(
    probe: Probe,
    head: Head,
    pixels: np.ndarray,
    weights: np.ndarray,
    chunk: np.ndarray,
    looks: list[int],
    factor: Callable[[Tensor, np.ndarray], Tensor],
    settings: DiagonalSettings,
    progress: Progress | None,
) -> ChunkSums:
    """Add up the samples' squared gradients, chunk after chunk; after ``looks`` of them it may be enough."""
    layers = probe.weights()
    edges = np.concatenate([[0], np.cumsum([count for _, count in probe.info.layers])])
    parts = int(chunk.max()) + 1
    sums = torch.zeros(parts, int(edges[-1]), dtype=torch.float64, device=probe.device)
    order = np.argsort(chunk, kind="stable")
    share = torch.zeros(0)
    several = False
    kept: dict[int, Patches | Gram] = {}
    tolerance = settings.tolerance or 0.0
    half = torch.bfloat16 if settings.precision == "bfloat16" else None

    def add(number: int, call: Call, delta: Tensor) -> None:
        batch = share.shape[1]
        inputs = kept.get(number)
        if inputs is None:
            inputs = read_input(call, batch, half)
            if several and sum(k.size for k in [*kept.values(), inputs]) <= KEEP_BYTES:
                kept[number] = inputs
        values = filter_means(call, inputs, delta, batch)
        sums[:, edges[number] : edges[number + 1]] += share @ values.double()

    # In eval mode each sample's gradient depends on itself alone, so one pass serves a batch.
    batch_size = 1 if probe.one_by_one else settings.batch_size
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        images = probe.normalise(pixels[rows])
        with watch(layers, add), torch.autocast(probe.device.type, torch.bfloat16, enabled=half is not None):
            z = probe.network(images)
        with torch.enable_grad():
            logits = head.logits(z.to(torch.promote_types(z.dtype, torch.float32)))
        vectors = factor(logits.detach(), rows)
        members = chunk[rows][None] == np.arange(parts)[:, None]
        share = torch.from_numpy(members * weights[rows]).to(probe.device)
        several = len(vectors) > 1
        kept.clear()
        for number, vector in enumerate(vectors, start=1):
            logits.backward(vector, retain_graph=number < len(vectors))
        done = start + len(rows)
        if progress is not None:
            progress(done, len(order), "Fisher")
        complete = parts if done == len(order) else int(chunk[order[done]])
        while looks and looks[0] <= complete:  # one after the other, however many a batch completes
            found = _sums(sums, weights, chunk, looks.pop(0))
            if found.relative_error <= tolerance:
                return found
    return _sums(sums, weights, chunk, parts)


def _sums(sums: Tensor, weights: np.ndarray, chunk: np.ndarray, used: int) -> ChunkSums:
    """The first ``used`` chunks; what a stopped run began of the next one is left out."""
    total = np.bincount(chunk, weights)[:used].astype(np.float64)
    return ChunkSums(sums[:used].cpu().numpy(), total, int((chunk < used).sum()))
