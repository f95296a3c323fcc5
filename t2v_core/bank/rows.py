"""Embeddings, probes and experts as rows of their tables, and back."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from t2v_core.bank.records import ExpertRecord
from t2v_core.embedding.record import Embedding
from t2v_core.probe.record import ProbeInfo
from t2v_core.task.record import InputSpec


def embedding_row(task_id: str, e: Embedding) -> dict[str, Any]:
    """An embedding as a row of its table."""
    with np.errstate(over="ignore"):
        vector, ratios = e.vector.astype("<f2"), np.empty(0)  # no ratios: a single chunk that float16 holds exactly
    if len(e.chunk_weights) > 1 or not np.array_equal(vector, e.vector):
        # Chunk means are kept as float16 ratios to the vector: three digits suffice for a spread.
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.where(e.vector != 0, e.chunk_means / e.vector, 0)
        vector, ratios = e.vector.astype("<f4"), np.clip(ratios, -6e4, 6e4).astype("<f2")
    return {
        "task_id": task_id,
        "space": e.space,
        "method": e.method,
        "probe_id": e.probe_id,
        "weights_hash": e.weights_hash,
        "settings": e.settings,
        "samples": e.samples,
        "vector": vector.tobytes(),
        "chunk_ratios": _packed(ratios.tobytes()),
        "chunk_weights": e.chunk_weights.astype("<f8").tobytes(),
        "seconds": e.seconds,
        "device": e.device,
        "facts": e.facts,
    }


def embedding_from_row(row: dict[str, Any]) -> Embedding:
    """The embedding behind a row of its table.

    A row read without its ``chunk_ratios`` says by ``has_ratios`` whether there are any; it gives no chunks.
    """
    weights = np.frombuffer(row["chunk_weights"], "<f8")
    stored = row.get("chunk_ratios")
    if len(weights) and not row.get("has_ratios", stored):
        vector = np.frombuffer(row["vector"], "<f2").astype(np.float32)
        chunk_means = vector[None]
    else:
        vector = np.frombuffer(row["vector"], "<f4")
        weights = weights if stored else weights[:0]
        ratios = np.frombuffer(_unpacked(stored or b"", 2 * len(weights) * len(vector)), "<f2")
        chunk_means = ratios.reshape(len(weights), len(vector)).astype(np.float32) * vector
    return Embedding(
        vector=vector,
        method=row["method"],
        probe_id=row["probe_id"],
        weights_hash=row["weights_hash"],
        settings=row["settings"],
        samples=row["samples"],
        chunk_means=chunk_means,
        chunk_weights=weights,
        seconds=row["seconds"],
        device=row["device"],
        facts=row["facts"],
    )


def chunk_bytes(row: dict[str, Any]) -> int:
    """How much the ``chunk_ratios`` of a row take when unpacked: 2 bytes for each of ``[C, D]``."""
    return 2 * (len(row["chunk_weights"]) // 8) * (len(row["vector"]) // 4)


def _packed(data: bytes) -> bytes:
    """Compressed where that is shorter, and not where it is as long, by which the two are told apart."""
    return min(data, zlib.compress(data), key=len)


def _unpacked(data: bytes, size: int) -> bytes:
    """What ``_packed`` was given, ``size`` bytes; as it is where it has that size.

    Raises:
        ValueError: it is something else, as in a file from elsewhere.
    """
    if len(data) == size:
        return data
    try:
        found = zlib.decompressobj().decompress(data, size + 1)  # no more than shows that it is too much
    except zlib.error as error:
        raise ValueError(f"{len(data)} bytes of chunks are no compressed chunks") from error
    if len(found) != size:
        raise ValueError(f"chunks take {size} bytes, got {len(found)}")
    return found


def probe_from_json(info: dict[str, Any]) -> ProbeInfo:
    """A probe's record as it stands in the bank."""
    spec = spec_from_json(info["spec"])
    layers = tuple((name, count) for name, count in info["layers"])
    return ProbeInfo(**{**info, "spec": spec, "layers": layers, "prior_precision": tuple(info["prior_precision"])})


def spec_from_json(spec: dict[str, Any]) -> InputSpec:
    """A network's transform as it stands in the bank, where tuples have become lists."""
    return InputSpec(**(spec | {"mean": tuple(spec["mean"]), "std": tuple(spec["std"])}))


def expert_from_row(row: dict[str, Any]) -> ExpertRecord:
    """An expert's record from JSON or a table row; those written before the bank kept transforms have none."""
    spec = row.get("spec")
    return ExpertRecord(**(row | {"spec": None if spec is None else spec_from_json(spec)}))
