"""The bench that methods are measured on: targets, experts with their own tasks, features computed once.

Cost is processor time, which other work on the machine does not stretch. What several methods or targets share is
computed once and charged to each as if it ran alone: the features of N images cost N times the mean of one image.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank, content_key
from t2v_core.bank.records import ExpertRecord
from t2v_core.errors import InputError
from t2v_core.experts.images import pixels_at, sized
from t2v_core.experts.weights import load_expert, spec_of
from t2v_core.probe.bundled import SPEC, load_bundled
from t2v_core.probe.probe import Probe
from t2v_core.request import Report
from t2v_core.selection.meta_task import from_bank
from t2v_core.task.record import DecodedTask
from t2v_core.task.worlds import WorldTask

MOST = 2000
"""Training images of a task that are looked at, as of an upload; drawn without a look at the labels."""

CPU = torch.device("cpu")

PROBE = "the probe"
"""In place of an expert's id."""

Features = NDArray[np.float32]


class Clock:
    """Processor seconds, added up over what runs under ``running``."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what runs in here."""
        begin = time.process_time()
        try:
            yield
        finally:
            self.seconds += time.process_time() - begin


@dataclass
class Passes:
    """Images that passed through a network, and the time they took."""

    clock: Clock = field(default_factory=Clock)
    images: int = 0


@dataclass(frozen=True)
class Item:
    """A task on the bench.

    Attributes:
        id: in the bank.
        decoded: its training images, ``MOST`` of them at most.
        images: identity of the set of images: equal for tasks that differ in labels alone.
    """

    id: str
    decoded: DecodedTask
    images: tuple[str, ...]


class Bench:
    """Tasks and experts of a bank, with the features that methods share.

    Attributes:
        bank: the bank.
        meta: its targets, experts and errors.
        tasks: the targets and the experts' own tasks whose images are at hand, by id.
        targets: ids of those that experts are chosen for.
        experts: the candidates; one whose own task is not at hand has none in ``source``.
        source: id of each expert's own task, by expert id.
        probe: the probe that PseudoTask and the baselines see the tasks through.
        seed: of everything random.
        report: progress.
    """

    def __init__(
        self, bank: Bank, worlds: Sequence[WorldTask], seed: int, report: Report, probe: Probe | None = None
    ) -> None:
        """Prepare the tasks.

        Args:
            bank: the bank.
            worlds: tasks with their images; those that the bank does not hold with these very images are left out.
            seed: of everything random.
            report: progress.
            probe: to see the tasks through, by default the bundled one.

        Raises:
            InputError: no target of the bank is among them, or it has no expert.
        """
        self.bank, self.seed, self.report = bank, seed, report
        self.meta = from_bank(bank).targets()
        records = {e.id: e for e in bank.experts()}
        self.experts = [records[e] for e in self.meta.experts]
        known = {t.id: t.content_hash for t in bank.tasks()}
        needed = {*self.meta.tasks, *(e.task_id for e in self.experts)}
        same = [w for w in worlds if w.id in needed and known[w.id] == w.decoded.content_hash]
        self.tasks = {w.id: _item(w, seed) for w in same}
        self.targets = [t for t in self.meta.tasks if t in self.tasks]
        self.source = {e.id: e.task_id for e in self.experts if e.task_id in self.tasks}
        if not self.targets or not self.experts:
            raise InputError(
                f"the bank at {bank.location} has no expert, or none of its targets with these very images; give "
                "the --data and --seed it was built from"
            )
        self.probe = probe or load_bundled(CPU)
        self._features: dict[tuple[str, tuple[str, ...]], Features] = {}
        self._passes: dict[str, Passes] = defaultdict(Passes)

    @cached_property
    def content(self) -> str:
        """Identifies the targets and experts with their contents."""
        experts = [(e.id, e.weights_sha256, e.transform) for e in self.experts]
        return content_key([(t, self.tasks[t].decoded.content_hash) for t in self.targets], experts)

    @property
    def shape(self) -> tuple[int, int]:
        """Targets and experts."""
        return len(self.targets), len(self.experts)

    @property
    def pairs(self) -> int:
        """Targets times experts."""
        return len(self.targets) * len(self.experts)

    @property
    def own_tasks(self) -> list[str]:
        """Ids of the tasks that experts were trained on, each once."""
        return list(dict.fromkeys(self.source.values()))

    def seconds_per_image(self, network: str = PROBE) -> float:
        """Mean cost of one image's forward pass through the probe, or through an expert by its id."""
        found = self._passes[network]
        return found.clock.seconds / max(found.images, 1)

    def probe_features(self, task: str) -> Features:
        """The probe's features ``[N, d]`` of a task's images."""
        item = self.tasks[task]
        return self._seen((PROBE, item.images), lambda: self.probe, lambda: self.at_probe(task).pixels)

    def at_probe(self, task: str) -> DecodedTask:
        """A task as the probe wants its images."""
        return sized(self.tasks[task].decoded, SPEC, self.probe.info.spec)

    def source_features(self, expert: ExpertRecord) -> Features:
        """An expert's features ``[N, d]`` of its own task's images."""
        item = self.tasks[self.source[expert.id]]
        return self._seen(
            (expert.id, item.images),
            lambda: self.load(expert),
            lambda: pixels_at(item.decoded, SPEC, spec_of(expert)),
        )

    def expert_features(self, expert: ExpertRecord) -> list[Features]:
        """An expert's features ``[N, d]`` of every target's images; each distinct image passes through it once."""
        rows, first = self._distinct
        found = self._seen(
            (expert.id, tuple(rows)),
            lambda: self.load(expert),
            lambda: np.concatenate(
                [pixels_at(self.tasks[t].decoded, SPEC, spec_of(expert))[some] for t, some in first.items()]
            ),
        )
        return [found[[rows[d] for d in self.tasks[t].images]] for t in self.targets]

    def load(self, expert: ExpertRecord) -> Probe:
        """An expert's network."""
        return load_expert(expert, self.bank.weights, CPU)

    @cached_property
    def _distinct(self) -> tuple[dict[str, int], dict[str, list[int]]]:
        """The row of every distinct image of the targets, by digest, and which rows of which target bring them."""
        rows: dict[str, int] = {}
        first: dict[str, list[int]] = {}
        for target in self.targets:
            for place, digest in enumerate(self.tasks[target].images):
                if digest not in rows:
                    rows[digest] = len(rows)
                    first.setdefault(target, []).append(place)
        return rows, first

    def _seen(
        self, key: tuple[str, tuple[str, ...]], network: Callable[[], Probe], pixels: Callable[[], NDArray[np.uint8]]
    ) -> Features:
        """Features computed at most once a run, on the clock."""
        if key not in self._features:
            loaded, images, passes = network(), pixels(), self._passes[key[0]]
            with passes.clock.running():
                self._features[key] = loaded.features(images).numpy()
            passes.images += len(images)
        return self._features[key]


def _item(world: WorldTask, seed: int) -> Item:
    """A task's training images in their own order, thinned out where they are many."""
    decoded = thinned(world.decoded.take(~world.decoded.task.held_out), MOST, seed)
    return Item(world.id, decoded, decoded.digests)


def thinned(decoded: DecodedTask, most: int, seed: int) -> DecodedTask:
    """At most so many of a task's images, drawn without a look at the labels, in their own order."""
    if len(decoded) <= most:
        return decoded
    return decoded.take(np.sort(np.random.default_rng([seed, 5]).permutation(len(decoded))[:most]))
