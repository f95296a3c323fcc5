"""Building a bank of demo tasks: embed every task, fine-tune the experts, fill the error matrix.

Every finished part is written at once, so a build that was cut off goes on where it stopped.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from t2v_core import __version__
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import ErrorEntry, ExpertRecord
from t2v_core.embedding.record import TASK2VEC
from t2v_core.embedding.task2vec import Task2VecSettings, TaskEmbeddings, embed_task
from t2v_core.errors import InputError
from t2v_core.experts.errors import PROTOCOL, task_errors
from t2v_core.experts.training import ARCHITECTURE, FINE_TUNING, TrainedExpert, fine_tune, keep_weights, load_expert
from t2v_core.pipeline import Report, task_record, training_digests
from t2v_core.probe.bundled import load_bundled
from t2v_core.probe.registry import load_probe
from t2v_core.probe.training import TrainingSettings, autocast
from t2v_core.selection.meta_task import GENERIC
from t2v_core.space.distances import symmetric
from t2v_core.task.record import DecodedTask
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
    training: TrainingSettings = FINE_TUNING,
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
        Seconds spent in each stage.
    """
    settings = settings or Task2VecSettings(seed=seed)
    training = replace(training, seed=seed)
    seconds = {}
    with _pool(workers) as pool:
        started = time.perf_counter()
        _embed_all(bank, tasks, probe_name, settings, pool, report)
        seconds["embed"] = time.perf_counter() - started
        started = time.perf_counter()
        _save_generic(bank)
        _train_all(bank, [t for t in tasks if t.kind in EXPERT_KINDS], training, pool, report)
        seconds["train"] = time.perf_counter() - started
        started = time.perf_counter()
        _fill_errors(bank, tasks, pool, report)
        seconds["errors"] = time.perf_counter() - started
    bank.record_fact(
        "build",
        {
            "version": __version__,
            "probe": probe_name,
            "embedding": settings.record(),
            "training": asdict(training),
            "protocol": PROTOCOL,
            "torch": torch.__version__,
            "machine": f"{platform.machine()}, {workers} processes of one thread, cpu",
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
        },
    )
    return seconds


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
        recomputed_error`` in %, and ``verified``.

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
    stored = bank.embeddings(TASK2VEC)[item.id]
    report("embedding", 0, 1, item.name)
    settings = Task2VecSettings(**stored.settings)  # type: ignore[arg-type]
    again = embed_task(item.decoded, load_probe(stored.probe_id, device), settings).fisher
    report("error", 0, 1, expert.name)
    features = _features_of(bank.weights / expert.weights_file, expert.weights_sha256, item.decoded.pixels)
    task = item.decoded.task
    (error,) = task_errors(torch.from_numpy(features)[None], task.labels, task.held_out)
    stored_error = float(bank.errors().loc[item.id, expert.id])
    distance = float(symmetric(stored.vector, again.vector)[0, 0])
    return {
        "task": item.id,
        "expert": expert.id,
        "d_sym": distance,
        "stored_error": stored_error,
        "recomputed_error": error,
        "verified": distance < VERIFY_DISTANCE and abs(error - stored_error) < VERIFY_ERROR,
    }


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
    present = bank.embeddings(TASK2VEC, info.weights_hash)
    pending: dict[Future[TaskEmbeddings], WorldTask] = {}
    for item in tasks:
        same = known.get(item.id) == item.decoded.content_hash
        if not (same and item.id in present and present[item.id].settings == settings.record()):
            pending[pool.submit(_embed_one, item.decoded, probe_name, settings)] = item
    done = len(tasks) - len(pending)
    for future in as_completed(pending):
        item, found = pending[future], future.result()
        record = task_record(item.id, item.decoded, item.kind)
        bank.save_task(record, training_digests(item.decoded), [found.fisher, found.domain], info)
        done += 1
        report("embedding tasks", done, len(tasks), item.name)


def _embed_one(decoded: DecodedTask, probe_name: str, settings: Task2VecSettings) -> TaskEmbeddings:
    return embed_task(decoded, load_probe(probe_name, torch.device("cpu")), settings)


def _save_generic(bank: Bank) -> None:
    """The generic expert is the bundled probe itself, without fine-tuning."""
    if any(e.id == GENERIC for e in bank.experts()):
        return
    file, sha256 = keep_weights(load_bundled(torch.device("cpu")).network, bank.weights)
    bank.save_expert(ExpertRecord(GENERIC, "generic (not fine-tuned)", ARCHITECTURE, file.name, sha256, None))


def _train_all(
    bank: Bank, tasks: Sequence[WorldTask], training: TrainingSettings, pool: ProcessPoolExecutor, report: Report
) -> None:
    existing = {e.task_id: e for e in bank.experts()}
    pending: dict[Future[TrainedExpert], WorldTask] = {}
    for item in tasks:
        if item.id not in existing or existing[item.id].training.get("settings") != asdict(training):
            pending[pool.submit(_train_one, item.decoded, bank.weights, training)] = item
    done = len(tasks) - len(pending)
    report("fine-tuning experts", done, len(tasks), "")
    for future in as_completed(pending):
        item, trained = pending[future], future.result()
        bank.save_expert(
            ExpertRecord(
                f"expert-{item.id}",
                item.name,
                ARCHITECTURE,
                trained.file.name,
                trained.sha256,
                item.id,
                trained.training,
            )
        )
        done += 1
        report("fine-tuning experts", done, len(tasks), item.name)


def _train_one(decoded: DecodedTask, folder: Path, training: TrainingSettings) -> TrainedExpert:
    return fine_tune(load_bundled(torch.device("cpu")), decoded, folder, training)


def _fill_errors(bank: Bank, tasks: Sequence[WorldTask], pool: ProcessPoolExecutor, report: Report) -> None:
    """Measure every missing cell; features are computed once per expert and distinct image."""
    experts = bank.experts()
    matrix = bank.errors().reindex(index=[t.id for t in tasks], columns=[e.id for e in experts])
    tasks = [t for t in tasks if matrix.loc[t.id].isna().any()]
    if not tasks:
        return
    row_of: dict[str, int] = {}
    pixels: list[NDArray[np.uint8]] = []
    for item in tasks:
        for digest, image in zip(item.decoded.digests, item.decoded.pixels, strict=True):
            if digest not in row_of:
                row_of[digest] = len(pixels)
                pixels.append(image)
    images = np.stack(pixels)
    futures = {pool.submit(_features_of, bank.weights / e.weights_file, e.weights_sha256, images): e for e in experts}
    features: dict[str, NDArray[np.float32]] = {}
    for future in as_completed(futures):
        features[futures[future].id] = future.result()
        report("features of every expert", len(features), len(experts), futures[future].name)
    for number, item in enumerate(tasks):
        rows = [row_of[digest] for digest in item.decoded.digests]
        stacked = torch.from_numpy(np.stack([features[e.id][rows] for e in experts]))
        task = item.decoded.task
        errors = task_errors(stacked, task.labels, task.held_out)
        n = int(task.held_out.sum())
        bank.save_errors(ErrorEntry(item.id, e.id, v, n, PROTOCOL) for e, v in zip(experts, errors, strict=True))
        report("error matrix", number + 1, len(tasks), item.name)


def _features_of(file: Path, sha256: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    device = torch.device("cpu")
    with autocast(device):
        return load_expert(file, sha256, device).features(images).numpy()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes with one thread each: for small networks two of them beat one with two threads."""
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
