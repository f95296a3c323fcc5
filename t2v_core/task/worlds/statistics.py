"""Statistics of small images; an image "is reddish" if its statistic exceeds the median of a large pool."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_BATCH = 5000  # images; the intermediate float arrays of 50,000 would take a gigabyte


def _batched(measure: Callable[[FloatArray], FloatArray]) -> Callable[[Pixels], FloatArray]:
    """``measure`` of ``[n, S, S, 3]`` values in 0..1, for any number of uint8 images."""

    def measured(pixels: Pixels) -> FloatArray:
        parts = (pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH))
        return np.concatenate([measure(part.astype(np.float32) / np.float32(255)) for part in parts])

    return measured


def _grey(x: FloatArray) -> FloatArray:
    return x.mean(axis=3)


def _excess(channel: int) -> Callable[[FloatArray], FloatArray]:
    """Mean of a channel above the mean of the other two."""
    others = [c for c in range(3) if c != channel]
    return lambda x: x[..., channel].mean(axis=(1, 2)) - x[..., others].mean(axis=(1, 2, 3))


def _colourful(x: FloatArray) -> FloatArray:
    return (x.max(axis=3) - x.min(axis=3)).mean(axis=(1, 2))


def _many_coloured(x: FloatArray) -> FloatArray:
    """Spread of the colour apart from brightness."""
    return (x - x.mean(axis=3, keepdims=True)).std(axis=(1, 2)).sum(axis=1)


def _border(x: FloatArray) -> FloatArray:
    """``[n]`` mean brightness of the outer ring, an eighth of the side wide."""
    grey, width = _grey(x), x.shape[1] // 8
    ring = np.ones(grey.shape[1:], bool)
    ring[width:-width, width:-width] = False
    return grey[:, ring].mean(axis=1)


def _centre(x: FloatArray) -> FloatArray:
    """``[n]`` mean brightness of the central half."""
    quarter = x.shape[1] // 4
    return _grey(x)[:, quarter:-quarter, quarter:-quarter].mean(axis=(1, 2))


def _texture(x: FloatArray) -> FloatArray:
    """Mean difference of neighbouring pixels."""
    grey = _grey(x)
    return np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))


def _upright(x: FloatArray) -> FloatArray:
    """Share of horizontal change in all change: large where edges stand upright."""
    grey = _grey(x)
    across, down = np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2)), np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2))
    return across / (across + down + 1e-6)


def _mirrored(x: FloatArray) -> FloatArray:
    """Correlation of the image with its mirror image."""
    grey = _grey(x)
    grey = grey - grey.mean(axis=(1, 2), keepdims=True)
    return (grey * grey[:, :, ::-1]).mean(axis=(1, 2)) / (grey.var(axis=(1, 2)) + 1e-6)


STATISTICS: dict[str, tuple[str, Callable[[Pixels], FloatArray]]] = {
    "reddish": ("colour", _batched(_excess(0))),
    "greenish": ("colour", _batched(_excess(1))),
    "bluish": ("colour", _batched(_excess(2))),
    "colourful": ("colour", _batched(_colourful)),
    "many-coloured": ("colour", _batched(_many_coloured)),
    "bright": ("light", _batched(lambda x: x.mean(axis=(1, 2, 3)))),
    "strong in contrast": ("light", _batched(lambda x: _grey(x).std(axis=(1, 2)))),
    "light at the border": ("light", _batched(_border)),
    "darker than its background": ("light", _batched(lambda x: _border(x) - _centre(x))),
    "finely textured": ("structure", _batched(_texture)),
    "upright edges": ("structure", _batched(_upright)),
    "left-right symmetric": ("structure", _batched(_mirrored)),
}
"""Attribute to the aspect of the picture it belongs to and its statistic, ``[N, S, S, 3]`` uint8 to ``[N]``."""
