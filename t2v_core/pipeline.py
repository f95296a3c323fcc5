"""From a folder to an embedded task: the sequence behind every front end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import TaskRecord
from t2v_core.embedding.record import Embedding
from t2v_core.embedding.task2vec import Task2VecSettings, embed_task
from t2v_core.errors import InputError
from t2v_core.probe.probe import pick_device
from t2v_core.probe.record import ProbeInfo
from t2v_core.probe.registry import load_probe
from t2v_core.task.decoding import decode
from t2v_core.task.reading import scan, warnings_for
from t2v_core.task.record import DecodedTask, InputSpec, Progress, Task
from t2v_core.task.sampling import subsample

Report = Callable[[str, int, int, str], None]
"""``report(stage, done, total, message)``; raise ``Cancelled`` from it to stop the work."""

READING, EMBEDDING = "reading images", "embedding the task"


@dataclass(frozen=True)
class Options:
    """What a person asks for.

    Attributes:
        path: folder or zip.
        name: what to call the task; by default the file's name.
        attribute: which column of a ``labels.csv`` with several attributes.
        probe: registry name.
        method: estimator of the Fisher information: ``"montecarlo"``, ``"exact"`` or ``"variational"``.
        tolerance: stop once the embedding's relative standard error is below it; None uses every image.
        selector: how experts are ranked.
        max_images: at most this many training images are used, balanced over the classes.
        top: experts reported and compared by fitted heads.
        fit: experts to fit a head on: ``"none"``, ``"top"`` (and the generic one) or ``"all"``.
        seed: of everything random.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
    """

    path: str
    name: str | None = None
    attribute: str | None = None
    probe: str = "bundled"
    method: Literal["montecarlo", "exact", "variational"] = "montecarlo"
    tolerance: float | None = None
    selector: str = "asymmetric"
    max_images: int = 2000
    top: int = 5
    fit: str = "none"
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class EmbeddedTask:
    """A task read and embedded, with everything a person should know about it.

    Attributes:
        record: as the bank would keep it.
        digests: SHA-256 of every training image.
        fisher, domain: the embeddings.
        info: the probe they stem from.
        decoded: pixels at the probe's input size.
        warnings: sentences.
        seconds: wall time a stage.
    """

    record: TaskRecord
    digests: list[str]
    fisher: Embedding
    domain: Embedding
    info: ProbeInfo
    decoded: DecodedTask
    warnings: list[str]
    seconds: dict[str, float]


def staged(report: Report, stage: str) -> Progress:
    """A progress callback that names its stage and adds the time left."""
    begin = time.monotonic()

    def progress(done: int, total: int, message: str) -> None:
        elapsed = time.monotonic() - begin
        if done and elapsed > 1 and done < total:
            message = f"{message}, {done / elapsed:.0f}/s, about {elapsed / done * (total - done):.0f} s left"
        report(stage, done, total, message)

    return progress


def choose_task(path: Path, name: str | None = None, attribute: str | None = None) -> tuple[Task, list[str]]:
    """The task a folder or zip holds, with warnings about files left out.

    Args:
        attribute: which one, where ``labels.csv`` has several attribute columns.

    Raises:
        InputError: it holds none, or several and ``attribute`` names none of them.
    """
    found = scan(path, name=name)
    warnings = list(found.warnings)
    if found.skipped:
        shown = ", ".join(f"'{s.name}' {s.reason}" for s in found.skipped[:3])
        more = f" and {len(found.skipped) - 3} more" if len(found.skipped) > 3 else ""
        warnings.append(f"{len(found.skipped)} files were left out: {shown}{more}.")
    if not found.labelled:
        raise InputError(
            "the images carry no labels; put them into one subfolder per class or add a labels.csv beside them"
        )
    if len(found.tasks) == 1:
        return found.tasks[0], warnings
    by_attribute = {t.classes[1]: t for t in found.tasks}
    if attribute not in by_attribute:
        raise InputError(
            f"labels.csv has {len(by_attribute)} attributes and each is a task of its own; "
            f"name one of: {', '.join(by_attribute)}"
        )
    return by_attribute[attribute], warnings


def read_task(options: Options, spec: InputSpec, report: Report) -> tuple[DecodedTask, list[str]]:
    """Read, subsample and decode the task at a network's input size; collect what is odd about it."""
    task, warnings = choose_task(Path(options.path), options.name, options.attribute)
    sampled = subsample(task, options.max_images, options.seed)
    if len(sampled) < len(task):
        warnings.append(
            f"{len(sampled):,} of {len(task):,} images are used, the same number a class where possible "
            f"(at most {options.max_images:,} to learn from; raise the limit for a finer answer)."
        )
    decoded = decode(sampled, spec, progress=staged(report, READING))
    if decoded.skipped:
        shown = "; ".join(f"'{s.name}' {s.reason}" for s in decoded.skipped[:3])
        warnings.append(f"{len(decoded.skipped)} images could not be read and were left out: {shown}.")
    return decoded, warnings + warnings_for(decoded.task, decoded.digests)


def embed(options: Options, report: Report) -> EmbeddedTask:
    """Read a task and embed it.

    Raises:
        InputError: the input or the options are at fault.
    """
    if options.max_images < 4:
        raise InputError(f"--max-images must be at least 4, got {options.max_images}")
    if options.tolerance is not None and not 0 < options.tolerance < 1:
        raise InputError(f"--tolerance is a relative error between 0 and 1, such as 0.02; got {options.tolerance}")
    begin = time.perf_counter()
    probe = load_probe(options.probe, pick_device(options.device), staged(report, "loading the probe"))
    loaded = time.perf_counter()
    decoded, warnings = read_task(options, probe.info.spec, report)
    read = time.perf_counter()
    settings = Task2VecSettings(estimator=options.method, tolerance=options.tolerance, seed=options.seed)
    found = embed_task(decoded, probe, settings, progress=staged(report, EMBEDDING))
    done = time.perf_counter()
    record = task_record(_slug(decoded), decoded, "upload")
    seconds = {"load probe": loaded - begin, "read": read - loaded, "embed": done - read}
    return EmbeddedTask(
        record, training_digests(decoded), found.fisher, found.domain, probe.info, decoded, warnings, seconds
    )


def save(bank: Bank, task: EmbeddedTask) -> None:
    """Write an embedded task to a bank."""
    bank.save_task(task.record, task.digests, [task.fisher, task.domain], task.info)


def _slug(decoded: DecodedTask) -> str:
    kept = "".join(c if c.isalnum() else "-" for c in decoded.task.name.casefold()).strip("-")[:60]
    return f"{kept or 'task'}-{decoded.content_hash[:8]}"


def task_record(task_id: str, decoded: DecodedTask, kind: str) -> TaskRecord:
    """The bank's record of a decoded task."""
    task = decoded.task
    return TaskRecord(
        id=task_id,
        name=task.name,
        kind=kind,
        origin=task.origin,
        classes=task.classes,
        counts=tuple(int(n) for n in task.counts),
        taxonomy=task.taxonomy,
        held_out=int(task.held_out.sum()),
        content_hash=decoded.content_hash,
        image_set="",
    )


def training_digests(decoded: DecodedTask) -> list[str]:
    """Digests of the images that are not held out."""
    return [d for d, held in zip(decoded.digests, decoded.task.held_out, strict=True) if not held]
