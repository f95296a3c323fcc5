"""Two experiments on a bank's own tasks: how experts transfer, and how many images it takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t2v_core.bank.bank import Bank, content_key
from t2v_core.bank.claims import Piece, work_through
from t2v_core.bank.records import FROZEN, TUNED, ExpertRecord, TrialEntry
from t2v_core.errors import InputError
from t2v_core.experts.errors import held_out_of
from t2v_core.experts.images import pixels_at
from t2v_core.experts.schedules import Schedule, choose_schedule
from t2v_core.experts.trials import LEAST, sample, trial_error
from t2v_core.experts.weights import load_expert, spec_of
from t2v_core.filling import choose_experts
from t2v_core.images_at_hand import ImageOptions, images_at_hand
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.probe import pick_device
from t2v_core.request import Report
from t2v_core.selection.meta_task import GENERIC, KINDS
from t2v_core.selection.trials import efficiency_table, roles, summary, transfer_rows
from t2v_core.task.record import DecodedTask

SIZES = (2, 5, 10, 20, 50, 100)
"""Training images of each class, from few to many."""
TARGETS = 4
"""Tasks taken where none are named, as many as in the paper (T2V supplement 3)."""


@dataclass(frozen=True)
class TrialOptions(ImageOptions):
    """What to try.

    Attributes:
        repeats: how many seeds are tried, from 0 on.
        schedule, epochs, images_per_epoch: of the fine-tuning, as in ``TrainOptions``.
        sources: ids of experts, or of the tasks they were trained on (transfer alone).
        sizes: training images of each class (efficiency alone).
    """

    repeats: int = 3
    schedule: str = "brief"
    epochs: int | None = None
    images_per_epoch: int | None = None
    sources: tuple[str, ...] = ()
    sizes: tuple[int, ...] = SIZES


def transfer(bank: Bank, options: TrialOptions, report: Report) -> dict[str, Any]:
    """The transfer distance D_ft(a -> b) of experts a to tasks b (method section 4, T2V section 2).

    Every expert, and the generic network that all started from, is fine-tuned on the whole of each task's
    training images once a seed.

    Args:
        bank: the bank; every trial is kept there, and none repeated.
        options: ``sources`` and ``tasks`` are the pairs.
        report: progress.

    Raises:
        InputError: the options or the images are at fault, or the bank has no generic expert.
    """
    experts = _sources(bank, options.sources)
    generic = choose_experts(bank, [GENERIC])[0]
    trials = _Trials(bank, options, report)
    plans = [
        Plan(task, expert, TUNED, 0, seed)
        for task in trials.tasks
        for expert in [generic, *experts]
        for seed in trials.seeds
    ]
    trials.run(plans, "transfer")
    ids = {trials.entry_id(plan) for plan in plans}
    found = [t for t in bank.trials() if t.id in ids]
    return {"schedule": trials.schedule_key(generic), "rows": transfer_rows(found, [e.id for e in experts])}


def efficiency(bank: Bank, options: TrialOptions, report: Report) -> dict[str, Any]:
    """How many images it takes: the picked, the generic and the best expert, frozen and fine-tuned (T2V Fig. 4).

    Args:
        bank: the bank; every trial is kept there, and none repeated.
        options: ``tasks`` are the targets, ``sizes`` the samples' sizes.
        report: progress.

    Raises:
        InputError: the options or the images are at fault, or no target has a pick and measured errors.
    """
    trials = _Trials(bank, options, report)
    chosen = {task: role for task, role in roles(bank).items() if task in trials.tasks}
    if not chosen:
        raise InputError(
            "none of these tasks has an expert to pick, a best and a generic one; fill the error matrix first "
            "(`errors fill`)"
        )
    without = [task for task in options.tasks or () if task not in chosen]
    if without:
        raise InputError(
            f"task {without[0]!r} has no expert to pick or no measured errors; leave it out or fill its row"
        )
    usual = [t.id for t in bank.tasks() if t.id in chosen and t.kind in KINDS] or list(chosen)
    targets = list(chosen) if options.tasks else _spread(usual, TARGETS)
    experts = {e.id: e for e in bank.experts()}
    plans = []
    for task in targets:
        for size in trials.possible(task, options.sizes):
            for expert in sorted(set(chosen[task].values())):
                for mode in (FROZEN, TUNED):
                    plans += [Plan(task, experts[expert], mode, size, seed) for seed in trials.seeds]
    if not plans:
        raise InputError(f"no class has {min(options.sizes)} training images; give smaller --sizes")
    trials.run(plans, "data efficiency")
    table = efficiency_table(bank)
    schedule = trials.schedule_key(experts[GENERIC])
    own = table[table["task"].isin(targets) & table["schedule"].isin(["", schedule])]
    return {"targets": targets, "schedule": schedule, "rows": summary(own).to_dict("records")}


def _sources(bank: Bank, wanted: Sequence[str]) -> list[ExpertRecord]:
    """Experts by their own ids, or by those of the tasks they were trained on."""
    experts = bank.experts()
    found = []
    for name in wanted:
        own = [e for e in experts if name in (e.id, e.task_id) and e.id != GENERIC]
        if not own:
            raise InputError(
                f"{name!r} is no expert of the bank at {bank.location}, nor a task that one was trained on"
            )
        found += own
    return list({e.id: e for e in found}.values())


def _spread(names: Sequence[str], most: int) -> list[str]:
    """At most so many names, evenly over the list."""
    return [names[i] for i in sorted(set(np.linspace(0, len(names) - 1, min(most, len(names))).astype(int)))]


EXPERIMENTS = {"transfer": transfer, "efficiency": efficiency}
"""By the names of their commands and jobs."""


@dataclass(frozen=True)
class Plan:
    """A trial to come: see ``TrialEntry``."""

    task_id: str
    expert: ExpertRecord
    mode: str
    per_class: int
    seed: int


class _Trials:
    """The trials behind an experiment: planned, shared with other processes, kept."""

    def __init__(self, bank: Bank, options: TrialOptions, report: Report) -> None:
        if options.repeats < 1:
            raise InputError(f"--repeats must be at least 1, got {options.repeats}")
        if min(options.sizes) < LEAST:
            raise InputError(f"--sizes must be at least {LEAST} images a class, got {min(options.sizes)}")
        self.bank, self.options, self.report = bank, options, report
        self.device = pick_device(options.device)
        self.seeds = range(options.repeats)
        found = images_at_hand(bank, options, report)
        self.tasks: dict[str, DecodedTask] = {
            task: decoded for task, decoded in found.items() if len(np.unique(decoded.task.labels)) > 1
        }

    def schedule(self, expert: ExpertRecord, seed: int) -> Schedule:
        """The fine-tuning of a trial."""
        o = self.options
        return choose_schedule(o.schedule, spec_of(expert), seed, o.epochs, o.images_per_epoch)

    def entry_id(self, plan: Plan) -> str:
        """Identifies everything that determines the outcome of a trial."""
        content = self.tasks[plan.task_id].content_hash
        how = (plan.mode, plan.per_class, plan.seed)
        return content_key(
            "trial",
            plan.task_id,
            content,
            plan.expert.id,
            plan.expert.weights_sha256,
            *([plan.expert.transform] if plan.expert.transform else []),
            how,
            self.schedule_key(plan.expert, plan.mode),
        )

    def possible(self, task: str, sizes: Sequence[int]) -> list[int]:
        """The sizes for which every class of a task has images enough."""
        decoded = self.tasks[task]
        held_out, _ = held_out_of(decoded.task)
        least = int(np.unique(decoded.task.labels[~held_out], return_counts=True)[1].min())
        return sorted({size for size in sizes if size <= least})

    def run(self, plans: Sequence[Plan], stage: str) -> None:
        """Make every trial that the bank does not hold."""
        pieces = [self._piece(plan) for plan in plans]
        work_through(self.bank, pieces, lambda done, total, title: self.report(stage, done, total, title))

    def schedule_key(self, expert: ExpertRecord, mode: str = TUNED) -> str:
        """The schedule as trials record it."""
        return "" if mode == FROZEN else self.schedule(expert, 0).key

    def _piece(self, plan: Plan) -> Piece:
        key = self.entry_id(plan)
        size = f"{plan.per_class} images a class" if plan.per_class else "all images"
        title = f"{self.tasks[plan.task_id].task.name}, {plan.expert.name}, {plan.mode}, {size}"
        return Piece(key, title, lambda: self.bank.has_trial(key), lambda: self._try(plan, key))

    def _try(self, plan: Plan, key: str) -> None:
        begin = time.perf_counter()
        decoded = self.tasks[plan.task_id]
        held_out, _ = held_out_of(decoded.task)
        train = sample(decoded.task.labels, ~held_out, plan.per_class, plan.seed)
        error = trial_error(
            load_expert(plan.expert, self.bank.weights, self.device),
            pixels_at(decoded, SPEC, spec_of(plan.expert)),
            decoded.task.labels,
            train,
            np.flatnonzero(held_out),
            plan.mode,
            self.schedule(plan.expert, plan.seed),
        )
        self.bank.save_trial(
            TrialEntry(
                id=key,
                task_id=plan.task_id,
                expert_id=plan.expert.id,
                mode=plan.mode,
                schedule=self.schedule_key(plan.expert, plan.mode),
                per_class=plan.per_class,
                images=len(train),
                seed=plan.seed,
                error=error,
                n=int(held_out.sum()),
                seconds=round(time.perf_counter() - begin, 2),
            )
        )
