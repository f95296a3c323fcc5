"""Small pictures of a task: small whatever the images, one a class first; foreign ones are decoded and packed anew."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from t2v_core.errors import InputError
from t2v_core.task.record import Task
from t2v_core.task.sources import ArraySource
from t2v_core.task.thumbnails import MOST, MOST_BYTES, READ_BYTES, SIDE, checked_strip, in_turn, strip_of


def task_of(pixels: np.ndarray, labels: list[int]) -> Task:
    source = ArraySource(pixels, [f"{n}.png" for n in range(len(pixels))])
    classes = tuple(f"class {k}" for k in range(max(labels) + 1))
    n = np.arange(len(pixels))
    return Task("some", classes, source, n, np.array(labels), n < 0)


def flat(labels: list[int]) -> np.ndarray:
    """Images of one grey each, brighter with the label."""
    return np.stack([np.full((20, 30, 3), 20 + 40 * k, np.uint8) for k in labels])


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def packed(size: tuple[int, int], kind: str = "WEBP", **more) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind, **more)
    return buffer.getvalue()


def test_every_class_comes_before_any_comes_again():
    labels = np.repeat([0, 1, 2], [9, 2, 5])
    assert labels[in_turn(labels)][:8].tolist() == [0, 1, 2, 0, 1, 2, 0, 2]
    assert in_turn(labels, 1).tolist() == in_turn(labels, 1).tolist()
    assert sorted(in_turn(labels)) == list(range(16))


def test_a_strip_shows_one_image_a_class_side_by_side():
    labels = [2, 0, 1, 0, 2]
    strip = opened(strip_of(task_of(flat(labels), labels)))
    assert (strip.format, strip.size) == ("WEBP", (5 * SIDE, SIDE))
    greys = [int(strip.getpixel((SIDE * n + 24, 24))[0]) for n in range(3)]
    assert greys == pytest.approx([20, 60, 100], abs=6)


def test_even_noise_of_many_classes_stays_small():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (10, 48, 48, 3), dtype=np.uint8)
    strip = strip_of(task_of(noise, list(range(10))))
    assert len(strip) <= MOST_BYTES
    assert opened(strip).size == (MOST * SIDE, SIDE)


class Broken(ArraySource):
    def load(self, position, hint=None):
        raise InputError("cannot be read")


def test_images_that_cannot_be_read_are_passed_over():
    pixels = flat([0, 1])
    whole = task_of(pixels, [0, 1])
    broken = Task("b", whole.classes, Broken(pixels, ["a", "b"]), whole.index, whole.labels, whole.held_out)
    assert strip_of(broken) is None


def test_a_foreign_strip_is_packed_anew_without_what_it_carried():
    given = packed((2 * SIDE, SIDE), exif=b"Exif\x00\x00" + b"secret" * 20)
    assert b"secret" in given
    found = checked_strip(given)
    assert b"secret" not in found
    assert opened(found).size == (2 * SIDE, SIDE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"<svg onload=alert(1)>", "is not a JPEG"),
        (packed((SIDE, SIDE), "PNG"), "is a PNG of 48x48"),
        (packed((SIDE + 1, SIDE)), "49x48"),
        (packed((SIDE, 2 * SIDE)), "48x96"),
        (packed((7 * SIDE, SIDE)), "336x48"),
        (packed((SIDE, SIDE))[:60], "damaged"),
        (packed((SIDE, SIDE)) + bytes(READ_BYTES), "more than the"),
    ],
    ids=["empty", "script", "png", "wide", "tall", "many", "cut", "large"],
)
def test_what_is_no_strip_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        checked_strip(data)
