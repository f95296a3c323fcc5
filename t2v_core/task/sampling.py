"""Fewer images of a task, seeded and balanced over its classes."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from t2v_core.errors import InputError
from t2v_core.task.record import BoolArray, IntArray, Progress, Task
from t2v_core.task.streaming import stream


def subsample(
    task: Task, max_images: int, seed: int, *, by_content: bool = True, progress: Progress | None = None
) -> Task:
    """Keep at most ``max_images`` images for fitting and as many held-out ones, balanced over classes.

    An image is kept for the rank of a hash of seed and content within its class. So the same images and labels give
    the same sample, whatever the files are called, however they are ordered or packed, and a larger sample contains
    the smaller one.

    Args:
        task: any.
        max_images: at least 1.
        seed: another seed, another choice.
        by_content: else the choice hangs on the order of the files, of which none has to be opened.
        progress: see ``stream``; called while files are opened.

    Returns:
        The reduced task in the order of the given one; the given one if it is small enough.
    """
    if max_images < 1:
        raise ValueError(f"max_images must be at least 1, got {max_images}")
    held_out = int(task.held_out.sum())
    if max(len(task) - held_out, held_out) <= max_images:
        return task
    rank = _ranks(task, seed, progress) if by_content else np.random.default_rng(seed).permutation(len(task))
    chosen = [_choose(task, part, rank, max_images) for part in (~task.held_out, task.held_out)]
    return task.take(np.sort(np.concatenate(chosen)))


def quotas(counts: IntArray, budget: int) -> IntArray:
    """Share a budget evenly over classes; what a small class leaves of its share goes to the larger ones.

    Args:
        counts: ``[K]`` images there are.
        budget: images wanted in all.

    Returns:
        ``[K]`` images to take, ``min(budget, counts.sum())`` in all.
    """
    taken = np.zeros_like(counts)
    for place, smallest in enumerate(np.argsort(counts, kind="stable")):
        taken[smallest] = min(counts[smallest], budget // (len(counts) - place))
        budget -= int(taken[smallest])
    return taken


def stratified_split(labels: IntArray, share: float, seed: int) -> BoolArray:
    """Set a share of every class aside for validation.

    Args:
        labels: ``[N]`` class indices.
        share: between 0 and 1; a class of two or more keeps at least one image on either side.
        seed: another seed, another split.

    Returns:
        ``[N]``, true for the part set aside.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    rng = np.random.default_rng(seed)
    aside = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) > 1:
            aside[rows[: min(max(round(share * len(rows)), 1), len(rows) - 1)]] = True
    return aside


def _ranks(task: Task, seed: int, progress: Progress | None) -> NDArray[np.str_]:
    """What a seed makes of the content of each image; one that cannot be read comes first, to be told of."""
    ranks = np.zeros(len(task), "<U64")
    for row, mark in stream(lambda row: task.source.mark(int(task.index[row])), len(task), progress=progress):
        if not isinstance(mark, InputError):
            ranks[row] = hashlib.sha256(f"{seed}\t{mark}".encode()).hexdigest()
    return ranks


def _choose(task: Task, part: BoolArray, rank: NDArray, max_images: int) -> IntArray:
    """The rows of one part of a task to keep."""
    # By class name, so that the odd image left over by an even share does not depend on the numbering.
    by_name = sorted(range(len(task.classes)), key=lambda k: task.classes[k])
    rows = [np.flatnonzero(part & (task.labels == k)) for k in by_name]
    shares = quotas(np.array([len(r) for r in rows]), max_images)
    return np.concatenate([r[np.argsort(rank[r], kind="stable")][:n] for r, n in zip(rows, shares, strict=True)])
