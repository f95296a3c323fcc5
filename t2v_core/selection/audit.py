"""Judging selectors on a meta-task: regret with intervals, always beside chance, generic and static."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from t2v_core.errors import InputError
from t2v_core.selection.breadth import why_static
from t2v_core.selection.meta_task import KINDS, MetaTask
from t2v_core.selection.regret import (
    BoolArray,
    Estimate,
    FloatArray,
    estimates,
    hit_rate,
    picked,
    relative_increase,
    weighted_tau,
)
from t2v_core.selection.selectors import REFERENCES, Given, Selector
from t2v_core.selection.ways import DEFAULT
from t2v_core.selection.words import counted, listed, verdict

TOP = (1, 3, 5)
"""Lengths k of the lists of candidates whose hit rate is reported."""

ALL = "all"
"""The group that holds the targets of every kind."""

OFFSET = 1.0
"""What WLF adds to the denominator, in %, where a best error can be 0."""


UNDEFINED = Estimate(np.nan, np.nan, np.nan, 0)


@dataclass(frozen=True)
class Judged:
    """One selector's record.

    Attributes:
        name, title: the selector.
        scores: ``[T, E]``.
        error: ``[T]`` error in % of what it names; NaN where it names nothing.
        regret: ``[T]`` relative error increase in %.
        increase: mean of ``regret``.
        gains: per other rule, mean of its regret minus this one's on the same tasks, in percentage points;
            positive where this selector is better.
        tau: weighted Kendall tau between scores and errors; not defined for the references.
        hits: per k, how often (0..1) a best expert is among the k first.
        heads: fitted for one new task.
        verdict: in words.
        notes: what a reader of its numbers must know, one sentence each.
    """

    name: str
    title: str
    scores: FloatArray
    error: FloatArray
    regret: FloatArray
    increase: Estimate
    gains: dict[str, Estimate]
    tau: Estimate
    hits: dict[int, Estimate]
    heads: int
    verdict: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """Selectors judged on one meta-task.

    Attributes:
        meta: the meta-task.
        offset: added to the denominator of every relative increase.
        optimal: mean error in % of the best candidate.
        judged: per name, the references first.
        missing: candidates whose error was not measured.
        notes: what a reader of the numbers must know, one sentence each, whatever the rule.
        why_static: what makes the static rule strong here, where the default rule does not beat it; else empty.
    """

    meta: MetaTask
    offset: float
    optimal: Estimate
    judged: dict[str, Judged]
    missing: int
    notes: tuple[str, ...]
    why_static: str


def audit(meta: MetaTask, selectors: Sequence[Selector], *, offset: float = 0.0, seed: int = 0) -> Audit:
    """Judge selectors, beside the references, on every target of a meta-task.

    Args:
        meta: the meta-task; static learns from all its other targets.
        selectors: what to judge.
        offset: added to the denominator of the relative increase, in %.
        seed: of the bootstrap over tasks.

    Raises:
        InputError: nothing was measured, or a best error is 0 and there is no offset.
    """
    errors, best = meta.candidate_errors, meta.best
    if not np.isfinite(best).any():
        raise InputError("no candidate has a measured error on any task, so there is nothing to judge by; measure some")
    if not 0 <= offset < np.inf:
        raise InputError(f"the offset of the denominator must be 0 or more, not {offset:g}")
    zero = needs_offset(meta)
    if zero.any() and offset == 0:
        tasks = [name for name, hit in zip(meta.task_names, zero, strict=True) if hit]
        raise InputError(
            f"the best error is 0 for {listed(tasks)}, so no relative increase is defined there; "
            "give a denominator offset, for instance --denominator-offset 1"
        )
    references = [r for r in REFERENCES if r.name != "generic" or meta.generic is not None]
    rules = (*references, *selectors)
    scores = {rule.name: rule.scores(meta) for rule in rules}
    error = {rule.name: rule.error(meta, scores[rule.name]) for rule in rules}
    regret = {name: relative_increase(e, best, offset) for name, e in error.items()}
    columns: dict[tuple[str, str | int], FloatArray] = {("", "best"): best}
    for name, own in regret.items():
        columns[name, "increase"] = own
        ranks = name not in {r.name for r in REFERENCES}  # none of those orders experts for a task
        columns[name, "tau"] = weighted_tau(errors, scores[name]) if ranks else np.full(len(best), np.nan)
        columns |= {(name, other): theirs - own for other, theirs in regret.items() if other != name}
        columns |= {(name, k): hit_rate(errors, scores[name], k) for k in TOP}
    found = dict(zip(columns, estimates(np.column_stack(list(columns.values())), seed=seed), strict=True))
    found["", "best"] = found["", "best"].within(0, 100)
    for name in regret:
        # The generic network is no candidate, so it may be better than the best of those: at most without an error.
        found[name, "increase"] = found[name, "increase"].within(-100 if name == "generic" else 0)
        found[name, "tau"] = found[name, "tau"].within(-1, 1)
        found |= {(name, k): found[name, k].within(0, 1) for k in TOP}
    all_equal = not (regret["chance"] > 0).any()
    judged = {}
    for rule in rules:
        name = rule.name
        gains = {other: found[name, other] for other in regret if other != name}
        against = {r.name: gains[r.name] for r in references if r.name != name}
        judged[name] = Judged(
            name=name,
            title=rule.title,
            scores=scores[name],
            error=error[name],
            regret=regret[name],
            increase=found[name, "increase"],
            gains=gains,
            tau=found[name, "tau"],
            hits={k: found[name, k] for k in TOP},
            heads=rule.heads(meta),
            verdict=verdict(found[name, "increase"], against, all_equal),
        )
    missing = int((meta.allowed & np.isnan(meta.errors)).sum())
    judged |= {s.name: replace(judged[s.name], notes=tuple(_rule_notes(meta, judged[s.name]))) for s in selectors}
    notes = tuple(_notes(meta, missing))
    usual = judged.get(DEFAULT)
    beaten = usual is None or usual.gains["static"].low > 0
    why = "" if beaten else why_static(meta, scores[DEFAULT], offset=offset, seed=seed)
    return Audit(meta, offset, found["", "best"], judged, missing, notes, why)


def needs_offset(meta: MetaTask) -> BoolArray:
    """``[T]`` true where the best error is 0 and a worse pick is possible: its relative increase is not defined."""
    worst = np.nanmax(np.column_stack([np.full(len(meta.tasks), -np.inf), meta.candidate_errors]), axis=1)
    return (meta.best == 0) & (worst > 0)


def audit_by_kind(
    meta: MetaTask, selectors: Sequence[Selector], kinds: Sequence[str] = tuple(KINDS), *, seed: int = 0
) -> dict[str, Audit]:
    """Judge selectors on every kind of target apart, and on all of them together (``ALL``, last).

    Selectors that learn do so from all targets of these kinds. ``OFFSET`` is used for a kind where a best
    error is 0. Kinds without a measured candidate are left out.

    Args:
        meta: the meta-task; its tasks of other kinds are no targets.
        selectors: what to judge.
        kinds: the kinds of target.
        seed: of the bootstrap.
    """
    meta = meta.of_kinds(kinds)
    scores = {s.name: s.scores(meta) for s in selectors}
    found = {}
    for kind in (*kinds, ALL):
        rows = np.array([kind in (k, ALL) for k in meta.kinds], dtype=bool)
        part = meta.take(rows)
        if np.isfinite(part.best).any():
            given = [Given(s.name, s.title, scores[s.name][rows], s.heads(meta)) for s in selectors]
            offset = OFFSET if needs_offset(part).any() else 0.0
            found[kind] = audit(part, given, offset=offset, seed=seed)
    return found


def audit_table(audits: dict[str, Audit], over: Sequence[str] = ("static",)) -> pd.DataFrame:
    """One row a kind and rule.

    Args:
        audits: from ``audit_by_kind``.
        over: rules to give the paired difference to.

    Returns:
        ``kind, rule, tasks, optimum, mean, low, high`` (%; ``optimum`` is the mean error of the best
        candidate); for each rule compared ``vs_static, vs_static_low, vs_static_high`` (points, positive where
        better); ``tau``; ``top_1 .. top_5`` (%); ``heads``; ``offset``; ``verdict``.
    """
    rows = []
    for kind, found in audits.items():
        for name, j in found.judged.items():
            row = {"kind": kind, "rule": name, "tasks": j.increase.tasks, "optimum": found.optimal.mean}
            row |= {"mean": j.increase.mean, "low": j.increase.low, "high": j.increase.high}
            for other in over:
                gain = j.gains.get(other, UNDEFINED)
                row |= {f"vs_{other}": gain.mean, f"vs_{other}_low": gain.low, f"vs_{other}_high": gain.high}
            row |= {"tau": j.tau.mean, **{f"top_{k}": 100 * hit.mean for k, hit in j.hits.items()}}
            rows.append(row | {"heads": j.heads, "offset": found.offset, "verdict": j.verdict})
    columns = ["kind", "rule", "tasks", "optimum", "mean", "low", "high"]
    columns += [f"vs_{other}{end}" for other in over for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*columns, "tau", *(f"top_{k}" for k in TOP), "heads", "offset", "verdict"])


def _notes(meta: MetaTask, missing: int) -> Iterator[str]:
    """What a reader of an audit must know."""
    known = np.isfinite(meta.best)
    if missing:
        yield f"Missing: {missing:,} of {meta.allowed.sum():,} errors; the audit covers what is there."
    if not known.all():
        lost = [name for name, there in zip(meta.task_names, known, strict=True) if not there]
        yield f"No candidate was measured on {listed(lost)}; left out."
    if known.sum() == 1:
        yield "There is only one task, so no interval is defined and nothing is said of other tasks."
    measured = meta.errors[np.isfinite(meta.errors)]
    if measured.max(initial=0) <= 1 and measured.any():
        yield "No error is above 1: errors are read as %, so shares have to be multiplied by 100 first."


def _rule_notes(meta: MetaTask, j: Judged) -> Iterator[str]:
    """What a reader of one rule's numbers must know."""
    unscored = np.isfinite(meta.best) & np.isnan(j.error)
    if unscored.any():
        names = [name for name, hit in zip(meta.task_names, unscored, strict=True) if hit]
        yield f"The scores of {j.name} name no candidate for {listed(names)}; left out of its mean."
    partly = np.isfinite(meta.candidate_errors) & np.isnan(j.scores) & np.isfinite(j.error)[:, None]
    if partly.any():
        lacking = counted(int(partly.sum()), "pair of a task and a candidate", "pairs of a task and a candidate")
        yield f"Without a score by {j.name}: {lacking}; it cannot pick there, though others may."
    tied = int((picked(meta.candidate_errors, j.scores).sum(1) > 1).sum())
    if tied:
        yield f"The lowest score of {j.name} is tied on {counted(tied, 'task')}; the mean error of the tied counts."
