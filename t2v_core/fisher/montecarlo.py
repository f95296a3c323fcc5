"""The Fisher diagonal with labels from the model, the square taken per sample: Monte Carlo or exact.

    F = E_x E_{y ~ p(y|x)} [(d log p(y|x) / dw)^2], averaged over the weights of each filter
    (T2V equation 1 and section 3.1; the diagonal, the head left out).

For one sample the inner expectation is J^T (diag(p) - p p^T) J with J the Jacobian of the logits. Any
factor V of diag(p) - p p^T = sum_j v_j v_j^T turns it into backward passes with v_j as the gradient of
the logits. Two factors are used: e_y - p with y drawn from p (right on average, one pass a draw), and
the exact one of K - 1 columns. Asking for at least K - 1 draws therefore buys the exact expectation.

The public reference code squares the gradient of the batch mean, which scales as 1/B and is far noisier;
here the batch size does not enter the result at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from t2v_core.fisher.capture import watch
from t2v_core.fisher.layers import conv_filter_means, unfold
from t2v_core.probe.heads import Head, class_weights
from t2v_core.probe.probe import Probe
from t2v_core.task.record import Progress

KEEP_BYTES = 256 << 20
"""Unfolded inputs kept between the backward passes of one batch."""


@dataclass(frozen=True)
class FisherSums:
    """Additive parts of a Fisher diagonal.

    Attributes:
        sums: ``[C, D]`` float64: for each chunk of samples, the weighted sum of squared gradients.
        weights: ``[C]`` total weight of each chunk; they sum to 1.
    """

    sums: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """``[D]`` the Fisher diagonal over all samples."""
        return self.sums.sum(0) / self.weights.sum()


def assign_chunks(labels: np.ndarray, chunks: int, seed: int) -> NDArray[np.int64]:
    """Spread the samples of every class evenly and at random over ``chunks`` chunks: ``[N]`` numbers."""
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    chunk = np.empty(len(labels), dtype=np.int64)
    chunk[order] = np.arange(len(labels)) % min(chunks, len(labels))
    return chunk


def draw_labels(probabilities: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Labels drawn by inverse CDF: ``[B, K]`` probabilities and ``[B]`` uniforms in [0, 1) give ``[B]``."""
    cumulative = probabilities.double().cumsum(1)
    drawn = torch.searchsorted(cumulative, uniforms.double()[:, None].contiguous(), right=True).squeeze(1)
    return drawn.clamp_(max=probabilities.shape[1] - 1)


def exact_factor(probabilities: torch.Tensor) -> torch.Tensor:
    """The K - 1 vectors v_j with sum_j v_j v_j^T = diag(p) - p p^T, for each of ``[B, K]``: ``[K - 1, B, K]``.

    A multinomial is a sequence of binomials. With r_j = p_j + ... + p_K the mass not yet decided, v_j is
    sqrt(p_j r_{j+1} / r_j) at j, -p_i sqrt(p_j / (r_j r_{j+1})) at i > j, and 0 before.
    """
    p = probabilities.double()
    classes = p.shape[1]
    rest = p.flip(1).cumsum(1).flip(1).clamp_min(1e-300)
    columns = torch.zeros(classes - 1, *p.shape, dtype=p.dtype, device=p.device)
    for j in range(classes - 1):
        columns[j, :, j] = torch.sqrt(p[:, j] * rest[:, j + 1] / rest[:, j])
        columns[j, :, j + 1 :] = -p[:, j + 1 :] * torch.sqrt(p[:, j] / rest[:, j] / rest[:, j + 1])[:, None]
    return columns.to(probabilities.dtype)


def drawn_factor(probabilities: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The vectors (e_y - p) / sqrt(S) for S labels y drawn from p: ``[B, K]``, ``[B, S]`` to ``[S, B, K]``."""
    draws = uniforms.shape[1]
    drawn = torch.stack([draw_labels(probabilities, uniforms[:, s]) for s in range(draws)])
    return (torch.nn.functional.one_hot(drawn, probabilities.shape[1]) - probabilities) / draws**0.5


def montecarlo_fisher(
    probe: Probe,
    head: Head,
    pixels: np.ndarray,
    labels: np.ndarray,
    *,
    draws: int = 1,
    chunks: int = 20,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> FisherSums:
    """Fisher diagonal of the probe's filters on one task.

    Args:
        probe: the frozen network.
        head: the task's head, whose predictions the labels are drawn from.
        pixels: ``[N, S, S, 3]`` uint8.
        labels: ``[N]`` class indices; they only balance the classes, never enter the gradient.
        draws: labels drawn a sample; with K - 1 or more the expectation is taken exactly, in K - 1 passes.
        chunks: parts to keep apart for the spread.
        seed: of the drawn labels and of the chunks.
        batch_size: images a pass; it affects speed and memory, not the result.

    Returns:
        Chunk sums; ``.mean`` is the embedding.
    """
    device = probe.device
    layers = [module for _, module in probe.layers()]
    edges = np.concatenate([[0], np.cumsum([count for _, count in probe.info.layers])])
    chunk = assign_chunks(labels, chunks, seed)
    weights = class_weights(labels, len(head.bias))
    parts = int(chunk.max()) + 1
    passes = min(draws, len(head.bias) - 1)
    uniforms = torch.from_numpy(np.random.default_rng([seed, 0]).random((len(labels), draws))).to(device)
    sums = torch.zeros(parts, int(edges[-1]), dtype=torch.float64, device=device)
    share = torch.zeros(0)
    kept: dict[int, torch.Tensor] = {}

    def add(number: int, inputs: torch.Tensor, delta: torch.Tensor) -> None:
        patches = kept.get(number)
        if patches is None:
            patches = unfold(layers[number], inputs)  # type: ignore[arg-type]
            if passes > 1 and sum(p.nbytes for p in kept.values()) + patches.nbytes <= KEEP_BYTES:
                kept[number] = patches
        values = conv_filter_means(layers[number], patches, delta)  # type: ignore[arg-type]
        sums[:, edges[number] : edges[number + 1]] += share @ values.double()

    with watch(layers, add):
        for rows, batch in probe.batches(pixels, batch_size):
            logits = head.logits(probe.network(batch).float())
            p = torch.softmax(logits.detach(), 1)
            factor = exact_factor(p) if draws >= p.shape[1] - 1 else drawn_factor(p, uniforms[rows])
            members = torch.from_numpy(chunk[rows][None] == np.arange(parts)[:, None]).to(device)
            share = members * torch.from_numpy(weights[rows]).to(device)
            kept.clear()
            for number, vector in enumerate(factor, start=1):
                # In eval mode each sample's gradient depends on itself alone, so one pass serves the batch.
                logits.backward(vector, retain_graph=number < len(factor))
            if progress is not None:
                progress(rows.stop, len(pixels), "Fisher")
    return FisherSums(sums.cpu().numpy(), np.bincount(chunk, weights, parts).astype(np.float64))
