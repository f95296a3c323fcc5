"""All worlds of the demo bank together."""

from __future__ import annotations

from pathlib import Path

from t2v_core.task.record import Progress
from t2v_core.task.worlds import WorldTask, glyphs, photographs, synthetic
from t2v_core.task.worlds.cifar100 import read_cifar100


def demo_tasks(data_path: Path, seed: int, progress: Progress | None = None) -> list[WorldTask]:
    """The tasks of the demo bank, in an order that stays: photographs, then glyphs, then drawings and digits.

    Args:
        data_path: CIFAR-100 as a zip or folder (see ``read_cifar100``).
        seed: equal seeds give equal tasks, given the machine's font.
        progress: called while CIFAR-100 is read, which takes most of the time.

    Raises:
        InputError: the data is not CIFAR-100.
    """
    return [*photographs.tasks(read_cifar100(data_path, progress), seed), *glyphs.tasks(seed), *synthetic.tasks(seed)]
