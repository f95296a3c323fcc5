"""What a person asks for, and the task it names, from a path to pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from t2v_core.errors import InputError
from t2v_core.selection.ways import REMAINING
from t2v_core.selection.words import counted
from t2v_core.task.decoding import decode
from t2v_core.task.reading import look, warnings_for
from t2v_core.task.record import DecodedTask, InputSpec, Progress, Skipped, Task
from t2v_core.task.sampling import subsample

Report = Callable[[str, int, int, str], None]
"""``report(stage, done, total, message)``; raise ``Cancelled`` from it to stop the work."""

READING = "reading images"

SMALL = 64
"""Pixels of the shorter side up to which images are small."""

FIRST_FEW = 3
"""Files left out that a remark names."""

MOST_LISTED = 1000
"""Files left out that a result names."""

LOOKED_AT = 9
"""Images that tell how large those of a task are."""


@dataclass(frozen=True)
class Options:
    """What a person asks for.

    Attributes:
        path: folder or zip.
        name: what to call the task; by default the file's name.
        attribute: which column of a ``labels.csv`` with several attributes.
        probe: registry name.
        embedding: ``"task2vec"``, ``"domain"``, ``"pseudotask"`` or ``"tangent"``; by default PseudoTask where the
            images carry no labels, else Task2Vec.
        method: estimator of the Fisher information: ``"montecarlo"``, ``"signs"``, ``"exact"``, ``"variational"``,
            or the latter as its authors have it, ``"published"`` (``task2vec.PUBLISHED``); by default the probe's own,
            see ``Task2VecSettings.for_probe``.
        architecture: ``"small"`` or ``"resnet18"``, the untrained networks of the Task Tangent Kernel
            (``embedding.tangent.BY_ARCHITECTURE``); by default what suits the images' size (``suited_networks``), and
            to be ranked a task is embedded as most experts' tasks are.
        pseudo: of PseudoTask: ``"soft"`` or ``"hard"`` labels, or WLF's ``"variational"`` Algorithm 1.
        tolerance: stop once the embedding's relative standard error is below it; None uses every image.
        precision: ``"float32"``, or ``"bfloat16"`` where the machine is faster with it.
        selector: how experts are ranked, one of ``selection.ways.WAYS``; by default by PseudoTask where the images
            carry no labels, else by the asymmetric distance.
        max_images: at most this many training images are used, balanced over the classes.
        top: experts reported and compared by fitted heads.
        fit: experts to fit a head on: ``"none"``, ``"top"`` (and the generic one) or ``"all"``.
        seed: of everything random.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        pictures: keep six small pictures beside the embedding; whoever sees that bank will see them.
    """

    path: str
    name: str | None = None
    attribute: str | None = None
    probe: str = "bundled"
    embedding: str | None = None
    method: Literal["montecarlo", "signs", "exact", "variational", "published"] | None = None
    architecture: Literal["resnet18", "small"] | None = None
    pseudo: Literal["soft", "hard", "variational"] = "soft"
    tolerance: float | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    selector: str | None = None
    max_images: int = 2000
    top: int = 5
    fit: str = "none"
    seed: int = 0
    device: str = "auto"
    pictures: bool = False


@dataclass(frozen=True)
class FoundTask:
    """A task as it was found, nothing decoded yet.

    Attributes:
        task: the task.
        warnings: sentences about files left out.
        skipped: those files.
        fault: what keeps a method from learning from its labels; empty where nothing does.
    """

    task: Task
    warnings: list[str]
    skipped: tuple[Skipped, ...]
    fault: str

    @property
    def learnable(self) -> bool:
        """Whether its labels say enough to learn from."""
        return not self.fault

    def check_learnable(self) -> None:
        """Refuse a way that reads labels where these say too little.

        Raises:
            InputError: they do; names what remains.
        """
        if self.fault:
            raise InputError(f"{self.fault}; or choose {REMAINING}")


def staged(report: Report, stage: str) -> Progress:
    """A progress callback that names its stage and adds speed and time left, from anew where counting starts anew."""
    begin, first, last = time.monotonic(), 0, 0

    def progress(done: int, total: int, message: str) -> None:
        nonlocal begin, first, last
        if done < last:
            begin, first = time.monotonic(), done
        elapsed, since, last = time.monotonic() - begin, done - first, done
        if since and elapsed > 1 and done < total:
            rate = f"{since / elapsed:.0f}/s" if since >= elapsed and not message.endswith("/s") else ""
            left = f"about {elapsed / since * (total - done):.0f} s left"
            message = ", ".join(filter(None, (message, rate, left)))
        report(stage, done, total, message)

    return progress


def find_task(path: Path, name: str | None = None, attribute: str | None = None) -> FoundTask:
    """The task a folder or zip holds, with or without labels.

    Args:
        attribute: which one, where ``labels.csv`` has several attribute columns.

    Raises:
        InputError: it holds none, or several and ``attribute`` names none of them.
    """
    found, fault = look(path, name=name)
    warnings = list(found.warnings)
    if found.skipped:
        were = "were" if len(found.skipped) > 1 else "was"
        warnings.append(f"{counted(len(found.skipped), 'file')} {were} left out: {_first_few(found.skipped)}.")
    by_attribute = found.by_attribute
    if not by_attribute:
        return FoundTask(found.tasks[0], warnings, found.skipped, fault)
    if attribute not in by_attribute:
        raise InputError(
            f"labels.csv has {len(by_attribute)} attributes and each is a task of its own; "
            f"name one of them (--attribute): {', '.join(by_attribute)}"
        )
    return FoundTask(by_attribute[attribute], warnings, found.skipped, fault)


def _first_few(skipped: Sequence[Skipped]) -> str:
    shown = "; ".join(f"'{s.name}' {s.reason}" for s in skipped[:FIRST_FEW])
    return shown + (f"; and {len(skipped) - FIRST_FEW:,} more" if len(skipped) > FIRST_FEW else "")


def suited_networks(task: Task) -> Literal["resnet18", "small"]:
    """The untrained networks for images of this size: WLF's ResNet-18, and small ones for small images.

    Raises:
        InputError: none of the images looked at can be read.
    """
    sides = []
    spread = np.linspace(0, len(task) - 1, min(LOOKED_AT, len(task))).astype(int)
    for position in task.index[spread].tolist():
        with suppress(InputError):
            sides.append(min(task.source.load(position)[0].size))
    if not sides:
        raise InputError(
            f"none of {len(spread)} images of '{task.name}' can be read; look at them, or name --architecture"
        )
    return "small" if np.median(sides) <= SMALL else "resnet18"


def read_task(
    task: Task, options: Options, spec: InputSpec, report: Report, *, blind: bool
) -> tuple[DecodedTask, list[str]]:
    """Subsample and decode a task at a network's input size; collect what is odd about it.

    Args:
        task: as found.
        options: how many images.
        spec: the network's input.
        report: progress.
        blind: the labels must have no say in which images are taken.

    Raises:
        InputError: so few images are wanted that a class would be left with one or none, or too few can be read.
    """
    least = 2 * len(task.classes)
    if not blind and options.max_images < min(least, int((~task.held_out).sum())):
        raise InputError(
            f"of {len(task.classes)} classes at most {options.max_images} images leave some with fewer than two; give "
            f"--max-images {least} or more"
        )
    offered, progress = task.without_labels() if blind else task, staged(report, "choosing images")
    chosen = subsample(offered, options.max_images, options.seed, progress=progress)
    sampled = task.take(np.isin(task.index, chosen.index))
    warnings = []
    if len(sampled) < len(task):
        evenly = "" if blind else ", the same number a class where possible"
        warnings.append(
            f"{len(sampled):,} of {len(task):,} images are used{evenly} "
            f"(at most {options.max_images:,} to learn from; raise the limit for a finer answer)."
        )
    decoded = decode(sampled, spec, progress=staged(report, READING), blind=blind)
    if decoded.skipped:
        were = "were" if len(decoded.skipped) > 1 else "was"
        what = counted(len(decoded.skipped), "image")
        warnings.append(f"{what} could not be read and {were} left out: {_first_few(decoded.skipped)}.")
    return decoded, warnings + warnings_for(decoded.task, decoded.digests)
