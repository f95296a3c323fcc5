"""The Monte Carlo Fisher diagonal: labels drawn from the model, the square taken per sample.

    F = E_x E_{y ~ p(y|x)} [(d log p(y|x) / dw)^2], averaged over the weights of each filter
    (T2V equation 1 and section 3.1; the diagonal, the head left out).

The public reference code squares the gradient of the batch mean, which scales as 1/B and is far noisier;
here the batch size does not enter the result at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from t2v_core.fisher.capture import watch
from t2v_core.fisher.layers import conv_filter_means
from t2v_core.probe.heads import Head, class_weights
from t2v_core.probe.probe import Probe
from t2v_core.task.record import Progress


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


def montecarlo_fisher(
    probe: Probe,
    head: Head,
    pixels: np.ndarray,
    labels: np.ndarray,
    *,
    draws: int = 1,
    chunks: int = 20,
    seed: int = 0,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> FisherSums:
    """Fisher diagonal of the probe's filters on one task.

    Args:
        probe: the frozen network.
        head: the task's head, whose predictions the labels are drawn from.
        pixels: ``[N, S, S, 3]`` uint8.
        labels: ``[N]`` class indices; they only balance the classes, never enter the gradient.
        draws: labels drawn a sample.
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
    uniforms = torch.from_numpy(np.random.default_rng([seed, 0]).random((len(labels), draws))).to(device)
    sums = torch.zeros(parts, int(edges[-1]), dtype=torch.float64, device=device)
    share = torch.zeros(0)

    def add(number: int, inputs: torch.Tensor, delta: torch.Tensor) -> None:
        values = conv_filter_means(layers[number], inputs, delta)  # type: ignore[arg-type]
        sums[:, edges[number] : edges[number + 1]] += share @ values.double()

    with watch(layers, add):
        for rows, batch in probe.batches(pixels, batch_size):
            logits = head.logits(probe.network(batch).float())
            log_p = torch.log_softmax(logits, 1)
            members = torch.from_numpy(chunk[rows][None] == np.arange(parts)[:, None]).to(device)
            share = members * torch.from_numpy(weights[rows] / draws).to(device)
            for draw in range(draws):
                drawn = draw_labels(log_p.detach().exp(), uniforms[rows, draw])
                # A sum over samples: in eval mode each sample's gradient depends on itself alone.
                log_p.gather(1, drawn[:, None]).sum().backward(retain_graph=draw + 1 < draws)
            if progress is not None:
                progress(rows.stop, len(pixels), "Fisher")
    return FisherSums(sums.cpu().numpy(), np.bincount(chunk, weights, parts).astype(np.float64))
