"""What the bank knows of tasks, experts and errors: plain frozen records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from t2v_core.task.record import InputSpec

UPLOAD = "upload"
"""The kind of a task that a person brought."""

SUFFIX = ".safetensors"
"""Of files of weights."""

FROZEN, TUNED = "frozen", "fine-tuned"
"""Ways to use an expert in a trial: a linear head on its features, or everything trained."""

LONGEST_NAME = 120
"""Letters of an expert's name at most."""


@dataclass(frozen=True)
class TaskRecord:
    """A task as the bank keeps it; its images are not in the bank.

    Attributes:
        id: stable identifier.
        name: what a person calls it.
        kind: role in its meta-task (``"large"``, ``"twin"``, ``"mixed"``, ``"attribute"``, ``"upload"``, ...).
        origin: data set it stems from.
        classes: class names; none where the images carry no labels.
        counts: images a class, both splits; without labels the number of images.
        taxonomy: path from coarse to fine.
        held_out: images kept for testing.
        content_hash: identity of images and labels.
        image_set: identity of the set of training images.
        created: seconds since the epoch.
    """

    id: str
    name: str
    kind: str
    origin: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    taxonomy: tuple[str, ...]
    held_out: int
    content_hash: str
    image_set: str
    created: float = 0.0


@dataclass(frozen=True)
class ExpertRecord:
    """A feature extractor.

    Attributes:
        id: stable identifier.
        name: what a person calls it.
        architecture: ``"resnet20"``, a torchvision model name, or ``"timm/<model>"``.
        weights_file: file name inside the bank's weights folder.
        weights_sha256: checksum of that file.
        task_id: the task it was trained on; None where it is unknown or not in the bank.
        training: how it was trained (settings, seconds, loss, seed).
        created: seconds since the epoch.
        spec: how it wants its images; None where as the bundled network does.
    """

    id: str
    name: str
    architecture: str
    weights_file: str
    weights_sha256: str
    task_id: str | None
    training: dict[str, object] = field(default_factory=dict)
    created: float = 0.0
    spec: InputSpec | None = None

    @property
    def transform(self) -> dict[str, Any] | None:
        """``spec`` as JSON gives it back."""
        if self.spec is None:
            return None
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.spec).items()}

    @property
    def seen_before(self) -> tuple[str, ...]:
        """Ids of the image sets that the expert it was fine-tuned from had learned from."""
        return tuple(self.training.get("seen_before", ()))  # type: ignore[arg-type]


def called(records: Iterable[TaskRecord | ExpertRecord]) -> dict[str, str]:
    """What to call each task or expert, by id: its name, and the id too where others have the same name."""
    names = {record.id: record.name for record in records}
    often = Counter(names.values())
    return {key: name if often[name] == 1 else f"{name} ({key})" for key, name in names.items()}


@dataclass(frozen=True)
class ErrorEntry:
    """One cell of the error matrix.

    Attributes:
        task_id, expert_id: the cell.
        error: balanced test error of a linear head on the expert's frozen features, in %.
        n: test images.
        protocol: how it was measured.
    """

    task_id: str
    expert_id: str
    error: float
    n: int
    protocol: str


@dataclass(frozen=True)
class TrialEntry:
    """How one expert did on one task, used in one way, learning from one sample of its images.

    Attributes:
        id: identifies everything that determines the outcome.
        task_id, expert_id: who served whom.
        mode: ``FROZEN`` or ``TUNED``.
        schedule: of the fine-tuning: its name and the start of the hash of its settings; ``""`` where frozen.
        per_class: training images of each class; 0 is all there are.
        images: training images in all.
        seed: of the sample and of the training.
        error: balanced error on the held-out images, in %.
        n: held-out images.
        seconds: of work.
    """

    id: str
    task_id: str
    expert_id: str
    mode: str
    schedule: str
    per_class: int
    images: int
    seed: int
    error: float
    n: int
    seconds: float


def weights_name(sha256: str) -> str:
    """The name of a file of weights in a bank, by its content: no expert's file takes the place of another's."""
    return f"{sha256[:16]}{SUFFIX}"


def pack_digests(digests: list[str] | tuple[str, ...]) -> NDArray[np.uint64]:
    """Sorted unique first 64 bits of hex digests: enough to tell images apart, a quarter of the size."""
    return np.unique(np.array([int(d[:16], 16) for d in digests], dtype=np.uint64))


def task_from_row(row: dict[str, Any]) -> TaskRecord:
    """A task's record from JSON or a table row, where tuples have become lists."""
    lists = {name: tuple(row[name]) for name in ("classes", "counts", "taxonomy")}
    return TaskRecord(**(row | lists))
