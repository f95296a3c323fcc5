"""The compiled loops are ready before any test's time is taken, and banks of plain vectors."""

from __future__ import annotations

import numpy as np
import pytest

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import TaskRecord
from t2v_core.embedding.record import DOMAIN, TASK2VEC, Embedding
from t2v_core.probe.record import ProbeInfo
from t2v_core.space import leaf_order
from t2v_core.space.kernel import compiled
from t2v_core.task.record import InputSpec

INFO = ProbeInfo("p", "p", "w", (("early", 3), ("late", 5)), (1.0, 2.0), InputSpec(8, 8, (0, 0, 0), (1, 1, 1)), 2, "")


@pytest.fixture(scope="session", autouse=True)
def _compiled():
    compiled("f")
    compiled("d")
    leaf_order._compiled()


def record(task_id: str, name: str = "", classes=("x", "y"), taxonomy=(), kind: str = "other") -> TaskRecord:
    return TaskRecord(task_id, name or task_id, kind, "here", classes, (5, 5), taxonomy, 2, f"c{task_id}", "")


def embedding(vector, noise: float = 0.1, seed: int = 0, method: str = TASK2VEC, samples: int = 100) -> Embedding:
    """An embedding whose ten chunks scatter around a vector."""
    vector = np.asarray(vector, dtype=np.float32)
    rng = np.random.default_rng(seed)
    means = np.abs(vector * (1 + noise * rng.normal(size=(10, len(vector))))).astype(np.float32)
    return Embedding(means.mean(0), method, "p", "w", {"seed": 0}, samples, means, np.full(10, 0.1))


def put(bank: Bank, task_id: str, seed: int, samples: int = 100, kind: str = "other") -> None:
    """Save a task with vectors drawn from a seed."""
    rng = np.random.default_rng(seed)
    vectors = {method: np.exp(rng.normal(size=INFO.dimension)) for method in (TASK2VEC, DOMAIN)}
    embeddings = [embedding(v, seed=seed, method=method, samples=samples) for method, v in vectors.items()]
    bank.save_task(record(task_id, kind=kind), np.array([seed], dtype=np.uint64), embeddings, INFO)


@pytest.fixture
def plain_bank(tmp_path) -> Bank:
    """Six tasks t0..t5 of random vectors."""
    bank = Bank(tmp_path / "bank")
    for seed in range(6):
        put(bank, f"t{seed}", seed)
    return bank
