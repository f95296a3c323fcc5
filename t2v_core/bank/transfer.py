"""Moving banks: one zip of JSON, npz and safetensors, read back as untrusted input."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import method_rows, save_method_rows
from t2v_core.bank.records import ErrorEntry, ExpertRecord, TaskRecord, TrialEntry, task_from_row
from t2v_core.bank.rows import embedding_from_row, embedding_row, expert_from_row, probe_from_json
from t2v_core.bank.thumbnails import thumbnails
from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError
from t2v_core.probe.record import ProbeInfo
from t2v_core.task.archives import check_archive
from t2v_core.task.thumbnails import checked_strip

MANIFEST, ARRAYS, WEIGHTS = "bank.json", "arrays.npz", "weights"
FORMAT = 2
"""1: experts without a transform of their own, and no trials. What came later are parts that may be missing."""
BINARY = ("vector", "chunk_ratios", "chunk_weights")


def export_bank(bank: Bank, file: Path) -> None:
    """Write everything but jobs to ``file``."""
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


def import_bank(bank: Bank, file: Path) -> dict[str, int]:
    """Add the tasks, experts and errors of an exported bank; what has the same id is replaced.

    Everything is read and checked before anything is written.

    Returns:
        How many tasks, experts and errors were taken.

    Raises:
        InputError: the file is no exported bank, is damaged, or was made by a newer version.
    """
    check_archive(file)
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = json.loads(archive.read(MANIFEST))
            if manifest["format"] > FORMAT:
                raise InputError(f"'{file.name}' was exported by a newer version; update the program")
            with np.load(io.BytesIO(archive.read(ARRAYS)), allow_pickle=False) as loaded:
                arrays = {name: loaded[name] for name in loaded.files}
            probes = {info["weights_hash"]: probe_from_json(info) for info in manifest["probes"]}
            tasks = [task_from_row(row) for row in manifest["tasks"]]
            experts = [expert_from_row(row) for row in manifest["experts"]]
            errors = [ErrorEntry(**row) for row in manifest["errors"]]
            trials = [TrialEntry(**row) for row in manifest.get("trials", [])]
            embeddings = [
                embedding_from_row(row | {c: arrays[f"{c}/{n}"].tobytes() for c in BINARY})
                for n, row in enumerate(manifest["embeddings"])
            ]
            methods = [
                row | {"arrays": arrays[f"method/{row['name']}"].tobytes()} for row in manifest.get("methods", [])
            ]
            owners = [row["task_id"] for row in manifest["embeddings"]]
            weights = {e.weights_file: _checked_weights(archive, e) for e in experts}
            strips = _checked_strips(manifest.get("thumbnails", []), arrays, {t.id for t in tasks})
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"'{file.name}' is no exported bank or is damaged ({type(error).__name__}: {error})"
        ) from error
    bank.weights.mkdir(parents=True, exist_ok=True)
    for name, data in weights.items():
        (bank.weights / name).write_bytes(data)
    for task in tasks:
        own = [e for e, owner in zip(embeddings, owners, strict=True) if owner == task.id]
        _save_task(bank, task, arrays[f"set/{task.image_set}"], own, probes, strips.get(task.id))
    for expert in experts:
        bank.save_expert(expert)
    bank.save_errors(errors)
    for trial in trials:
        bank.save_trial(trial)
    save_method_rows(bank, methods)
    return {"tasks": len(tasks), "experts": len(experts), "errors": len(errors)}


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
    """Write a task with its embeddings, those by random networks, which are no probe, among them."""
    for hash_ in {e.weights_hash for e in own}:
        bank.save_task(task, digests, [e for e in own if e.weights_hash == hash_], probes.get(hash_), strip)


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
    if PurePosixPath(name).name != name or "\\" in name or not name.endswith(".safetensors"):
        raise InputError(f"expert {expert.id!r} names weights file {name!r}, which is not a plain .safetensors name")
    data = archive.read(f"{WEIGHTS}/{name}")
    if hashlib.sha256(data).hexdigest() != expert.weights_sha256:
        raise InputError(f"the weights of expert {expert.id!r} do not match their checksum; export the bank again")
    try:
        load_safetensors(data)
    except SafetensorError as error:
        raise InputError(f"the weights of expert {expert.id!r} are not a safetensors file ({error})") from error
    return data


def error_table(bank: Bank) -> pd.DataFrame:
    """The error matrix with names for people, tasks by experts, for export as CSV."""
    tasks = {t.id: t.name for t in bank.tasks()}
    experts = {e.id: e.name for e in bank.experts()}
    return bank.errors().rename(index=tasks, columns=experts)
