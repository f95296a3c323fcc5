"""Building a bank of demo tasks: embed every task, fine-tune the experts, fill the error matrix.

Every finished part is written at once, so a build that was cut off goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from t2v_core import __version__
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import ExpertRecord
from t2v_core.bank.thumbnails import add_missing
from t2v_core.embedding.record import TASK2VEC
from t2v_core.embedding.task2vec import Task2VecSettings, TaskEmbeddings, embed_task
from t2v_core.errors import InputError
from t2v_core.experts.errors import PROTOCOL, task_errors
from t2v_core.experts.images import pixels_at, sized
from t2v_core.experts.schedules import SCALED, Schedule, trained_from
from t2v_core.experts.training import TrainedExpert, fine_tune
from t2v_core.experts.weights import keep_weights, spec_of
from t2v_core.filling import features_of, fill_errors
from t2v_core.pipeline import task_record, training_digests
from t2v_core.probe.bundled import RESNET20, SPEC, load_bundled
from t2v_core.probe.registry import load_probe
from t2v_core.probe.training import TrainingSettings
from t2v_core.request import Report
from t2v_core.selection.meta_task import GENERIC
from t2v_core.space.distances import symmetric
from t2v_core.task.record import DecodedTask
from t2v_core.task.thumbnails import strip_of
from t2v_core.task.worlds import WorldTask

VERIFY_DISTANCE, VERIFY_ERROR = 1e-3, 1.0
"""What float32 arithmetic of another machine may change: d_sym, and points of error."""

EXPERT_KINDS = ("large", "attribute-source", "broad")


def build_demo(
    bank: Bank,
    tasks: Sequence[WorldTask],
    *,
    probe_name: str = "bundled",
    settings: Task2VecSettings | None = None,
    training: TrainingSettings = SCALED.body,
    workers: int = 2,
    seed: int = 0,
    report: Report,
) -> dict[str, float]:
    """Fill ``bank`` with tasks, their embeddings, experts and the full error matrix.

    Args:
        bank: where to write; finished parts found there are kept.
        tasks: the demo tasks; those of ``EXPERT_KINDS`` get an expert each.
        probe_name: the probe that embeds the tasks. Experts always start from the bundled one.
        settings: of the embedding.
        training: of the experts.
        seed: of everything random.
        workers: processes to fine-tune and evaluate experts in, one thread each.
        report: progress.

    Returns:
        Seconds spent in each stage, those of a build that was cut off included.
    """
    settings = settings or Task2VecSettings.for_probe(probe_name, None, seed=seed)
    training = replace(training, seed=seed)
    about = {
        "probe": probe_name,
        "embedding": settings.record(),
        "training": asdict(training),
        "protocol": PROTOCOL,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {workers} processes of one thread, cpu",
    }
    record = _Record(bank, about)
    with _pool(workers) as pool:
        with record.stage("embed"):
            _embed_all(bank, tasks, probe_name, settings, pool, report)
            add_missing(bank, tasks)  # to tasks embedded before banks kept pictures
        with record.stage("train"):
            _save_generic(bank)
            _train_all(bank, [t for t in tasks if t.kind in EXPERT_KINDS], training, pool, report)
        with record.stage("errors"):
            _fill_all(bank, tasks, pool, workers, report)
    return record.seconds


def verify(
    bank: Bank, tasks: Sequence[WorldTask], task_id: str | None, expert_id: str | None, report: Report
) -> dict[str, Any]:
    """Recompute one task's embedding and one cell of the error matrix, and compare with the bank.

    Args:
        bank: the bank to check.
        tasks: tasks whose images are at hand.
        task_id: which task; by default the first of ``tasks`` that the bank holds with equal content.
        expert_id: which expert; by default the generic one.
        report: progress.

    Returns:
        ``task, expert, d_sym`` between stored and recomputed embedding, ``stored_error,
        recomputed_error`` in %, ``verified``, and ``fault``, a sentence where it is not.

    Raises:
        InputError: the bank does not hold the task or expert, or the images differ from those it was built from.
    """
    records, experts = {t.id: t for t in bank.tasks()}, {e.id: e for e in bank.experts()}
    same = [t for t in tasks if t.id in records and records[t.id].content_hash == t.decoded.content_hash]
    item = next((t for t in same if task_id in (None, t.id)), None)
    if item is None:
        raise InputError(
            f"task {task_id or 'any'!r} cannot be recomputed: the bank does not hold it with these very images; "
            "give the --data and --seed the bank was built from"
        )
    expert = experts.get(expert_id or GENERIC)
    if expert is None:
        raise InputError(f"there is no expert {expert_id or GENERIC!r} in the bank; `experts` lists them")
    device = torch.device("cpu")
    stored = bank.embeddings(TASK2VEC, tasks=[item.id])[item.id]
    report("embedding", 0, 1, item.name)
    settings = Task2VecSettings(**stored.settings)  # type: ignore[arg-type]
    again = _embed_one(item.decoded, stored.probe_id, settings).fisher
    report("error", 0, 1, expert.name)
    features = features_of(expert, bank.weights, pixels_at(item.decoded, SPEC, spec_of(expert)), device)
    task = item.decoded.task
    (error,) = task_errors([torch.from_numpy(features)], task.labels, task.held_out)
    stored_error = float(bank.errors().loc[item.id, expert.id])
    distance = float(symmetric(stored.vector, again.vector)[0, 0])
    verified = distance < VERIFY_DISTANCE and abs(error - stored_error) < VERIFY_ERROR
    fault = (
        f"the bank at {bank.location} is not what its images give: task {item.id!r} comes out at d_sym {distance:.4f} "
        f"(below {VERIFY_DISTANCE:g} is rounding), the error of {expert.id!r} at {error:.2f} % in place of "
        f"{stored_error:.2f} %; build it anew"
    )
    return {
        "task": item.id,
        "expert": expert.id,
        "d_sym": distance,
        "stored_error": stored_error,
        "recomputed_error": error,
        "verified": verified,
        "fault": "" if verified else fault,
    }


def code_version() -> str:
    """The version, and what tells the code of one commit from that of another: a hash of the package's sources."""
    root = Path(__file__).parent
    content = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        content.update(f"{file.relative_to(root).as_posix()}\n{file.read_text(encoding='utf-8')}\n".encode())
    return f"{__version__}+{content.hexdigest()[:12]}"


class _Record:
    """What the bank says of how it was built; a build that goes on where another was cut off adds its time."""

    def __init__(self, bank: Bank, about: dict[str, Any]) -> None:
        before: Any = bank.facts().get("build", {})
        same = before and json.loads(json.dumps(about)) == {name: before.get(name) for name in about}
        self.seconds: dict[str, float] = dict(before["seconds"]) if same else {}
        self._bank, self._about = bank, {"version": code_version()} | about

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage, whether it comes to its end or not."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = self.seconds.get(name, 0.0) + time.perf_counter() - started
            self.seconds[name] = round(spent, 1)
            self._bank.record_fact("build", self._about | {"seconds": self.seconds})


def _embed_all(
    bank: Bank,
    tasks: Sequence[WorldTask],
    probe_name: str,
    settings: Task2VecSettings,
    pool: ProcessPoolExecutor,
    report: Report,
) -> None:
    info = load_probe(probe_name, torch.device("cpu")).info
    known = {t.id: t.content_hash for t in bank.tasks()}
    present = bank.embeddings(TASK2VEC, info.weights_hash, chunks=False)
    pending: dict[Future[TaskEmbeddings], WorldTask] = {}
    for item in tasks:
        same = known.get(item.id) == item.decoded.content_hash
        if not (same and item.id in present and present[item.id].settings == settings.record()):
            pending[pool.submit(_embed_one, item.decoded, probe_name, settings)] = item
    done = len(tasks) - len(pending)
    for future in as_completed(pending):
        item, found = pending[future], future.result()
        record = task_record(item.id, item.decoded, item.kind)
        strip = strip_of(item.decoded.task) if item.made_here else None
        bank.save_task(record, training_digests(item.decoded), [found.fisher, found.domain], info, strip)
        done += 1
        report("embedding tasks", done, len(tasks), item.name)


def _embed_one(decoded: DecodedTask, probe_name: str, settings: Task2VecSettings) -> TaskEmbeddings:
    probe = load_probe(probe_name, torch.device("cpu"))
    return embed_task(sized(decoded, SPEC, probe.info.spec), probe, settings)


def _save_generic(bank: Bank) -> None:
    """The generic expert is the bundled probe itself, without fine-tuning."""
    file, sha256 = keep_weights(load_bundled(torch.device("cpu")).network, bank.weights)
    if any(e.id == GENERIC and e.weights_sha256 == sha256 for e in bank.experts()):
        return
    bank.save_expert(ExpertRecord(GENERIC, "generic (not fine-tuned)", RESNET20, file.name, sha256, None))


def _train_all(
    bank: Bank, tasks: Sequence[WorldTask], training: TrainingSettings, pool: ProcessPoolExecutor, report: Report
) -> None:
    existing, start = {e.id: e for e in bank.experts()}, load_bundled(torch.device("cpu")).info.weights_hash
    pending: dict[Future[TrainedExpert], WorldTask] = {}
    for item in tasks:
        if not _trained_so(existing.get(f"expert-{item.id}"), item, training, start):
            pending[pool.submit(_train_one, item.decoded, bank.weights, training)] = item
    done = len(tasks) - len(pending)
    report("fine-tuning experts", done, len(tasks), "")
    for future in as_completed(pending):
        item, trained = pending[future], future.result()
        bank.save_expert(
            ExpertRecord(
                f"expert-{item.id}",
                item.name,
                RESNET20,
                trained.file.name,
                trained.sha256,
                item.id,
                trained.training,
            )
        )
        done += 1
        report("fine-tuning experts", done, len(tasks), item.name)


def _trained_so(expert: ExpertRecord | None, item: WorldTask, training: TrainingSettings, start: str) -> bool:
    """Whether there is an expert that learned from these very images, from the same weights and in the same way."""
    if expert is None or not trained_from(expert, start, training):
        return False
    content = item.decoded.content_hash
    return expert.training.get("content", content) == content  # older banks do not say


def _train_one(decoded: DecodedTask, folder: Path, training: TrainingSettings) -> TrainedExpert:
    return fine_tune(load_bundled(torch.device("cpu")), decoded, folder, Schedule("demo", training))


def _fill_all(bank: Bank, tasks: Sequence[WorldTask], pool: ProcessPoolExecutor, workers: int, report: Report) -> None:
    """Fill the error matrix: every process of the pool takes what no other has taken, this one tells of progress."""
    items = {t.id: t.decoded for t in tasks}
    helpers = [pool.submit(_help_filling, bank.location, items) for _ in range(workers - 1)]
    with _one_thread():
        fill_errors(bank, items, bank.experts(), torch.device("cpu"), report)
    for helper in helpers:
        helper.result()


def _help_filling(location: str, items: dict[str, DecodedTask]) -> None:
    bank = Bank(location)
    fill_errors(bank, items, bank.experts(), torch.device("cpu"), lambda *_: None)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes with one thread each: for small networks two of them beat one with two threads."""
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
