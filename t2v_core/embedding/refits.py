"""How far a task's vector moves with the head behind it, which has noise of its own.

Chunks of images tell how the Fisher information varies under one head. That head was fitted on the same images and
would have come out differently on others; for a task of a hundred images this moves the vector more than the choice of
images it is averaged over (benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.heads import Head
from t2v_core.probe.probe import Probe
from t2v_core.probe.record import BUNDLED
from t2v_core.task.record import Progress

REFITS = 8
IMAGES, PASSES = 64, 2
"""Images, and signed passes over each of them, under each head: a thousand passes in all."""

DEAR_IMAGES, DEAR_PASSES = 32, 1
"""Likewise by a probe larger than the bundled one, as many passes again as the vector itself takes being too long a
wait: a quarter of them move the chance of being first by 0.03 (benchmarks/README.md)."""


def under_other_heads(
    probe: Probe,
    fit: Callable[[NDArray[np.int64]], Head],
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    seed: int,
    batch_size: int,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """The Fisher diagonal of some of a task's images under heads fitted on images drawn with replacement.

    Args:
        probe: the frozen network.
        fit: the head of the images at some positions, which may occur several times.
        pixels: ``[N, S, S, 3]`` uint8.
        labels: ``[N]`` classes, of which as many images are drawn as there are.
        seed: of what is drawn.
        batch_size: images a pass.
        progress: called with stage "other heads".

    Returns:
        ``[REFITS, D]``; all over the same images, each of the same weight, and the same signs, in float32, so that
        nothing but the heads differs. What they are used for is how they differ among themselves: of a task whose
        classes are of unlike sizes the vector itself, which is balanced, is another.
    """
    dear = probe.info.id.partition(":")[0] != BUNDLED
    images, passes = (DEAR_IMAGES, DEAR_PASSES) if dear else (IMAGES, PASSES)
    rng = np.random.default_rng([seed, 4])
    classes = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    some = rng.permutation(len(labels))[:images]
    settings = DiagonalSettings(estimator="signs", draws=passes, chunks=1, seed=seed, batch_size=batch_size)

    def report(before: int, done: int, total: int, _: str) -> None:
        if progress is not None:
            progress(before + done, REFITS * total, "other heads")

    found = []
    for number in range(REFITS):
        head = fit(np.concatenate([rng.choice(rows, len(rows)) for rows in classes]))
        step = partial(report, number * len(some))
        found.append(fisher_diagonal(probe, head, pixels[some], np.zeros(len(some), np.int64), settings, step).mean)
    return np.stack(found).astype(np.float32)
