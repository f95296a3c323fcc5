"""A synthetic bank of any size: Fisher diagonals in a taxonomy of four levels, with experts and errors."""

from __future__ import annotations

import numpy as np

from benchmarks.distances import fisher, paths
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import ErrorEntry, ExpertRecord, TaskRecord
from t2v_core.embedding.record import DOMAIN, TASK2VEC, Embedding
from t2v_core.probe.record import ProbeInfo
from t2v_core.task.record import InputSpec

SIZES = [64] * 7 + [128] * 9 + [256] * 13 + [512] * 7
"""Filters of ResNet-34's 36 convolutions."""

LAYERS = tuple((f"conv{i}", size) for i, size in enumerate(SIZES))
INFO = ProbeInfo("p", "p", "w", LAYERS, (1.0,) * len(SIZES), InputSpec(224, 224, (0, 0, 0), (1, 1, 1)), 512, "")
CHUNKS, DOMAIN_SIZE, EXPERTS, TARGETS = 4, 512, 30, 200


def _embedding(vector: np.ndarray, method: str, rng: np.random.Generator) -> Embedding:
    """An embedding whose chunks scatter by a tenth around a vector."""
    scale = 1 + 0.1 * rng.standard_normal((CHUNKS, 1), dtype=np.float32)
    means = np.abs(vector * scale)
    facts = {"validation_accuracy": float(rng.uniform(0.3, 0.95)), "validation_size": 100}
    vector = means.mean(0)
    return Embedding(vector, method, "p", "w", {"seed": 0}, 500, means, np.full(CHUNKS, 1 / CHUNKS), facts=facts)


def build(bank: Bank, tasks: int, seed: int) -> None:
    """Fill a bank with synthetic tasks, experts and errors."""
    rng = np.random.default_rng(seed)
    domain = fisher(tasks, seed + 1)[:, :DOMAIN_SIZE]
    for i, (vector, path) in enumerate(zip(fisher(tasks, seed), paths(tasks), strict=True)):
        kind = "large" if i < EXPERTS else "mixed" if i < EXPERTS + TARGETS else "other"
        record = TaskRecord(
            f"t{i}", f"{path[-1]} task {i}", kind, "synthetic", ("a", "b"), (250, 250), path, 0, f"c{i}", ""
        )
        found = [_embedding(vector, TASK2VEC, rng), _embedding(domain[i], DOMAIN, rng)]
        bank.save_task(record, np.array([i], dtype=np.uint64), found, INFO)
    for e in range(EXPERTS):
        bank.save_expert(ExpertRecord(f"e{e}", f"expert {e}", "resnet20", f"e{e}", "", f"t{e}"))
    targets = range(EXPERTS, min(tasks, EXPERTS + TARGETS))
    bank.save_errors(
        ErrorEntry(f"t{t}", f"e{e}", float(rng.uniform(5, 60)), 100, "synthetic")
        for t in targets
        for e in range(EXPERTS)
    )
