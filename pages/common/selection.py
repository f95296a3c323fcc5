"""What the page "Expert selection" draws: meta-tasks with their audits, read once per change."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import UPLOAD, called
from t2v_core.selection.audit import ALL, OFFSET, Audit, audit, audit_by_kind, needs_offset
from t2v_core.selection.bank_audit import found_kept, kept
from t2v_core.selection.measured import measured_selectors
from t2v_core.selection.meta_task import KINDS, MetaTask, from_bank
from t2v_core.selection.model2vec import Model2Vec
from t2v_core.selection.nearest import METRICS, Nearest, TunedAlpha, tune_alpha
from t2v_core.selection.published import published
from t2v_core.selection.selectors import Selector, Static, TwoStage
from t2v_core.selection.tables import meta_task_from_csv, scores_from_csv

KIND_TITLES = {
    ALL: "All targets",
    "twin": "Same classes, new images",
    "mixed": "Mixed classes",
    "attribute": "Same images, new labels",
    "attribute without expert": "New labels, no expert for them",
    UPLOAD: "Your own tasks",
}

UNLEARNED = (
    "it has not learned from this bank's errors as they are now; they change with every expert, task or error that is "
    "added or removed."
)
"""Why MODEL2VEC is not among the rules."""

Upload = tuple[str, bytes]
"""Name and content of a file."""


@dataclass(frozen=True)
class Study:
    """A meta-task and its audits.

    Attributes:
        audits: by kind of target, ``ALL`` last; empty where nothing was measured.
        rules: names of the rules judged beside the references.
        notes: what a person has to know of their tables.
        trained_on: name of an expert's own task, by expert id.
        key: tells it from other studies.
        tuned: whether alpha can be tuned on it.
    """

    audits: dict[str, Audit]
    rules: tuple[str, ...]
    notes: tuple[str, ...] = ()
    trained_on: dict[str, str] | None = None
    key: tuple[object, ...] = ()
    tuned: bool = False


# ---- the bank's own ---------------------------------------------------------------------------------


def bank_study(bank: Bank) -> Study:
    """The bank's tasks that are targets, under every rule that is ready: MODEL2VEC once it is kept."""
    return _bank_study(bank, bank.location, bank.version(), model2vec_is_kept(bank))


@st.cache_resource(show_spinner="Judging the rules of choice …", max_entries=4)
def _bank_study(_bank: Bank, location: str, version: int, learned: bool) -> Study:
    meta = _targets(_bank, location, version)
    selectors: list[Selector] = [Nearest(metric) for metric in METRICS]
    if learned:
        selectors.append(kept(_bank, Model2Vec(), meta))
    selectors += [TwoStage(Nearest()), *measured_selectors(_bank)]
    names = called(_bank.tasks())
    trained_on = {e.id: names[e.task_id] for e in _bank.experts() if e.task_id in names}
    rules = tuple(s.name for s in selectors)
    return Study(_audited(meta, selectors), rules, (), trained_on, (location, version), meta.vectors is not None)


@st.cache_resource(show_spinner="Reading the errors …", max_entries=4)
def _targets(_bank: Bank, location: str, version: int) -> MetaTask:
    return from_bank(_bank).targets()


def _audited(meta: MetaTask, selectors: Sequence[Selector]) -> dict[str, Audit]:
    kinds = tuple(k for k in dict.fromkeys([*KINDS, *meta.kinds]) if k in meta.kinds)
    if len(kinds) > 1:
        return audit_by_kind(meta, selectors, kinds)
    if not np.isfinite(meta.best).any():
        return {}
    return {ALL: audit(meta, selectors, offset=OFFSET if needs_offset(meta).any() else 0.0)}


@st.cache_resource(show_spinner=False, max_entries=32)
def tuned_alpha(_found: Audit, *key: object) -> TunedAlpha:
    """Alpha tuned on the targets of an audit, which ``key`` identifies."""
    return tune_alpha(_found.meta, offset=_found.offset)


# ---- MODEL2VEC, learned beside the page ---------------------------------------------------------------


def model2vec_is_kept(bank: Bank) -> bool:
    """Whether MODEL2VEC has learned from the errors as they are now."""
    return found_kept(bank, Model2Vec(), _targets(bank, bank.location, bank.version())) is not None


@dataclass(frozen=True)
class Learning:
    """MODEL2VEC at work.

    Attributes:
        future: done when its scores are kept.
        started: seconds since the epoch.
    """

    future: Future
    started: float


def learn_model2vec(bank: Bank) -> Learning:
    """Start learning in a thread of its own, or give what another visitor has started."""
    return _learning(bank, bank.location, bank.version())


def forget_failure(learning: Learning) -> None:
    """Log why learning failed, and let it be tried again."""
    logging.getLogger(__name__).error("MODEL2VEC could not learn", exc_info=learning.future.exception())
    _learning.clear()


@st.cache_resource(show_spinner=False, max_entries=4)
def _learning(_bank: Bank, location: str, version: int) -> Learning:
    meta = _targets(_bank, location, version)
    pool = ThreadPoolExecutor(1, thread_name_prefix="model2vec")
    return Learning(pool.submit(kept, _bank, Model2Vec(), meta), time.time())


# ---- tables --------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner="Judging the rules of choice …", max_entries=8)
def table_study(errors: Upload | None, generic: str | None, scores: Upload | None, larger_is_better: bool) -> Study:
    """The published meta-task, or a person's own, under a person's scores where there are some.

    Args:
        errors: a CSV; None for the published errors.
        generic: label of the expert that was not fine-tuned.
        scores: a CSV by the same labels.
        larger_is_better: the scores are similarities.

    Raises:
        InputError: a table cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        meta = published() if errors is None else meta_task_from_csv(_written(folder, errors), generic)
        first: Selector = Static()
        notes: list[str] = []
        if scores is not None:
            first, notes = scores_from_csv(meta, _written(folder, scores), larger_is_better=larger_is_better)
    selectors = [TwoStage(first)] if isinstance(first, Static) else [first, TwoStage(first)]
    return Study(_audited(meta, selectors), tuple(s.name for s in selectors), tuple(notes))


@st.cache_resource(show_spinner=False, max_entries=8)
def experts_in(errors: Upload) -> tuple[str, ...]:
    """Labels of the experts of a person's errors.

    Raises:
        InputError: the table cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        return meta_task_from_csv(_written(folder, errors)).experts


def _written(folder: str, upload: Upload) -> Path:
    name, content = upload
    path = Path(folder) / Path(name).name
    path.write_bytes(content)
    return path


# ---- words ---------------------------------------------------------------------------------------------


def kind_title(kind: str) -> str:
    """A kind of target in words."""
    return KIND_TITLES.get(kind, kind)
