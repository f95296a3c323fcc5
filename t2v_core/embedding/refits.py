"""How far a task's vector moves with the head behind it, which has noise of its own.

Chunks of images tell how the Fisher information varies under one head. That head was fitted on the same images and
would have come out differently on others; for a task of a hundred images this moves the vector more than the choice of
images it is averaged over (benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.heads import Head
from t2v_core.probe.probe import Probe

REFITS = 8
IMAGES = 64
PASSES = 2
"""Signed passes over each of these images under each head: one network's pass over a thousand images in all."""


def under_other_heads(
    probe: Probe,
    fit: Callable[[NDArray[np.int64]], Head],
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    seed: int,
    batch_size: int,
) -> NDArray[np.float32]:
    """The Fisher diagonal of some of a task's images under heads fitted on images drawn with replacement.

    Args:
        probe: the frozen network.
        fit: the head of the images at some positions, which may occur several times.
        pixels: ``[N, S, S, 3]`` uint8.
        labels: ``[N]`` classes, of which as many images are drawn as there are.
        seed: of what is drawn.
        batch_size: images a pass.

    Returns:
        ``[REFITS, D]``; all over the same images and signs, so that nothing but the heads differs.
    """
    rng = np.random.default_rng([seed, 4])
    classes = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    some = rng.permutation(len(labels))[:IMAGES]
    settings = DiagonalSettings(estimator="signs", draws=PASSES, chunks=1, seed=seed, batch_size=batch_size)
    found = []
    for _ in range(REFITS):
        head = fit(np.concatenate([rng.choice(rows, len(rows)) for rows in classes]))
        found.append(fisher_diagonal(probe, head, pixels[some], np.zeros(len(some), np.int64), settings).mean)
    return np.stack(found).astype(np.float32)
