"""Task to pixels at a network's input size, in threads and in bounded memory."""

from __future__ import annotations

import mmap
import os
import tempfile

import numpy as np
from numpy.typing import NDArray

from t2v_core.errors import InputError
from t2v_core.task.images import prepare
from t2v_core.task.record import DecodedTask, InputSpec, Progress, Skipped, Task
from t2v_core.task.streaming import stream

RELEASE_BYTES = 64 * 2**20
"""Pixels written to a file before their pages are given back."""


def decode(
    task: Task,
    spec: InputSpec,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
    budget_bytes: int = 512 * 2**20,
    blind: bool = False,
) -> DecodedTask:
    """Decode all images of a task.

    Args:
        task: any; reduce it first (``subsample``) where it is large.
        spec: the network's input.
        progress: see ``stream``.
        workers: threads.
        budget_bytes: pixels beyond it go to a temporary file rather than to memory.
        blind: nobody will read the labels, so it does not matter what is left of a class.

    Returns:
        The task without the images that could not be read, in the task's order.

    Raises:
        InputError: no image could be read, or too few of a class.
    """
    pixels = _allocate((len(task), spec.crop, spec.crop, 3), budget_bytes)
    often = max(1, RELEASE_BYTES // max(1, pixels[:1].nbytes))
    names = task.names

    def decode_one(row: int) -> str:
        image, digest = task.source.load(int(task.index[row]), spec.resize)
        pixels[row] = prepare(image, spec)
        return digest

    digests = [""] * len(task)
    failures: dict[int, Skipped] = {}
    for done, (row, outcome) in enumerate(stream(decode_one, len(task), workers=workers, progress=progress), start=1):
        if done % often == 0:
            _release(pixels)
        if isinstance(outcome, InputError):
            failures[row] = Skipped(names[row], str(outcome))
        else:
            digests[row] = outcome
    if failures:
        _check_enough_left(task.without_labels() if blind else task, failures)
    kept = np.array([row for row in range(len(task)) if row not in failures], dtype=np.int64)
    for target, row in enumerate(kept):
        if target != row:
            pixels[target] = pixels[row]  # close the gaps in place: a second array might not fit
            if target % often == 0:
                _release(pixels)
    _release(pixels)
    skipped = tuple(failures[row] for row in sorted(failures))
    reduced = task.take(kept) if failures else task
    return DecodedTask(reduced, pixels[: len(kept)], tuple(digests[row] for row in kept), skipped)


def _allocate(shape: tuple[int, ...], budget_bytes: int) -> NDArray[np.uint8]:
    """An array in memory, or beyond the budget in a nameless file that goes when the array does."""
    size = int(np.prod(shape, dtype=np.int64))
    if size <= budget_bytes:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile(prefix="t2v-pixels-") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # a full disk is to fail here, not to crash a later write
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise InputError(
                f"there is no room for {size / 2**30:.1f} GiB of decoded images in {tempfile.gettempdir()}; "
                "free some space or take fewer images"
            ) from error
        return np.memmap(file, np.uint8, mode="w+", shape=shape)


def _release(pixels: NDArray[np.uint8]) -> None:
    """Give back the memory behind pixels that lie in a file, where it would count as this process's own until then."""
    file = pixels.base if isinstance(pixels, np.memmap) else None
    if isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)  # of a shared file: what was written stays in it


def _check_enough_left(task: Task, failures: dict[int, Skipped]) -> None:
    """Raise where what is left of a class that lost images is too little to fit and validate."""
    first = failures[min(failures)]
    if len(failures) == len(task):
        raise InputError(f"none of the {len(task)} images can be read; the first, '{first.name}', {first.reason}")
    readable = ~task.held_out
    readable[list(failures)] = False
    left = np.bincount(task.labels[readable], minlength=len(task.classes))
    for row in sorted(failures):
        label = int(task.labels[row])
        if not task.held_out[row] and left[label] < 2:
            where = f"of class '{task.classes[label]}'" if task.classes[label] else "of the folder"
            raise InputError(
                f"only {left[label]} of the images {where} can be read, and 2 are needed; "
                f"'{failures[row].name}' {failures[row].reason}"
            )
