"""The Task record: which images, which labels, which split; the pixels stay where they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

Progress = Callable[[int, int, str], None]
"""``progress(done, total, message)``; raise ``Cancelled`` from it to stop the work."""


class ImageSource(Protocol):
    """Where a task's images come from. Implementations are safe to call from several threads."""

    @property
    def names(self) -> Sequence[str]:
        """One name an image, as a person would recognise it (a relative path)."""
        ...

    def load(self, position: int, hint: int | None = None) -> tuple[Image.Image, str]:
        """Image ``position`` as upright RGB, and a SHA-256 hex digest that identifies it.

        Args:
            position: in ``0..len(names)-1``.
            hint: the shorter side wanted in the end; the image may come smaller than stored, but
                not below twice the hint.

        Raises:
            InputError: it cannot be read as an image; the message is the reason, without the name.
        """
        ...

    def digest(self, position: int) -> str:
        """A digest that copies of image ``position`` share, without decoding it; raises as ``load`` does."""
        ...

    def mark(self, position: int) -> str:
        """The same from no more than the beginning of the file, so that others may share it by chance.

        Raises:
            InputError: it cannot be read.
        """
        ...


@dataclass(frozen=True)
class Task:
    """A labelled image data set.

    Attributes:
        name: what a person calls it.
        classes: class names, ``K`` of them; ``("",)`` where the images carry no labels.
        source: the images.
        index: ``[N]`` positions of the task's images in ``source``.
        labels: ``[N]`` class indices in ``0..K-1``.
        held_out: ``[N]`` true for images kept for testing, which no fit ever sees.
        taxonomy: path from the root of a taxonomy to the task, coarse to fine; may be empty.
        origin: the data set it stems from.
    """

    name: str
    classes: tuple[str, ...]
    source: ImageSource
    index: IntArray
    labels: IntArray
    held_out: BoolArray
    taxonomy: tuple[str, ...] = ()
    origin: str = "upload"

    def __post_init__(self) -> None:
        if not len(self.index) == len(self.labels) == len(self.held_out):
            raise ValueError(
                f"index, labels and held_out must be of one length, got {len(self.index)}, "
                f"{len(self.labels)}, {len(self.held_out)}"
            )
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(f"labels must lie in 0..{len(self.classes) - 1}, got {sorted(set(self.labels.tolist()))}")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def names(self) -> list[str]:
        """``[N]`` image names."""
        names = self.source.names
        return [names[i] for i in self.index]

    @property
    def labelled(self) -> bool:
        """Whether the images carry labels."""
        return self.classes != ("",)

    def without_labels(self) -> Task:
        """The same images, what the labels say of them forgotten."""
        return replace(self, classes=("",), labels=np.zeros_like(self.labels))

    @property
    def counts(self) -> IntArray:
        """``[K]`` images of each class, both splits together."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def take(self, rows: IntArray | BoolArray) -> Task:
        """The task reduced to some of its samples, classes unchanged.

        Args:
            rows: positions in ``0..N-1``, or a boolean mask of length ``N``.
        """
        return replace(self, index=self.index[rows], labels=self.labels[rows], held_out=self.held_out[rows])


@dataclass(frozen=True)
class InputSpec:
    """How a network wants its images: resized, the centre cropped, normalised.

    Attributes:
        resize: pixels of the shorter side after resizing; of both sides where the image is squashed.
        crop: side of the central square that is kept.
        mean, std: per channel, of values in 0..1.
        interpolation: ``"bilinear"`` or ``"bicubic"``.
        squash: make a square of the whole image, whatever its shape.
    """

    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"
    squash: bool = False


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class DecodedTask:
    """A task whose pixels stand ready at a network's input size.

    Attributes:
        task: the task, reduced to the images that could be decoded.
        pixels: ``[N, S, S, 3]`` uint8, in the task's order; may be a memory map.
        digests: ``[N]`` SHA-256 that identifies each image, see ``ImageSource.load``.
        skipped: what was left out while decoding.
    """

    task: Task
    pixels: NDArray[np.uint8]
    digests: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.task)

    @property
    def content_hash(self) -> str:
        """Identifies images and labels together: file names, order and class numbering do not matter."""
        lines = sorted(
            f"{digest}\t{self.task.classes[label]}\t{int(held)}"
            for digest, label, held in zip(self.digests, self.task.labels, self.task.held_out, strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def take(self, rows: IntArray | BoolArray) -> DecodedTask:
        """The decoded task reduced to some of its samples (see ``Task.take``)."""
        positions = np.arange(len(self))[rows]
        return DecodedTask(
            self.task.take(rows), self.pixels[rows], tuple(self.digests[i] for i in positions), self.skipped
        )
