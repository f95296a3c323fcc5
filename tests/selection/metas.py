"""Small meta-tasks for the tests of selection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import MethodRecord, keep_method
from t2v_core.bank.records import ErrorEntry, ExpertRecord, TaskRecord
from t2v_core.embedding.record import DOMAIN, TASK2VEC, Embedding
from t2v_core.probe.record import ProbeInfo
from t2v_core.selection.meta_task import MetaTask, Vectors
from t2v_core.space.distances import symmetric
from t2v_core.space.values import value_histogram
from t2v_core.task.record import InputSpec


def probe_info(dimension: int) -> ProbeInfo:
    """A probe of one layer."""
    return ProbeInfo("p", "p", "w", (("a", dimension),), (2.0,), InputSpec(8, 8, (0, 0, 0), (1, 1, 1)), 3, "")


def make_meta(errors, **changes) -> MetaTask:
    """Tasks ``t0..`` and experts ``e0..``, everyone a candidate."""
    errors = np.asarray(errors, dtype=float)
    tasks, experts = (tuple(f"{letter}{i}" for i in range(n)) for letter, n in zip("te", errors.shape, strict=True))
    fields = {
        "name": "these tables",
        "tasks": tasks,
        "task_names": tasks,
        "experts": experts,
        "expert_names": experts,
        "errors": errors,
        "allowed": np.ones(errors.shape, dtype=bool),
        "kinds": ("twin",) * len(tasks),
    }
    return MetaTask(**(fields | changes))


def embedded_meta(tasks: int = 12, experts: int = 6, dimension: int = 16, seed: int = 0) -> MetaTask:
    """Tasks and experts with random embeddings; errors that follow the distances, with a bias of each expert."""
    rng = np.random.default_rng(seed)
    # Fisher diagonals are tiny and differ between filters by orders of magnitude.
    unit = 10.0 ** rng.uniform(-6, -1, dimension)
    targets, sources = (rng.lognormal(0, 0.6, (n, dimension)) * unit for n in (tasks, experts))
    errors = 10 + 200 * symmetric(targets, sources) + rng.uniform(0, 25, experts)
    vectors = Vectors(
        targets={TASK2VEC: targets, DOMAIN: rng.normal(size=(tasks, 3))},
        sources={TASK2VEC: sources, DOMAIN: rng.normal(size=(experts, 3))},
        samples=np.full(experts, 100),
        info=probe_info(dimension),
    )
    return make_meta(np.clip(errors, 1, 99), vectors=vectors)


ROLES = {"a-cats": "large", "a-dogs": "large", "a-is-furry": "attribute-source", "b-cats": "twin", "b-dogs": "twin"}
ROLES |= {"b-is-furry": "attribute", "b-is-round": "attribute", "b-mixed": "mixed", "b-mixed-2": "mixed"}


def make_bank(place: Path, *, zero_error: bool = False) -> Bank:
    """Nine tasks over the images of *A* and of *B*, an expert for each task on A, and the generic one."""
    bank, rng = Bank(place), np.random.default_rng(0)
    info = probe_info(8)
    for task, kind in ROLES.items():
        images = [f"{task[0]}{n:063x}" for n in range(4)]
        vector = np.random.default_rng(len(task)).lognormal(size=8).astype(np.float32)
        embeddings = [
            Embedding(v, method, "p", "w", {}, 50, np.stack([v, v]), np.array([0.5, 0.5]))
            for method, v in ((TASK2VEC, vector), (DOMAIN, vector[:3]))
        ]
        record = TaskRecord(task, f"the {task}", kind, "made", ("x", "y"), (5, 5), ("made", kind), 2, task, "")
        bank.save_task(record, images, embeddings, info)
    experts = {f"expert-{t}": t for t in ROLES if t.startswith("a-")} | {"generic": None}
    cells = []
    for expert, task in experts.items():
        bank.save_expert(ExpertRecord(expert, f"{expert}!", "resnet20", expert, "", task))
        cells += [ErrorEntry(t, expert, float(rng.uniform(5, 60)), 100, "made") for t in ROLES]
    if zero_error:
        cells = [
            ErrorEntry("b-mixed", "expert-a-cats", 0.0, 1, "")
            if c.task_id == "b-mixed" and c.expert_id == "expert-a-cats"
            else c
            for c in cells
        ]
    bank.save_errors(cells)
    return bank


def keep_records(bank: Bank) -> None:
    """Methods as if measured on the bank of ``make_bank``: scores, distances, costs and facts made up."""
    rng = np.random.default_rng(1)
    targets, experts = [t for t in ROLES if t.startswith("b-")], [f"expert-{t}" for t in ROLES if t.startswith("a-")]
    square = pd.DataFrame(np.ones((len(ROLES), len(ROLES))) - np.eye(len(ROLES)), index=ROLES, columns=ROLES)

    def record(name: str, labels: bool, seconds: float, **facts: object) -> MethodRecord:
        scores = pd.DataFrame(rng.random((len(targets), len(experts))), index=targets, columns=experts)
        return MethodRecord(name, f"{name}, made up", labels, False, {}, seconds, 2.0, scores, square, facts)

    shares = value_histogram(rng.lognormal(size=(3, 50)))
    norms = {e: float(n) for n, e in enumerate(experts, 1)}
    keep_method(bank, record("pseudotask", False, 0.25, norms=norms, softness=0.4, histogram=shares))
    keep_method(bank, record("tangent", True, 0.5))
    keep_method(bank, record("task2vec-random", True, 0.125, histogram=shares))
    keep_method(bank, MethodRecord("oracle", "tries all", True, True, {}, 3.0, 0.0))
    keep_method(bank, MethodRecord("task2vec", "the probe's", True, False, {}, 0.0, 0.0, target=0.375))
    picks = {"1": ["expert-a-dogs", "expert-a-cats"], "2": ["expert-a-cats", None]}
    facts = {"budget": 2, "targets": ["b-cats", "b-dogs"], "experts": experts[:2], "picks": picks}
    keep_method(bank, MethodRecord("networks-or-batches", "few or many", True, False, {}, 1.0, 0.0, facts=facts))
