"""What the Task Tangent Kernel is made of: batches of a task, and their gradients under a random network, reduced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from t2v_core.embedding.batches import balanced_batch
from t2v_core.errors import InputError
from t2v_core.fisher.mcr2 import mcr2_loss
from t2v_core.probe.probe import normalise
from t2v_core.probe.random_networks import SPECS, Architecture, random_network
from t2v_core.task.record import DecodedTask, IntArray

WITHOUT_LABELS = "PseudoTask or the domain embedding, which need no labels"


@dataclass(frozen=True)
class Source:
    """A task's training images: ``rows [N]`` of its pixels, and their labels ``[N]`` from 0 on."""

    decoded: DecodedTask
    rows: IntArray
    labels: IntArray

    def batches(self, most: int, size: int) -> int:
        """How many batches its images fill, up to ``most``."""
        return min(most, -(-len(self.rows) // size))

    def draw(self, size: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], IntArray]:
        """A class-balanced batch of pixels and labels.

        Raises:
            InputError: the images drawn are all the same.
        """
        drawn = balanced_batch(self.labels, size, rng)
        pixels = self.decoded.pixels[self.rows[drawn]]
        if not (pixels != pixels[:1]).any():
            raise InputError(
                f"the {len(drawn)} images drawn from {self.decoded.task.name!r} are all the same, so nothing tells "
                "its classes apart; check the files"
            )
        return pixels, self.labels[drawn]

    def draw_half(
        self, size: int, half: np.random.Generator, batch: np.random.Generator
    ) -> tuple[NDArray[np.uint8], IntArray]:
        """Likewise from a half of the images of every class, rounded up; ``half`` draws it, ``batch`` the batch."""
        classes = [np.flatnonzero(self.labels == k) for k in np.unique(self.labels)]
        kept = np.concatenate([half.permutation(rows)[: -(-len(rows) // 2)] for rows in classes])
        drawn = kept[balanced_batch(self.labels[kept], size, batch)]
        return self.decoded.pixels[self.rows[drawn]], self.labels[drawn]


def source_of(decoded: DecodedTask) -> Source:
    """A task's training images.

    Raises:
        InputError: the loss has nothing to separate in them.
    """
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
    return Source(decoded, rows, labels)


class Sketch:
    """A random network with the count sketch (Charikar et al. 2002) of its last block's gradient.

    Args:
        architecture: of the network.
        seed: of all networks and sketches.
        number: of this one.
        dimension: P, sums kept.
        device: where to compute; networks and sketches are the same on any.
    """

    def __init__(
        self, architecture: Architecture, seed: int, number: int, dimension: int, device: torch.device
    ) -> None:
        self.dimension, self.spec, self.device = dimension, SPECS[architecture], device
        self.network = random_network(architecture, seed, number, device)
        self.parameters = list(self.network.block.parameters())
        size = sum(p.numel() for p in self.parameters)
        rng = np.random.default_rng([seed, number, 2, dimension])
        self.bucket = torch.from_numpy(rng.integers(0, dimension, size)).to(device)
        self.sign = (torch.from_numpy(rng.integers(0, 2, size, dtype=np.int8)).float() * 2 - 1).to(device)

    def gradient(self, pixels: NDArray[np.uint8], labels: IntArray, eps_square: float) -> NDArray[np.float32]:
        """The gradient ``[P]`` of the MCR^2 loss of a batch.

        Args:
            pixels: ``[B, S, S, 3]``.
            labels: ``[B]``.
            eps_square: eps^2 of the loss.
        """
        features = self.network.features(normalise(pixels, self.spec, self.device))
        loss = mcr2_loss(features, torch.from_numpy(labels).to(self.device), eps_square)
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, self.parameters)])
        reduced = torch.zeros(self.dimension, device=self.device).index_add_(0, self.bucket, gradient * self.sign)
        return reduced.cpu().numpy()
