"""The worlds of the demo bank: tasks whose pixels, labels and taxonomy the product makes or reads itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from t2v_core.task.record import BoolArray, DecodedTask, ImageSource, IntArray, Task

Kind = Literal["large", "twin", "mixed", "attribute", "attribute-source", "broad", "other"]


@dataclass(frozen=True)
class WorldTask:
    """A task of the demo bank.

    Of two tasks that ask the same of the large set and of the small one, the ids differ in their first letter
    alone (``a-aquatic-mammals``, ``b-aquatic-mammals``), and the large one's name ends in "(A)".

    Attributes:
        id: unique, and the same in every run.
        decoded: the task with its ``[N, 32, 32, 3]`` pixels.
        kind: ``large`` (superclasses over set A), ``twin`` (the same over set B), ``mixed`` (classes of several
            superclasses, B), ``attribute`` (B), ``attribute-source`` (attributes over A, for experts to train on),
            ``broad`` (many classes, for experts to train on) or ``other`` (worlds away from photographs).
        made_here: whether its images belong to no one's data set, so that a bank may keep and show some of them.
    """

    id: str
    decoded: DecodedTask
    kind: Kind
    made_here: bool = False

    @property
    def name(self) -> str:
        """What a person calls the task."""
        return self.decoded.task.name


@dataclass(frozen=True)
class Chosen:
    """Images chosen from a source, with all that a task needs of them but its labels.

    Attributes:
        source: where the images come from.
        index: ``[N]`` positions in ``source``.
        pixels: ``[N, 32, 32, 3]`` uint8.
        digests: ``[N]`` identities of the images.
        held_out: ``[N]`` true for images kept for testing.
        made_here: see ``WorldTask``.
    """

    source: ImageSource
    index: IntArray
    pixels: NDArray[np.uint8]
    digests: tuple[str, ...]
    held_out: BoolArray
    made_here: bool = False

    def task(
        self,
        id: str,
        kind: Kind,
        name: str,
        classes: Sequence[str],
        labels: IntArray,
        taxonomy: tuple[str, ...],
        origin: str,
    ) -> WorldTask:
        """The images as a task of the world; several tasks may share one choice, pixels included.

        Args:
            id, kind: see ``WorldTask``.
            name, classes, taxonomy, origin: see ``Task``.
            labels: ``[N]`` class indices.
        """
        task = Task(name, tuple(classes), self.source, self.index, labels, self.held_out, taxonomy, origin)
        return WorldTask(id, DecodedTask(task, self.pixels, self.digests), kind, self.made_here)


DRAWN = "made by code"
DIGITS = "scikit-learn digits"
GLYPHS = "glyphs of "
MADE_HERE = (DRAWN, DIGITS, GLYPHS)
"""How the origins of tasks begin whose images the product draws, or has with scikit-learn."""


def made_here(origin: str) -> bool:
    """Whether the images of a task of some origin can be made again at any time."""
    return origin.startswith(MADE_HERE)


def slug(text: str) -> str:
    """``text`` as part of an id: lower-case words joined by hyphens."""
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
