"""The experts that a way of ranking can be applied to for one task, and what its distances usually are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import kept_methods, name_by
from t2v_core.embedding.record import PSEUDOTASK, Embedding
from t2v_core.embedding.tangent_kernel import TANGENT
from t2v_core.errors import InputError
from t2v_core.probe.record import BUNDLED
from t2v_core.selection.bank_audit import kept
from t2v_core.selection.measured import NormCredit
from t2v_core.selection.meta_task import MetaTask
from t2v_core.selection.model2vec import Model2Vec
from t2v_core.selection.nearest import METRICS, Nearest
from t2v_core.selection.ranking import between
from t2v_core.selection.ways import Way
from t2v_core.space.distances import ALPHA


def check_kept(bank: Bank, way: Way, target: Embedding | None = None) -> dict[str, Embedding]:
    """The embeddings by task id that a way compares, once it is clear that experts can be ranked by them.

    Args:
        bank: the bank with the experts.
        way: how experts are to be ranked.
        target: what is to be compared with them, by the same weights; None asks of any.

    Raises:
        InputError: no expert's own task has one.
    """
    found = bank.embeddings(way.method, None if target is None else target.weights_hash)
    if any(e.task_id in found for e in bank.experts()):
        return found
    if way.method in (PSEUDOTASK, TANGENT) and not (target and bank.embeddings(way.method)):
        raise InputError(
            f"the bank at {bank.location} keeps nothing of its experts' tasks that {way.name!r} could compare; add it "
            "with `python -m t2v_core bank methods`, or choose another selector"
        )
    if target is not None and any(probe.id == target.probe_id for probe in bank.probes().values()):
        raise InputError(
            f"the bank at {bank.location} was built with other weights of the probe {target.probe_id!r}, as another "
            "version of this program ships them; build it anew, or move its folder away and get a new demo bank"
        )
    raise InputError(
        f"no expert in the bank at {bank.location} can be ranked by this probe; choose the probe the bank was built "
        "with (`bank info` names it) or build the bank with this one"
    )


def unseen(bank: Bank, found: dict[str, Embedding], digests: list[str]) -> dict[str, Embedding]:
    """Embedding of each expert's own task by expert id, of experts that saw none of some images.

    Args:
        bank: the bank with the experts.
        found: embeddings by task id.
        digests: SHA-256 of the images.

    Raises:
        InputError: every expert saw some of them.
    """
    seen = have_seen(bank, digests)
    left = {
        expert.id: found[expert.task_id]
        for expert in bank.experts()
        if expert.task_id in found and expert.id not in seen
    }
    if not left:
        raise InputError(
            "every expert in the bank was trained on some of these very images, so none can be judged for them; give "
            "other images, or a bank with other experts"
        )
    return left


def have_seen(bank: Bank, digests: list[str]) -> set[str]:
    """Ids of the experts that may have learned from some of these images, given by their SHA-256.

    Experts of an unknown task are not among them.
    """
    sets, own_set = bank.image_sets(), {t.id: t.image_set for t in bank.tasks()}
    images = np.array([int(d[:16], 16) for d in digests], dtype=np.uint64)
    touched = {name for name, held in sets.items() if np.isin(images, held).any()}
    return {
        expert.id
        for expert in bank.experts()
        if expert.task_id is not None
        and any(name in touched or name not in sets for name in (own_set[expert.task_id], *expert.seen_before))
    }


def moved(sources: dict[str, Embedding], shifts: dict[str, NDArray[np.float64]]) -> dict[str, Embedding]:
    """The experts where MODEL2VEC has placed them: m_j = F_j exp(b_j), chunk by chunk.

    Args:
        sources: embedding of each expert's own task, by expert id.
        shifts: what each is multiplied by, ``[D]``, from ``bank_audit.learned_shifts``.
    """
    return {
        name: replace(
            source,
            vector=(source.vector * shifts[name]).astype(np.float32),
            chunk_means=(source.chunk_means * shifts[name]).astype(np.float32),
        )
        for name, source in sources.items()
        if name in shifts
    }


def credit(bank: Bank, meta: MetaTask, way: Way, probe_id: str = BUNDLED) -> float:
    """The weight alpha of what a way gives large sources credit for.

    PseudoTask's is the one that did best on the bank's own targets, 0 where it was not measured on them by this probe.
    """
    if way.name != PSEUDOTASK:
        return ALPHA
    record = kept_methods(bank).get(name_by(PSEUDOTASK, probe_id))
    if record is None or record.costs_only or "norms" not in record.facts:
        return 0.0
    return NormCredit(record).alpha(meta.targets())


def usual_distances(
    bank: Bank, meta: MetaTask, way: Way, found: dict[str, Embedding], alpha: float = ALPHA
) -> NDArray[np.float64]:
    """What distances between the bank's own tasks and their candidates look like: ``[T, E]``, NaN where there is none.

    Args:
        bank: the bank.
        meta: its meta-task.
        way: how distances are measured.
        found: its embeddings by task id.
        alpha: from ``credit``.
    """
    targets = meta.targets()
    if way.name == Model2Vec().name:
        return np.where(targets.allowed, kept(bank, Model2Vec(), targets).scores(targets), np.nan)
    if way.name in METRICS:
        return np.where(targets.allowed, Nearest(way.name).scores(targets), np.nan)
    own = {e.id: e.task_id or "" for e in bank.experts()}
    rows = [t for t, task in enumerate(meta.tasks) if task in found]
    columns = [e for e, expert in enumerate(meta.experts) if own[expert] in found]
    usual = np.full(meta.errors.shape, np.nan)
    usual[np.ix_(rows, columns)] = between(
        [found[meta.tasks[t]] for t in rows],
        [found[own[meta.experts[e]]] for e in columns],
        None if meta.vectors is None else meta.vectors.info,
        way.name,
        alpha=alpha,
    )
    return np.where(meta.allowed, usual, np.nan)
