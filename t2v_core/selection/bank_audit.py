"""The selectors of a bank judged on its own meta-task; what takes long to learn is kept in the bank by content."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank, content_key
from t2v_core.embedding.record import TASK2VEC
from t2v_core.probe.record import BETA
from t2v_core.selection.audit import Audit, audit_by_kind
from t2v_core.selection.measured import measured_selectors
from t2v_core.selection.meta_task import MetaTask
from t2v_core.selection.model2vec import Model2Vec, training_rows
from t2v_core.selection.nearest import METRICS, Nearest
from t2v_core.selection.selectors import Given, Selector, TwoStage


def audit_bank(bank: Bank, meta: MetaTask, *, learned: bool = False, seed: int = 0) -> dict[str, Audit]:
    """Judge every selector on every kind of target (see ``audit_by_kind``): those of the bank's embeddings, and those
    whose scores were measured on it.

    Args:
        bank: the bank.
        meta: its meta-task, from ``from_bank``.
        learned: judge MODEL2VEC and the two-stage choice too; the first takes seconds to minutes to learn.
        seed: of the bootstrap.
    """
    targets = meta.targets()
    selectors: list[Selector] = [*(Nearest(metric) for metric in METRICS), *measured_selectors(bank)]
    if learned:
        selectors += [kept(bank, Model2Vec(), targets), TwoStage(Nearest())]
    return audit_by_kind(targets, selectors, seed=seed)


def kept(bank: Bank, selector: Selector, meta: MetaTask) -> Given:
    """A selector's scores for a meta-task, computed once and then read from the bank.

    Args:
        bank: where they are kept.
        selector: a frozen dataclass, whose ``repr`` gives all its settings.
        meta: the meta-task.
    """
    found = found_kept(bank, selector, meta)
    if found is not None:
        return found
    scores = selector.scores(meta)
    bank.keep_derived(_key(selector, meta), scores)
    return Given(selector.name, selector.title, scores, selector.heads(meta))


def found_kept(bank: Bank, selector: Selector, meta: MetaTask) -> Given | None:
    """A selector's scores as ``kept`` has left them in the bank; None where it has not, or the bank has changed."""
    scores = bank.derived(_key(selector, meta))
    return None if scores is None else Given(selector.name, selector.title, scores, selector.heads(meta))


def _key(selector: Selector, meta: MetaTask) -> str:
    return content_key("scores", repr(selector), _content(meta))


def learned_shifts(bank: Bank, selector: Model2Vec, meta: MetaTask) -> dict[str, NDArray[np.float64]]:
    """What MODEL2VEC, placed by the errors on all targets, multiplies each expert's task by: ``[D]`` by expert.

    An expert's place m_j = F_j exp(b_j) serves tasks that had no part in learning it. Experts of an
    unknown task have no F_j to be moved and are left out.

    Args:
        bank: where the places are kept.
        selector: with its settings.
        meta: the bank's meta-task.
    """
    if meta.vectors is None:
        return {}
    key = content_key("places", repr(selector), _content(meta))
    models = bank.derived(key)
    if models is None:
        models = selector.fit(meta, training_rows(meta)).models
        bank.keep_derived(key, models)
    own = meta.vectors.sources[TASK2VEC].astype(np.float64)
    shifts = np.where(own > 0, models / np.where(own > 0, own, 1), 1)
    return {e: shift for e, shift, f in zip(meta.experts, shifts, own, strict=True) if np.isfinite(f).all()}


def _content(meta: MetaTask) -> str:
    content = hashlib.sha256(f"{BETA}".encode())
    arrays = [meta.errors, meta.allowed]
    if meta.vectors is not None:
        v = meta.vectors
        arrays += [v.samples, v.info.filter_prior, *v.targets.values(), *v.sources.values()]
    for array in arrays:
        content.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
