"""Shapes, textures and colours made by code, and scikit-learn's scanned digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

from t2v_core.task.worlds import DIGITS, DRAWN, WorldTask
from t2v_core.task.worlds.drawing import SCALE, SIDE, Pixels, finish, from_pixels, generated, paint, shrink

Outline = NDArray[np.complexfloating]

ORIGIN_DIGITS = f"{DIGITS} (UCI, optical recognition of handwritten digits)"


def _ring(corners: int) -> Outline:
    return np.exp(2j * np.pi * np.arange(corners) / corners)


_QUARTER = np.array([1 - 0.35j, 1 + 0.35j, 0.35 + 0.35j])

# Outlines around the origin, at most 1 away from it (the cross a little more), as complex numbers.
SHAPES = {
    "circle": _ring(48),
    "square": _ring(4),
    "triangle": _ring(3),
    "star": _ring(10) * np.where(np.arange(10) % 2, 0.4, 1),
    "cross": np.concatenate([_QUARTER * 1j**turn for turn in range(4)]),
}
RADII = {"small": (4, 6), "medium": (8, 10), "large": (12, 14)}
COUNTS = ("1", "2", "3", "4", "5")
TEXTURES = ("stripes", "checks", "dots", "noise", "gradient")
ANGLES = ("0°", "45°", "90°", "135°")
COLOURS = {
    "red": (205, 35, 40),
    "orange": (240, 140, 30),
    "yellow": (235, 220, 50),
    "green": (50, 160, 60),
    "blue": (40, 80, 200),
    "purple": (130, 50, 170),
}
_PER_DIGIT = 60  # images of each digit; every third is held out


def tasks(seed: int) -> list[WorldTask]:
    """All tasks made by code; equal seeds give equal tasks."""
    shapes = ("synthetic images", "drawn shapes")
    patterns = ("synthetic images", "drawn patterns")
    return [
        generated("shapes", "shapes", tuple(SHAPES), _shape, (*shapes, "single shapes", "outlines"), DRAWN, seed),
        generated("sizes", "sizes of shapes", tuple(RADII), _size, (*shapes, "single shapes", "sizes"), DRAWN, seed),
        generated("counts", "counts of blobs", COUNTS, _count, (*shapes, "several shapes", "counts"), DRAWN, seed),
        generated("textures", "textures", TEXTURES, _texture, (*patterns, "textures", "texture families"), DRAWN, seed),
        generated("stripes", "stripe angles", ANGLES, _stripes, (*patterns, "textures", "stripe angles"), DRAWN, seed),
        generated(
            "colours", "colour names", tuple(COLOURS), _colour, (*patterns, "plain colours", "hues"), DRAWN, seed
        ),
        *_digits(seed),
    ]


def _filled(*outlines: Outline) -> NDArray[np.float64]:
    """``[32, 32]`` coverage of filled outlines, given in pixels around the image's centre."""
    mask = Image.new("L", (SIDE * SCALE, SIDE * SCALE))
    drawing = ImageDraw.Draw(mask)
    for outline in outlines:
        points = (outline + (1 + 1j) * SIDE / 2) * SCALE
        drawing.polygon([(float(p.real), float(p.imag)) for p in points], fill=255)
    return shrink(mask)


def _placed(rng: np.random.Generator, shape: str, radius: float, shift: float) -> Outline:
    """An outline turned and shifted at random."""
    turn = np.exp(2j * np.pi * rng.uniform())
    return radius * turn * SHAPES[shape] + complex(*rng.uniform(-shift, shift, 2))


def _shape(rng: np.random.Generator, label: int) -> Pixels:
    return paint(_filled(_placed(rng, list(SHAPES)[label], rng.uniform(8, 13), 3)), rng)


def _size(rng: np.random.Generator, label: int) -> Pixels:
    low, high = list(RADII.values())[label]
    return paint(_filled(_placed(rng, str(rng.choice(list(SHAPES))), rng.uniform(low, high), 2)), rng)


def _count(rng: np.random.Generator, label: int) -> Pixels:
    """``label + 1`` discs that do not touch: each has a cell of a 3x3 grid to itself."""
    cells = rng.choice(9, label + 1, replace=False)
    centres = 9 * (cells % 3 - 1 + 1j * (cells // 3 - 1)) + rng.uniform(-1, 1, (2, label + 1)).T @ [1, 1j]
    return paint(_filled(*[centre + rng.uniform(2.5, 3.5) * SHAPES["circle"] for centre in centres]), rng)


def _wave(rng: np.random.Generator, angle: float, period: float) -> NDArray[np.float64]:
    """``[32, 32]`` sine of random phase, in -1..1, whose stripes run at an angle in degrees (0 is level)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    across = y * np.cos(np.radians(angle)) + x * np.sin(np.radians(angle))
    return np.sin(2 * np.pi * (across / period + rng.uniform()))


def _sharpened(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(0.5 + 1.5 * wave, 0, 1)


def _texture(rng: np.random.Generator, label: int) -> Pixels:
    angle, period = rng.uniform(0, 180), rng.uniform(5, 10)
    first, second = _wave(rng, angle, period), _wave(rng, angle + 90, period)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    slope = y * np.cos(np.radians(angle)) + x * np.sin(np.radians(angle))
    coverage = {
        "stripes": _sharpened(first),
        "checks": _sharpened(2 * first * second),
        "dots": _sharpened(first + second - 0.9),
        "noise": rng.uniform(0, 1, (SIDE, SIDE)),
        "gradient": np.clip(0.5 + slope * rng.uniform(0.35, 0.6), 0, 1),
    }[TEXTURES[label]]
    return paint(coverage, rng)


def _stripes(rng: np.random.Generator, label: int) -> Pixels:
    return paint(_sharpened(_wave(rng, 45 * label + rng.uniform(-8, 8), rng.uniform(5, 10))), rng)


def _colour(rng: np.random.Generator, label: int) -> Pixels:
    """A shape in a shade of the colour on grey."""
    coverage = _filled(_placed(rng, str(rng.choice(list(SHAPES))), rng.uniform(9, 14), 3))[..., None]
    colour = np.array(list(COLOURS.values())[label]) * rng.uniform(0.75, 1.1) + rng.normal(0, 8, 3)
    return finish(coverage * colour + (1 - coverage) * rng.uniform(30, 225), rng)


def _digits(seed: int) -> list[WorldTask]:
    """Scanned digits of 8×8 pixels made four times larger: which of ten, and even or odd, over one set of images."""
    digits = load_digits()
    rng = np.random.default_rng([seed, 0xD161])
    rows = np.concatenate(
        [
            rng.permutation(np.flatnonzero(digits.target == digit))[:_PER_DIGIT]
            for digit in range(len(digits.target_names))
        ]
    )
    small = np.rint(digits.images[rows] * (255 / 16)).astype(np.uint8)
    grey = np.stack(
        [np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in small]
    )
    labels = digits.target[rows].astype(np.int64)
    chosen = from_pixels(np.repeat(grey[..., None], 3, axis=3), np.arange(len(rows)) % 3 == 2)
    path = ("symbols", "numerals", "handwritten digits")
    names = tuple(str(digit) for digit in digits.target_names)
    return [
        chosen.task("digits", "other", "handwritten digits", names, labels, (*path, "which digit"), ORIGIN_DIGITS),
        chosen.task(
            "digits-parity",
            "other",
            "digits: even or odd",
            ("even", "odd"),
            labels % 2,
            (*path, "parity"),
            ORIGIN_DIGITS,
        ),
    ]
