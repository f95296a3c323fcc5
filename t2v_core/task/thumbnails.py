"""A few images of a task as one small picture: the strip that people see where the task is shown."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from t2v_core.errors import InputError
from t2v_core.task.images import open_image, read_header
from t2v_core.task.record import IntArray, Task

SIDE = 48
"""Pixels of an image's side."""
MOST = 6
"""Images in a strip."""
MOST_BYTES = 6 * 1024
READ_BYTES = 4 * MOST_BYTES
"""A foreign strip may be packed worse than ours, but not by any factor."""
QUALITIES = (80, 65, 50, 35, 20, 5)
FORMAT = "WEBP"


def in_turn(labels: IntArray, seed: int = 0) -> NDArray[np.intp]:
    """Rows of ``[N]`` labels, drawn at random from every class in turn: one of each class comes first."""
    rng = np.random.default_rng(seed)
    place = np.zeros(len(labels), dtype=int)
    for k in np.unique(labels):
        rows = labels == k
        place[rows] = rng.permutation(rows.sum())
    return np.lexsort((labels, place))


def strip_of(task: Task, seed: int = 0) -> bytes | None:
    """Up to ``MOST`` images of a task side by side, one a class first, as WebP of at most ``MOST_BYTES``.

    Args:
        task: read from its source once more; images that cannot be read are passed over.
        seed: equal seeds choose equal images.

    Returns:
        The file's content; None where no image can be read.
    """
    images = [image for image, _ in zip(_readable(task, seed), range(MOST), strict=False)]
    if not images:
        return None
    strip = Image.new("RGB", (SIDE * len(images), SIDE))
    for number, image in enumerate(images):
        strip.paste(ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.BICUBIC), (SIDE * number, 0))
    return _packed(strip)


def checked_strip(data: bytes) -> bytes:
    """A strip from elsewhere, decoded and packed anew: what comes out holds pixels and nothing else.

    Raises:
        InputError: it is no picture, or not of a strip's format and size.
    """
    if len(data) > READ_BYTES:
        raise InputError(f"takes {len(data):,} bytes, more than the {READ_BYTES:,} allowed")
    header = read_header(data)
    width, height = header.size
    if header.format != FORMAT or height != SIDE or width % SIDE or width > MOST * SIDE:
        raise InputError(f"is a {header.format} of {width}x{height} pixels, not a strip of {SIDE}x{SIDE} WebP images")
    return _packed(open_image(data))


def _readable(task: Task, seed: int) -> Iterator[Image.Image]:
    for row in in_turn(task.labels, seed):
        try:
            yield task.source.load(int(task.index[row]), SIDE)[0]
        except InputError:
            continue


def _packed(strip: Image.Image) -> bytes:
    for quality in QUALITIES:
        buffer = io.BytesIO()
        strip.save(buffer, FORMAT, quality=quality, method=6)
        if buffer.tell() <= MOST_BYTES:
            break
    return buffer.getvalue()
