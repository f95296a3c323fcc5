"""Moving banks: one zip of JSON, npz and safetensors, read back as untrusted input."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from sqlalchemy.exc import SQLAlchemyError

from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import check_method, method_rows, save_method_rows
from t2v_core.bank.opening import beside
from t2v_core.bank.packed import LIMITS, check_chunks, unpack
from t2v_core.bank.records import ErrorEntry, ExpertRecord, TaskRecord, TrialEntry, called, task_from_row, weights_name
from t2v_core.bank.rows import chunk_bytes, embedding_from_row, embedding_row, expert_from_row, probe_from_json
from t2v_core.bank.thumbnails import thumbnails
from t2v_core.embedding.record import DOMAIN, FISHER, Embedding
from t2v_core.errors import InputError
from t2v_core.probe.record import ProbeInfo
from t2v_core.task.archives import GIB, READ_ERRORS, check_archive, read_member
from t2v_core.task.thumbnails import checked_strip

MANIFEST, ARRAYS, WEIGHTS = "bank.json", "arrays.npz", "weights"
FORMAT = 2
"""1: experts without a transform of their own, and no trials. What came later are parts that may be missing."""
BINARY = ("vector", "chunk_ratios", "chunk_weights")


def export_bank(bank: Bank, file: Path) -> None:
    """Write everything but jobs to ``file``.

    Raises:
        InputError: it would be too large to be imported.
    """
    arrays: dict[str, np.ndarray] = {f"set/{key}": value for key, value in bank.image_sets().items()}
    embeddings = []
    for number, (task_id, embedding) in enumerate(bank.all_embeddings()):
        row = embedding_row(task_id, embedding)
        for column in BINARY:
            arrays[f"{column}/{number}"] = np.frombuffer(row.pop(column), np.uint8)
        embeddings.append(row)
    methods = method_rows(bank)
    for row in methods:
        arrays[f"method/{row['name']}"] = np.frombuffer(row.pop("arrays"), np.uint8)
    strips = thumbnails(bank)
    for number, strip in enumerate(strips.values()):
        arrays[f"thumbnail/{number}"] = np.frombuffer(strip, np.uint8)
    manifest = {
        "format": FORMAT,
        "probes": [asdict(info) for info in bank.probes().values()],
        "tasks": [asdict(t) for t in bank.tasks()],
        "embeddings": embeddings,
        "experts": [asdict(e) for e in bank.experts()],
        "errors": [asdict(e) for e in bank.error_entries()],
        "trials": [asdict(e) for e in bank.trials()],
        "methods": methods,
        "thumbnails": list(strips),
        "facts": bank.facts(),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, json.dumps(manifest, ensure_ascii=False))
        archive.writestr(ARRAYS, buffer.getvalue())
        for name in sorted({e.weights_file for e in bank.experts()}):
            archive.write(bank.weights / name, f"{WEIGHTS}/{name}")
    try:
        _check_size(file)
    except InputError:
        file.unlink()
        raise


@dataclass(frozen=True)
class _Contents:
    """An exported bank, read and checked.

    Attributes:
        sets: by task id, the digests of its images.
        embeddings: with the ids of their tasks.
        weights: by file name.
        methods: rows of their table.
        strips: by task id.
    """

    probes: dict[str, ProbeInfo]
    tasks: list[TaskRecord]
    sets: dict[str, NDArray[np.uint64]]
    embeddings: list[tuple[str, Embedding]]
    experts: list[ExpertRecord]
    weights: dict[str, bytes]
    errors: list[ErrorEntry]
    trials: list[TrialEntry]
    methods: list[dict[str, Any]]
    strips: dict[str, bytes]


def import_bank(bank: Bank, file: Path) -> dict[str, int]:
    """Add the tasks, experts and errors of an exported bank; what has the same id is replaced.

    Everything is read and checked before anything is written, and the tables change in one transaction.

    Returns:
        How many tasks, experts and errors were taken.

    Raises:
        InputError: the file is no exported bank, is damaged, or was made by a newer version.
    """
    _check_size(file)
    check_archive(file, LIMITS)
    try:
        with zipfile.ZipFile(file) as archive:
            found = _read(archive, file.name, bank.probes())
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"'{file.name}' takes more memory than there is; import it on a larger machine") from error
    except (*READ_ERRORS, AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"'{file.name}' is no exported bank or is damaged ({type(error).__name__}: {error})"
        ) from error
    try:
        _write(bank, found)
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the bank cannot take what '{file.name}' holds ({reason}); it is as it was") from error
    return {"tasks": len(found.tasks), "experts": len(found.experts), "errors": len(found.errors)}


def _read(archive: zipfile.ZipFile, title: str, known: Mapping[str, ProbeInfo]) -> _Contents:
    """Read and check an exported bank.

    Args:
        archive: judged by its table of contents, no more.
        title: what a person calls it.
        known: the probes of the bank that is to take it, by weights hash.

    Raises:
        InputError: what it holds does not fit together.
        KeyError, TypeError, ValueError, ...: it is no exported bank.
    """
    manifest = json.loads(_member(archive, MANIFEST))
    if manifest["format"] > FORMAT:
        raise InputError(f"'{title}' was exported by a newer version; update the program")
    arrays = unpack(_member(archive, ARRAYS), ARRAYS)
    brought = {info["weights_hash"]: _checked_probe(probe_from_json(info)) for info in manifest["probes"]}
    probes = {**brought, **known}  # what the bank knows of a probe stays as it is
    tasks = [task_from_row(row) for row in manifest["tasks"]]
    experts = [expert_from_row(row) for row in manifest["experts"]]
    errors = [ErrorEntry(**row) for row in manifest["errors"]]
    trials = [TrialEntry(**row) for row in manifest.get("trials", [])]
    methods = [row | {"arrays": arrays[f"method/{row['name']}"].tobytes()} for row in manifest.get("methods", [])]
    measured: list[ErrorEntry | TrialEntry] = [*errors, *trials]
    task_ids, expert_ids = {t.id for t in tasks}, {e.id for e in experts}
    _check_owners("an embedding", (row["task_id"] for row in manifest["embeddings"]), task_ids, "tasks")
    _check_owners("an expert trained on", (e.task_id for e in experts if e.task_id is not None), task_ids, "tasks")
    _check_owners("an error or a trial", (e.task_id for e in measured), task_ids, "tasks")
    _check_owners("an error or a trial", (e.expert_id for e in measured), expert_ids, "experts")
    for entry in measured:
        if not 0 <= entry.error <= 100:
            raise InputError(
                f"an error of task {entry.task_id!r} is {entry.error}, no percentage; export the bank again"
            )
    for row in methods:
        check_method(row)
    return _Contents(
        probes=probes,
        tasks=tasks,
        sets={t.id: _checked_digests(t.id, arrays[f"set/{t.image_set}"]) for t in tasks},
        embeddings=_checked_embeddings(manifest["embeddings"], arrays, probes),
        experts=experts,
        weights={e.weights_file: _checked_weights(archive, e) for e in experts},
        errors=errors,
        trials=trials,
        methods=methods,
        strips=_checked_strips(manifest.get("thumbnails", []), arrays, task_ids),
    )


def _write(bank: Bank, found: _Contents) -> None:
    bank.weights.mkdir(parents=True, exist_ok=True)
    for name, data in found.weights.items():  # before the tables that name them
        temporary = beside(bank.weights / name)
        temporary.write_bytes(data)
        temporary.replace(bank.weights / name)
    with bank.one_change():
        for task in found.tasks:
            own = [e for owner, e in found.embeddings if owner == task.id]
            _save_task(bank, task, found.sets[task.id], own, found.probes, found.strips.get(task.id))
        for expert in found.experts:
            bank.save_expert(expert)
        bank.save_errors(found.errors)
        for trial in found.trials:
            bank.save_trial(trial)
        save_method_rows(bank, found.methods)


def copy_tasks(
    source: Bank, target: Bank, task_ids: Iterable[str] | None = None, *, pictures: bool = False
) -> list[TaskRecord]:
    """Copy tasks with all their embeddings, and their pictures where asked; returns what was copied."""
    wanted = None if task_ids is None else set(task_ids)
    strips = thumbnails(source) if pictures else {}
    sets, probes, embeddings = source.image_sets(), source.probes(), source.all_embeddings()
    copied = [t for t in source.tasks() if wanted is None or t.id in wanted]
    for task in copied:
        own = [e for owner, e in embeddings if owner == task.id]
        _save_task(target, task, sets[task.image_set], own, probes, strips.get(task.id))
    return copied


def _save_task(
    bank: Bank,
    task: TaskRecord,
    digests: NDArray[np.uint64],
    own: list[Embedding],
    probes: dict[str, ProbeInfo],
    strip: bytes | None,
) -> None:
    """Write a task with its embeddings, if any, those by random networks, which are no probe, among them."""
    if not own:
        bank.save_task(task, digests, [], None, strip)
    for hash_ in {e.weights_hash for e in own}:
        bank.save_task(task, digests, [e for e in own if e.weights_hash == hash_], probes.get(hash_), strip)


def _check_size(file: Path) -> None:
    size, most = file.stat().st_size, LIMITS.max_archive_bytes
    if size > most:
        raise InputError(
            f"'{file.name}' has {size / GIB:.2f} GiB, and a bank in one file may have {most / GIB:.0f}; copy the "
            "bank's folder instead"
        )


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return read_member(archive, name, LIMITS.max_total_bytes)
    except InputError as error:
        raise ValueError(f"{name} {error}") from error


def _check_owners(what: str, owners: Iterable[str], held: set[str], kind: str) -> None:
    for owner in owners:
        if owner not in held:
            raise InputError(f"there is {what} of {owner!r}, which is none of the {kind}; export the bank again")


def _checked_digests(task_id: str, digests: NDArray) -> NDArray[np.uint64]:
    if digests.dtype != np.uint64 or digests.ndim != 1:
        raise InputError(f"the image digests of task {task_id!r} are no list of 64-bit numbers; export the bank again")
    return digests


def _checked_embeddings(
    rows: list[dict[str, Any]], arrays: Mapping[str, NDArray], probes: Mapping[str, ProbeInfo]
) -> list[tuple[str, Embedding]]:
    """Embeddings with the ids of their tasks."""
    blobs = [{c: arrays[f"{c}/{n}"].tobytes() for c in BINARY} for n in range(len(rows))]
    with_ratios = [b for b in blobs if b["chunk_ratios"]]
    check_chunks(sum(chunk_bytes(b) for b in with_ratios), sum(len(b["chunk_ratios"]) for b in with_ratios))
    found = [(row["task_id"], embedding_from_row(row | blob)) for row, blob in zip(rows, blobs, strict=True)]
    for task_id, embedding in found:
        fault = _fault(embedding, probes.get(embedding.weights_hash))
        if fault:
            raise InputError(
                f"the embedding of task {task_id!r} by {embedding.method!r} {fault}; export the bank again"
            )
    return found


def _fault(e: Embedding, info: ProbeInfo | None) -> str:
    """What is wrong with an embedding, as a predicate; ``""`` where nothing is."""
    if info is not None and e.method in {DOMAIN, *FISHER}:
        wanted = info.feature_dim if e.method == DOMAIN else info.dimension
        if len(e.vector) != wanted:
            return f"has {len(e.vector)} numbers where its probe has {wanted}"
    if not all(np.isfinite(values).all() for values in (e.vector, e.chunk_means, e.chunk_weights)):
        return "holds numbers that are not finite"
    if e.method in FISHER and e.vector.min(initial=0) < 0:
        return "holds negative Fisher information"
    if not len(e.chunk_weights) == len(e.chunk_means) >= 1 or e.chunk_weights.min() <= 0:
        return "does not fit its chunks"
    if type(e.samples) is not int or e.samples < 1:
        return f"says that it was made of {e.samples!r} images"
    return ""


def _checked_probe(info: ProbeInfo) -> ProbeInfo:
    priors = np.array(info.prior_precision, dtype=float)
    if len(priors) != len(info.layers) or not (np.isfinite(priors) & (priors > 0)).all():
        raise InputError(f"the probe {info.id!r} has no positive prior for each of its layers; export the bank again")
    return info


def _checked_strips(owners: list[str], arrays: Mapping[str, NDArray], tasks: set[str]) -> dict[str, bytes]:
    found = {}
    for number, owner in enumerate(owners):
        if owner not in tasks:
            raise InputError(f"there are pictures of {owner!r}, which is none of the tasks; export the bank again")
        try:
            found[owner] = checked_strip(arrays[f"thumbnail/{number}"].tobytes())
        except InputError as error:
            raise InputError(f"the picture of task {owner!r} {error}; export the bank again") from error
    return found


def _checked_weights(archive: zipfile.ZipFile, expert: ExpertRecord) -> bytes:
    name = expert.weights_file
    if name != weights_name(expert.weights_sha256):
        raise InputError(
            f"expert {expert.id!r} names weights file {name!r}, not one named by its content; export the bank again"
        )
    data = _member(archive, f"{WEIGHTS}/{name}")
    if hashlib.sha256(data).hexdigest() != expert.weights_sha256:
        raise InputError(f"the weights of expert {expert.id!r} do not match their checksum; export the bank again")
    try:
        load_safetensors(data)
    except SafetensorError as error:
        raise InputError(f"the weights of expert {expert.id!r} are not a safetensors file ({error})") from error
    return data


def error_table(bank: Bank) -> pd.DataFrame:
    """The error matrix with names for people, tasks by experts, for export as CSV."""
    return bank.errors().rename(index=called(bank.tasks()), columns=called(bank.experts()))
