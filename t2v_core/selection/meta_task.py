"""A meta-task: tasks, experts, who may serve whom, and the errors by which selectors are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import UPLOAD, ExpertRecord, TaskRecord, called
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.probe.record import ProbeInfo
from t2v_core.selection.regret import BoolArray, FloatArray, best_error

GENERIC = "generic"
"""Id of the expert that was not fine-tuned: what every pick is compared with, never a candidate."""

KINDS = {
    "twin": "Twin: an expert trained on the same classes, other images",
    "mixed": "Mixed: classes of two or three superclasses, no expert trained on them",
    "attribute": "Attribute: same images, other labels; an expert trained on the attribute",
    "attribute without expert": "Attribute without an expert of its own",
    UPLOAD: "Upload: what people brought",
}
"""The kinds of target of a bank, reported apart: what tells selectors apart differs between them."""


@dataclass(frozen=True)
class Vectors:
    """Embeddings of both sides of a meta-task by one probe; a row of NaN is a missing embedding.

    Attributes:
        targets: ``[T, D]`` of the tasks, by embedding method.
        sources: ``[E, D]`` of the experts' own tasks, by embedding method.
        samples: ``[E]`` images behind each source.
        info: the probe.
    """

    targets: dict[str, NDArray]
    sources: dict[str, NDArray]
    samples: NDArray[np.int64]
    info: ProbeInfo


@dataclass(frozen=True)
class MetaTask:
    """Everything a selector is judged by.

    Attributes:
        name: what a person calls it.
        tasks: T ids of targets.
        task_names: what a person calls them.
        experts: E ids of experts, without the generic one.
        expert_names: what a person calls them.
        errors: ``[T, E]`` error in %, NaN where not measured.
        allowed: ``[T, E]`` true where the expert may be picked.
        kinds: ``[T]`` the group each target is reported under.
        paths: ``[T]`` place in a taxonomy from coarse to fine, or empty.
        generic: ``[T]`` error in % of the expert that was not fine-tuned; None where there is none.
        vectors: the embeddings behind selectors that measure distances; None where only errors are known.
        learned: ``[E]`` classes that each expert learned to tell apart, 0 where unknown; None where none is known.
    """

    name: str
    tasks: tuple[str, ...]
    task_names: tuple[str, ...]
    experts: tuple[str, ...]
    expert_names: tuple[str, ...]
    errors: FloatArray
    allowed: BoolArray
    kinds: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...] = ()
    generic: FloatArray | None = None
    vectors: Vectors | None = None
    learned: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.tasks), len(self.experts))
        if self.errors.shape != shape or self.allowed.shape != shape or len(self.kinds) != shape[0]:
            raise ValueError(f"errors {self.errors.shape} and candidates {self.allowed.shape} must be {shape}")

    @property
    def candidate_errors(self) -> FloatArray:
        """``[T, E]`` errors with NaN where an expert is no candidate."""
        return np.where(self.allowed, self.errors, np.nan)

    @property
    def best(self) -> FloatArray:
        """``[T]`` error of the best candidate; NaN where there is none."""
        return best_error(self.candidate_errors)

    def take(self, rows: NDArray) -> MetaTask:
        """The meta-task of some of the targets.

        Args:
            rows: indices or a mask.
        """
        rows = np.arange(len(self.tasks))[rows]
        vectors = self.vectors
        if vectors is not None:
            vectors = replace(vectors, targets={method: v[rows] for method, v in vectors.targets.items()})
        return replace(
            self,
            tasks=tuple(self.tasks[i] for i in rows),
            task_names=tuple(self.task_names[i] for i in rows),
            errors=self.errors[rows],
            allowed=self.allowed[rows],
            kinds=tuple(self.kinds[i] for i in rows),
            paths=tuple(self.paths[i] for i in rows) if self.paths else (),
            generic=None if self.generic is None else self.generic[rows],
            vectors=vectors,
        )

    def of_kinds(self, kinds: Sequence[str]) -> MetaTask:
        """The meta-task of the targets of these kinds."""
        return self.take(np.isin(self.kinds, list(kinds)))

    def targets(self) -> MetaTask:
        """Of a bank's tasks those that rules are judged by: of ``KINDS``, uploads where a candidate was measured."""
        kinds = np.array(self.kinds)
        return self.take(np.isin(kinds, list(KINDS)) & ((kinds != UPLOAD) | np.isfinite(self.best)))


def from_bank(bank: Bank, info: ProbeInfo | None = None) -> MetaTask:
    """The bank's meta-task as one probe sees it; its ``targets`` are what rules are judged by.

    Args:
        bank: the bank.
        info: the probe; by default the first the bank knows.
    """
    tasks, everyone = bank.tasks(), bank.experts()
    experts = [e for e in everyone if e.id != GENERIC]
    info = info or next(iter(bank.probes().values()), None)
    classes = {t.id: len(t.classes) for t in tasks}
    errors = bank.errors().reindex(index=[t.id for t in tasks], columns=[e.id for e in everyone])
    return MetaTask(
        name="this bank",
        tasks=tuple(t.id for t in tasks),
        task_names=tuple(called(tasks).values()),
        experts=tuple(e.id for e in experts),
        expert_names=tuple(called(experts).values()),
        errors=errors[[e.id for e in experts]].to_numpy(float),
        allowed=candidates(bank, tasks, experts),
        kinds=tuple(_kinds(tasks, experts)),
        paths=tuple(t.taxonomy for t in tasks),
        generic=errors[GENERIC].to_numpy(float) if GENERIC in errors else None,
        vectors=_vectors(bank, info, tasks, experts) if info is not None and tasks and experts else None,
        learned=np.array([classes.get(e.task_id or "", 0) for e in experts], dtype=np.int64),
    )


def candidates(bank: Bank, tasks: Sequence[TaskRecord], experts: Sequence[ExpertRecord]) -> BoolArray:
    """``[T, E]`` who may be picked for whom: experts known to have seen no training image of the task."""
    sets = {key: frozenset(digests.tolist()) for key, digests in bank.image_sets().items()}
    own = {t.id: t.image_set for t in tasks}

    @cache
    def apart(images: str, seen: str) -> bool:
        """Whether two image sets are known to share no image."""
        return seen in sets and sets[images].isdisjoint(sets[seen])

    allowed = np.zeros((len(tasks), len(experts)), dtype=bool)
    for e, expert in enumerate(experts):
        if expert.task_id is not None:
            seen = (own[expert.task_id], *expert.seen_before)
            allowed[:, e] = [all(apart(task.image_set, images) for images in seen) for task in tasks]
    return allowed


def _vectors(bank: Bank, info: ProbeInfo, tasks: Sequence[TaskRecord], experts: Sequence[ExpertRecord]) -> Vectors:
    targets, sources = {}, {}
    samples = np.ones(len(experts), dtype=np.int64)
    for method in (DOMAIN, TASK2VEC):
        found = bank.embeddings(method, info.weights_hash, chunks=False)
        missing = np.full(len(next(iter(found.values())).vector) if found else 1, np.nan, dtype=np.float32)
        own = [found.get(e.task_id or "") for e in experts]
        targets[method] = np.stack([found[t.id].vector if t.id in found else missing for t in tasks])
        sources[method] = np.stack([missing if e is None else e.vector for e in own])
        if method == TASK2VEC:
            samples = np.array([1 if e is None else e.samples for e in own])
    return Vectors(targets, sources, samples, info)


def _kinds(tasks: Sequence[TaskRecord], experts: Sequence[ExpertRecord]) -> list[str]:
    served = {e.task_id for e in experts}
    return [
        "attribute without expert" if t.kind == "attribute" and f"a{t.id[1:]}" not in served else t.kind for t in tasks
    ]
