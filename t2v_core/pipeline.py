"""From a folder to an embedded task: the sequence behind every front end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import TaskRecord
from t2v_core.embedding.domain import embed_domain
from t2v_core.embedding.pseudotask import PseudoTaskSettings, embed_pseudotask
from t2v_core.embedding.record import DOMAIN, PSEUDOTASK, TASK2VEC, Embedding
from t2v_core.embedding.tangent import KEPT, embed_tangent
from t2v_core.embedding.tangent_kernel import TANGENT
from t2v_core.embedding.task2vec import Task2VecSettings, embed_task
from t2v_core.errors import InputError
from t2v_core.probe.probe import Probe, pick_device
from t2v_core.probe.random_networks import SPECS
from t2v_core.probe.record import ProbeInfo
from t2v_core.probe.registry import load_probe
from t2v_core.selection.ways import REMAINING
from t2v_core.task.decoding import decode
from t2v_core.task.reading import look, warnings_for
from t2v_core.task.record import DecodedTask, InputSpec, Progress, Task
from t2v_core.task.sampling import subsample

Report = Callable[[str, int, int, str], None]
"""``report(stage, done, total, message)``; raise ``Cancelled`` from it to stop the work."""

UNLABELLED = "The images carry no labels, so PseudoTask embeds them: the probe's own classifier stands in for labels."
READING, EMBEDDING = "reading images", "embedding the task"


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
        method: estimator of the Fisher information: ``"montecarlo"``, ``"exact"`` or ``"variational"``.
        tolerance: stop once the embedding's relative standard error is below it; None uses every image.
        selector: how experts are ranked, one of ``selection.ways.WAYS``; by default by PseudoTask where the images
            carry no labels, else by the asymmetric distance.
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
    embedding: str | None = None
    method: Literal["montecarlo", "exact", "variational"] = "montecarlo"
    tolerance: float | None = None
    selector: str | None = None
    max_images: int = 2000
    top: int = 5
    fit: str = "none"
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class FoundTask:
    """A task as it was found, nothing decoded yet.

    Attributes:
        task: the task.
        warnings: sentences about files left out.
        fault: what keeps a method from learning from its labels; empty where nothing does.
    """

    task: Task
    warnings: list[str]
    fault: str

    @property
    def learnable(self) -> bool:
        """Whether its labels say enough to learn from."""
        return not self.fault


@dataclass(frozen=True)
class EmbeddedTask:
    """A task read and embedded, with everything a person should know about it.

    Attributes:
        record: as the bank would keep it.
        digests: SHA-256 of every training image.
        embeddings: the one asked for first, then what came with it for free.
        info: the probe they stem from; None where no pre-trained network had a part in them.
        decoded: pixels at the network's input size.
        learnable: whether its labels say enough to learn from.
        warnings: sentences.
        seconds: wall time a stage.
    """

    record: TaskRecord
    digests: list[str]
    embeddings: list[Embedding]
    info: ProbeInfo | None
    decoded: DecodedTask
    learnable: bool
    warnings: list[str]
    seconds: dict[str, float]

    @property
    def embedding(self) -> Embedding:
        """The embedding asked for."""
        return self.embeddings[0]

    def by(self, method: str) -> Embedding:
        """The embedding by a method it has been embedded by."""
        return next(e for e in self.embeddings if e.method == method)


def staged(report: Report, stage: str) -> Progress:
    """A progress callback that names its stage and adds the time left."""
    begin = time.monotonic()

    def progress(done: int, total: int, message: str) -> None:
        elapsed = time.monotonic() - begin
        if done and elapsed > 1 and done < total:
            message = f"{message}, {done / elapsed:.0f}/s, about {elapsed / done * (total - done):.0f} s left"
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
        shown = ", ".join(f"'{s.name}' {s.reason}" for s in found.skipped[:3])
        more = f" and {len(found.skipped) - 3} more" if len(found.skipped) > 3 else ""
        warnings.append(f"{len(found.skipped)} files were left out: {shown}{more}.")
    if len(found.tasks) == 1:
        return FoundTask(found.tasks[0], warnings, fault)
    by_attribute = {t.classes[1]: t for t in found.tasks}
    if attribute not in by_attribute:
        raise InputError(
            f"labels.csv has {len(by_attribute)} attributes and each is a task of its own; "
            f"name one of: {', '.join(by_attribute)}"
        )
    return FoundTask(by_attribute[attribute], warnings, fault)


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
    """
    if blind:
        chosen = subsample(task.without_labels(), options.max_images, options.seed)
        sampled = task.take(np.isin(task.index, chosen.index))
    else:
        sampled = subsample(task, options.max_images, options.seed)
    warnings = []
    if len(sampled) < len(task):
        evenly = "" if blind else ", the same number a class where possible"
        warnings.append(
            f"{len(sampled):,} of {len(task):,} images are used{evenly} "
            f"(at most {options.max_images:,} to learn from; raise the limit for a finer answer)."
        )
    decoded = decode(sampled, spec, progress=staged(report, READING))
    if decoded.skipped:
        shown = "; ".join(f"'{s.name}' {s.reason}" for s in decoded.skipped[:3])
        warnings.append(f"{len(decoded.skipped)} images could not be read and were left out: {shown}.")
    return decoded, warnings + warnings_for(decoded.task, decoded.digests)


def embed(options: Options, report: Report, found: FoundTask | None = None) -> EmbeddedTask:
    """Read a task and embed it.

    Args:
        options: what is asked.
        report: progress.
        found: the task, where it has been looked for already.

    Raises:
        InputError: the input or the options are at fault.
    """
    if options.max_images < 4:
        raise InputError(f"--max-images must be at least 4, got {options.max_images}")
    if options.tolerance is not None and not 0 < options.tolerance < 1:
        raise InputError(f"--tolerance is a relative error between 0 and 1, such as 0.02; got {options.tolerance}")
    begin = time.perf_counter()
    found = found or find_task(Path(options.path), options.name, options.attribute)
    method = options.embedding or (TASK2VEC if found.task.labelled else PSEUDOTASK)
    if options.embedding is None and method == PSEUDOTASK:
        found.warnings.append(UNLABELLED)
    if found.fault and method in (TASK2VEC, TANGENT):
        raise InputError(f"{found.fault}; or choose {REMAINING}")
    device = pick_device(options.device)
    probe = None
    if method != TANGENT:
        probe = load_probe(options.probe, device, staged(report, "loading the probe"))
    loaded = time.perf_counter()
    spec = SPECS[KEPT.architecture] if probe is None else probe.info.spec
    blind = method == PSEUDOTASK or not found.learnable
    decoded, warnings = read_task(found.task, options, spec, report, blind=blind)
    read = time.perf_counter()
    progress = staged(report, EMBEDDING)
    if probe is None:
        embeddings = [embed_tangent(decoded, replace(KEPT, seed=options.seed), device=device, progress=progress)]
    else:
        embeddings = _by_probe(decoded, probe, method, options, found.learnable, progress)
    seconds = {"load probe": loaded - begin, "read": read - loaded, "embed": time.perf_counter() - read}
    return EmbeddedTask(
        record=task_record(_slug(decoded), decoded, "upload"),
        digests=training_digests(decoded),
        embeddings=embeddings,
        info=None if probe is None else probe.info,
        decoded=decoded,
        learnable=found.learnable,
        warnings=found.warnings + warnings,
        seconds=seconds,
    )


def _by_probe(
    decoded: DecodedTask, probe: Probe, method: str, options: Options, learnable: bool, progress: Progress
) -> list[Embedding]:
    if method == PSEUDOTASK:
        pseudo = PseudoTaskSettings(estimator=options.method, tolerance=options.tolerance, seed=options.seed)
        return [
            embed_pseudotask(decoded, probe, pseudo, progress=progress),
            embed_domain(decoded, probe, seed=options.seed),
        ]
    if method == DOMAIN and not learnable:
        return [embed_domain(decoded, probe, seed=options.seed, progress=progress)]
    settings = Task2VecSettings(estimator=options.method, tolerance=options.tolerance, seed=options.seed)
    found = embed_task(decoded, probe, settings, progress=progress)
    return [found.fisher, found.domain]


def save(bank: Bank, task: EmbeddedTask) -> None:
    """Write an embedded task to a bank."""
    bank.save_task(task.record, task.digests, task.embeddings, task.info)


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
        classes=task.classes if task.labelled else (),
        counts=tuple(int(n) for n in task.counts),
        taxonomy=task.taxonomy,
        held_out=int(task.held_out.sum()),
        content_hash=decoded.content_hash,
        image_set="",
    )


def training_digests(decoded: DecodedTask) -> list[str]:
    """Digests of the images that are not held out."""
    return [d for d, held in zip(decoded.digests, decoded.task.held_out, strict=True) if not held]
