"""What the generated worlds share: two colours, a soft mask painted with them, a task from a drawing function."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from t2v_core.task.sources import ArraySource
from t2v_core.task.worlds import Chosen, Kind, WorldTask

SIDE = 32
SCALE = 4  # masks are drawn this much larger and averaged down, which smooths their edges
TRAIN, HELD_OUT = 40, 20  # images a class

Pixels = NDArray[np.uint8]
Draw = Callable[[np.random.Generator, int], Pixels]
"""Draws one ``[32, 32, 3]`` image of a class, given by its index."""


def two_colours(rng: np.random.Generator, contrast: float = 90) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two RGB colours whose brightness differs by at least ``contrast`` of 255."""
    while True:
        first, second = rng.uniform(0, 255, (2, 3))
        if abs(first.mean() - second.mean()) >= contrast:
            return first, second


def shrink(mask: Image.Image) -> NDArray[np.float64]:
    """A grey image ``SCALE`` times too large as ``[32, 32]`` coverages in 0..1."""
    return np.asarray(mask.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64) / 255


def paint(coverage: NDArray[np.float64], rng: np.random.Generator, noise: float = 8) -> Pixels:
    """A ``[32, 32]`` coverage in two random colours, with Gaussian noise of a random strength up to ``noise``."""
    front, back = two_colours(rng)
    return finish(back + coverage[..., None] * (front - back), rng, noise)


def finish(image: NDArray[np.float64], rng: np.random.Generator, noise: float = 8) -> Pixels:
    """Adds noise to ``[32, 32, 3]`` values in 0..255 and rounds them."""
    grain = rng.normal(0, rng.uniform(1, noise), image.shape)
    return np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def generated(
    id: str,
    name: str,
    classes: Sequence[str],
    draw: Draw,
    taxonomy: tuple[str, ...],
    origin: str,
    seed: int,
    *,
    kind: Kind = "other",
    train: int = TRAIN,
) -> WorldTask:
    """A task of ``train`` training and ``HELD_OUT`` held-out images a class, drawn one by one.

    The random stream depends on the seed and the id, so that tasks share no image and none depends on another.
    """
    rng = np.random.default_rng([seed, zlib.crc32(id.encode())])
    each = train + HELD_OUT
    labels = np.repeat(np.arange(len(classes)), each)
    pixels = np.stack([draw(rng, label) for label in labels.tolist()])
    held_out = np.tile(np.arange(each) >= train, len(classes))
    return from_pixels(pixels, held_out).task(id, kind, name, classes, labels, taxonomy, origin)


def from_pixels(pixels: Pixels, held_out: NDArray[np.bool_]) -> Chosen:
    """Images that exist nowhere but here, all of them chosen."""
    source = ArraySource(pixels, [f"{row:05d}.png" for row in range(len(pixels))])
    digests = tuple(source.digest(row) for row in range(len(pixels)))
    return Chosen(source, np.arange(len(pixels)), pixels, digests, held_out, made_here=True)
