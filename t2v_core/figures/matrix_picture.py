"""A large matrix as a picture: pixels instead of cells, under coarse cells that can be pointed at.

A browser draws a heat map cell by cell: two million of them take seconds, again at every change of anything else in
the figure, and as numbers they take 6 MB. As a picture they take one, and are drawn at once.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb

SCALE = "Cividis"
"""Made for colour-blind readers; dark is near."""

PIXELS = 1500
"""Side of the picture at most; a pixel of a larger matrix is the mean of the cells under it."""

COARSE = 60
"""Cells at most, along a side, that can be pointed at: of twice as many drawing takes a quarter longer."""

COLOURS = 64
"""As many as an eye tells apart along the scale; twice as many take two fifths more to send."""


@dataclass(frozen=True, eq=False)
class MatrixPicture:
    """A square matrix of n tasks, to be drawn under axes of places 0, 1, ..., n - 1.

    Attributes:
        source: a PNG as a data URI.
        means: ``[m, m]`` means over square blocks of the matrix.
        middles: ``[m]`` the place in the middle of each block.
        low: distance at the dark end of the colours.
        high: distance at the bright end.
    """

    source: str
    means: NDArray[np.float32]
    middles: NDArray[np.int64]
    low: float
    high: float


def matrix_picture(values: NDArray) -> MatrixPicture:
    """The picture of a matrix.

    Args:
        values: ``[n, n]`` without NaN, in the order it is shown.
    """
    low, high = colour_range(values)
    pixels, _ = block_means(values, PIXELS)
    levels = np.clip((pixels - low) / max(high - low, 1e-12), 0, 1) * (COLOURS - 1)
    image = Image.fromarray(np.rint(levels).astype(np.uint8), mode="P")
    image.putpalette(_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    means, edges = block_means(values, COARSE)
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return MatrixPicture(source, means.astype(np.float32), (edges[:-1] + edges[1:]) // 2, low, high)


def colour_range(values: NDArray) -> tuple[float, float]:
    """The distances between which colours run: a few outliers, and the diagonal, must not take them from all others."""
    count = len(values)
    apart = values[~np.eye(count, dtype=bool)] if count > 1 else values.ravel()
    low, high = np.percentile(apart, [0.5, 99.5]) if apart.size else (0.0, 1.0)
    return float(low), float(high)


def block_means(values: NDArray, most: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Means over square blocks, as few cells a block as leave at most ``most`` blocks along a side.

    Returns:
        ``[m, m]`` means, and ``[m + 1]`` where blocks begin and end; the last block may be the smaller.
    """
    count = len(values)
    starts = np.arange(0, count, max(1, -(-count // most)))
    edges = np.append(starts, count)
    sums = np.add.reduceat(np.add.reduceat(values, starts, axis=0, dtype=np.float64), starts, axis=1)
    sizes = np.diff(edges)
    return sums / np.outer(sizes, sizes), edges


@cache
def _palette() -> list[int]:
    colours = sample_colorscale(SCALE, np.linspace(0, 1, COLOURS).tolist())
    return [round(part) for colour in colours for part in unlabel_rgb(colour)]
