"""From a folder to an embedded task: the sequence behind every front end."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import UPLOAD, TaskRecord
from t2v_core.embedding.domain import embed_domain
from t2v_core.embedding.pseudotask import ALGORITHM_1, PseudoTaskSettings, embed_pseudotask
from t2v_core.embedding.record import DOMAIN, PSEUDOTASK, TASK2VEC, Embedding
from t2v_core.embedding.tangent import BY_ARCHITECTURE, embed_tangent, few_for_a_batch
from t2v_core.embedding.tangent_kernel import TANGENT
from t2v_core.embedding.task2vec import PUBLISHED, Task2VecSettings, embed_task
from t2v_core.errors import InputError
from t2v_core.probe.probe import Probe, pick_device
from t2v_core.probe.random_networks import SPECS
from t2v_core.probe.record import ProbeInfo
from t2v_core.probe.registry import load_probe
from t2v_core.request import MOST_LISTED, FoundTask, Options, Report, find_task, read_task, staged, suited_networks
from t2v_core.task.record import DecodedTask, Progress, Skipped
from t2v_core.task.thumbnails import strip_of

UNLABELLED = "The images carry no labels, so PseudoTask embeds them: the probe's own classifier stands in for labels."
S = TypeVar("S", bound=Task2VecSettings)

EMBEDDING = "embedding the task"


@dataclass(frozen=True)
class EmbeddedTask:
    """A task read and embedded, with everything a person should know about it.

    Attributes:
        record: as the bank would keep it.
        digests: SHA-256 of every training image.
        embeddings: the one asked for first, then what a bank keeps beside it.
        info: the probe they stem from; None where no pre-trained network had a part in them.
        decoded: pixels at the network's input size.
        learnable: whether its labels say enough to learn from.
        warnings: sentences.
        skipped: files left out.
        seconds: wall time a stage.
    """

    record: TaskRecord
    digests: list[str]
    embeddings: list[Embedding]
    info: ProbeInfo | None
    decoded: DecodedTask
    learnable: bool
    warnings: list[str]
    skipped: tuple[Skipped, ...]
    seconds: dict[str, float]

    @property
    def left_out(self) -> list[dict[str, str]]:
        """Files left out, as JSON: ``name, reason``; the first ``MOST_LISTED``."""
        return [asdict(file) for file in self.skipped[:MOST_LISTED]]

    @property
    def embedding(self) -> Embedding:
        """The embedding asked for."""
        return self.embeddings[0]

    def by(self, method: str) -> Embedding:
        """The embedding by a method it has been embedded by."""
        return next(e for e in self.embeddings if e.method == method)


def embed(options: Options, report: Report, found: FoundTask | None = None, *, refits: bool = False) -> EmbeddedTask:
    """Read a task and embed it.

    Args:
        options: what is asked.
        report: progress.
        found: the task, where it has been looked for already.
        refits: measure how far the vector moves with the head behind it (``embedding.refits``), or with the images
            (``embedding.tangent``).

    Raises:
        InputError: the input or the options are at fault.
    """
    if options.max_images < 4:
        raise InputError(f"--max-images must be at least 4, got {options.max_images}")
    if options.tolerance is not None and not 0 < options.tolerance < 1:
        raise InputError(f"--tolerance is a relative error between 0 and 1, such as 0.02; got {options.tolerance}")
    variational = options.method in ("variational", "published") or options.pseudo == "variational"
    if variational and (options.tolerance is not None or options.precision != "float32"):
        raise InputError(
            "the variational estimate is one optimisation in float32 with no error to stop at; leave out --tolerance "
            "and --precision, or choose another --method"
        )
    if options.embedding == TANGENT and (options.tolerance is not None or options.precision != "float32"):
        raise InputError(
            "the Task Tangent Kernel looks at one batch in float32 by each network; leave out --tolerance and "
            "--precision, or choose another --method"
        )
    begin = time.perf_counter()
    found = found or find_task(Path(options.path), options.name, options.attribute)
    method = options.embedding or (TASK2VEC if found.task.labelled else PSEUDOTASK)
    if options.embedding is None and method == PSEUDOTASK:
        found.warnings.append(UNLABELLED)
    if method in (TASK2VEC, TANGENT):
        found.check_learnable()
    device = pick_device(options.device)
    probe = None
    if method != TANGENT:
        probe = load_probe(options.probe, device, staged(report, "loading the probe"))
    loaded = time.perf_counter()
    if probe is None:
        architecture = options.architecture or suited_networks(found.task)
        spec = SPECS[architecture]
    else:
        spec = probe.info.spec
    blind = method == PSEUDOTASK or not found.learnable
    decoded, warnings = read_task(found.task, options, spec, report, blind=blind)
    read = time.perf_counter()
    progress = staged(report, EMBEDDING)
    if probe is None:
        settings = replace(BY_ARCHITECTURE[architecture], seed=options.seed)
        embeddings = [embed_tangent(decoded, settings, refits=refits, device=device, progress=progress)]
        warnings += few_for_a_batch(embeddings[0])
    else:
        embeddings = _by_probe(decoded, probe, method, options, found.learnable, refits, progress)
    seconds = {"load probe": loaded - begin, "read": read - loaded, "embed": time.perf_counter() - read}
    return EmbeddedTask(
        record=task_record(_slug(decoded), decoded, UPLOAD),
        digests=training_digests(decoded),
        embeddings=embeddings,
        info=None if probe is None else probe.info,
        decoded=decoded,
        learnable=found.learnable,
        warnings=found.warnings + warnings,
        skipped=(*found.skipped, *decoded.skipped),
        seconds=seconds,
    )


def _by_probe(
    decoded: DecodedTask,
    probe: Probe,
    method: str,
    options: Options,
    learnable: bool,
    refits: bool,
    progress: Progress,
) -> list[Embedding]:
    if method == PSEUDOTASK:
        settings = _settings(PseudoTaskSettings, options, probe)
        if options.pseudo == "hard":
            settings = replace(settings, labels="hard")
        elif options.pseudo == "variational":
            settings = replace(ALGORITHM_1, seed=options.seed)  # one optimisation, whose head is not fitted again
            refits = False
        return [
            embed_pseudotask(decoded, probe, settings, refits=refits, progress=progress),
            embed_domain(decoded, probe, seed=options.seed),
        ]
    if method == DOMAIN and not learnable:
        return [embed_domain(decoded, probe, seed=options.seed, progress=progress)]
    published = replace(PUBLISHED, seed=options.seed)
    chosen = published if options.method == "published" else _settings(Task2VecSettings, options, probe)
    found = embed_task(decoded, probe, chosen, refits=refits, progress=progress)
    return [found.domain, found.fisher] if method == DOMAIN else [found.fisher, found.domain]


def _settings(kind: type[S], options: Options, probe: Probe) -> S:
    return kind.for_probe(
        probe.info.id, options.method, tolerance=options.tolerance, precision=options.precision, seed=options.seed
    )


def save(bank: Bank, task: EmbeddedTask, *, pictures: bool = False) -> None:
    """Write an embedded task to a bank, with a few small pictures where asked."""
    strip = strip_of(task.decoded.task) if pictures else None
    bank.save_task(task.record, task.digests, task.embeddings, task.info, strip)


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
