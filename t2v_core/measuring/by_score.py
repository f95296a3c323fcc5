"""Methods that score one target and one expert at a time (method section 9), on features computed once.

Scores of an expert's features of the target need a forward pass of its images through every expert. LEEP and NCE
also need the expert's own classifier, which a bank's experts come without: a linear head is fitted here on the
expert's features of its own task, and stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import cache, partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from t2v_core.bank.records import ExpertRecord
from t2v_core.errors import InputError
from t2v_core.experts.errors import task_errors
from t2v_core.measuring.bench import Bench, Clock, Features
from t2v_core.measuring.finding import Finding
from t2v_core.probe.heads import Head, fit_heads
from t2v_core.transferability.emd import class_means
from t2v_core.transferability.registry import SCORES, Needs, Score

Known = dict[Hashable, tuple[float, float]]
"""Values and the seconds each took, by what they are of."""

EVERY = 8
"""Of so many targets one has heads fitted on every expert, to tell what trying them all costs."""


def domain_cost(bench: Bench) -> Finding:
    """What the domain embedding costs: a task's images pass through the probe once."""
    return Finding(target=_probe_pass(bench, bench.targets), once=_probe_pass(bench, bench.own_tasks))


def oracle_cost(bench: Bench) -> Finding:
    """What trying all experts costs: every expert's features, and a head on them, timed on some of the targets."""
    clock = Clock()
    features = [bench.expert_features(e) for e in _in_turn(bench, "heads on every expert")]
    chosen = range(0, len(bench.targets), EVERY)
    for row in chosen:
        labels = bench.tasks[bench.targets[row]].decoded.task.labels
        found = [torch.from_numpy(f[row]) for f in features]
        with clock.running():
            # Every fifth image stands in for the held-out ones: the time is asked, not the error.
            task_errors(found, labels, np.arange(len(labels)) % 5 == 0)
    heads = clock.seconds / (len(chosen) * bench.shape[1])
    return Finding(seconds=heads + _expert_pass(bench), facts={"timed": len(chosen)})


def h_divergence_scores(bench: Bench) -> Finding:
    """H-divergence by the probe's features; labels play no part, so tasks over the same images share their value."""
    score, clock = SCORES["h_divergence"], Clock()
    known: Known = {}

    def apart(target: str, expert: ExpertRecord) -> float:
        source = bench.source[expert.id]
        sides = bench.probe_features(target), bench.probe_features(source)
        images = bench.tasks[target].images, bench.tasks[source].images
        return _shared(known, images, clock, lambda: score.function(*sides, bench.seed))

    return _between_tasks(bench, score, clock, apart)


def emd_scores(bench: Bench) -> Finding:
    """EMD between class means of the probe's features."""
    score, clock = SCORES["emd"], Clock()

    @cache
    def means(task: str) -> tuple[NDArray, NDArray]:
        return class_means(bench.probe_features(task), bench.tasks[task].decoded.task.labels)

    def similar(target: str, expert: ExpertRecord) -> float:
        ours, theirs = means(target), means(bench.source[expert.id])
        with clock.running():
            return score.function(*ours, *theirs)

    return _between_tasks(bench, score, clock, similar)


def expert_scores(bench: Bench, name: str) -> Finding:
    """One of the scores of every expert's features of the target."""
    score, clock, fitting = SCORES[name], Clock(), Clock()
    needs_classifier = score.needs is Needs.EXPERT_PROBABILITIES
    values = np.full(bench.shape, np.nan)
    refused: dict[str, int] = {}
    known: Known = {}

    def value(expert: ExpertRecord, classifier: Head | None, target: str, z: Features) -> float:
        item = bench.tasks[target]
        if not score.labels:  # RSA: the probe's features stand for a network trained on the target
            reference = bench.probe_features(target)
            return _shared(known, (expert.id, item.images), clock, lambda: score.function(z, reference))
        with clock.running():
            return score.function(_probabilities(classifier, z) if needs_classifier else z, item.decoded.task.labels)

    for e, expert in enumerate(_in_turn(bench, score.title)):
        try:
            features = bench.expert_features(expert)
        except InputError as error:  # its weights are missing, or of a kind that cannot be run here
            refused[str(error)] = len(bench.targets)
            continue
        classifier = _classifier(bench, expert, fitting) if needs_classifier else None
        for t, (target, z) in enumerate(zip(bench.targets, features, strict=True)):
            values[t, e] = _or_missing(partial(value, expert, classifier, target, z), refused)
    return Finding(
        target=0.0 if score.labels else _probe_pass(bench, bench.targets),
        seconds=clock.seconds / bench.pairs + _expert_pass(bench),
        once=fitting.seconds / bench.shape[1] + _own_pass(bench) if needs_classifier else 0.0,
        scores=_table(bench, score, values),
        facts={"refused": refused},
    )


def _classifier(bench: Bench, expert: ExpertRecord, clock: Clock) -> Head | None:
    """A linear head on an expert's features of its own task, on the clock; None where that task is not at hand."""
    if expert.id not in bench.source:
        return None
    _, labels = np.unique(bench.tasks[bench.source[expert.id]].decoded.task.labels, return_inverse=True)
    features = torch.from_numpy(bench.source_features(expert))
    with clock.running():
        return fit_heads(features[None], labels, int(labels.max()) + 1, bench.seed)[0]


def _probabilities(classifier: Head | None, features: Features) -> NDArray[np.float32] | None:
    if classifier is None:
        return None
    return torch.softmax(classifier.logits(torch.from_numpy(features)), 1).numpy()


def _between_tasks(bench: Bench, score: Score, clock: Clock, value: Callable[[str, ExpertRecord], float]) -> Finding:
    """A score of every target and every expert whose own task is at hand, by the probe's features of both."""
    values = np.full(bench.shape, np.nan)
    refused: dict[str, int] = {}
    for t, target in enumerate(bench.targets):
        for e, expert in enumerate(bench.experts):
            if expert.id in bench.source:
                values[t, e] = _or_missing(partial(value, target, expert), refused)
        bench.report(score.title, t + 1, len(bench.targets), bench.tasks[target].decoded.task.name)
    return Finding(
        target=_probe_pass(bench, bench.targets),
        seconds=clock.seconds / bench.pairs,
        once=_probe_pass(bench, bench.own_tasks),
        scores=_table(bench, score, values),
        facts={"refused": refused},
    )


def _shared(known: Known, key: Hashable, clock: Clock, compute: Callable[[], float]) -> float:
    """A value that several targets have in common: computed once, charged to each."""
    if key not in known:
        own = Clock()
        with own.running():
            value = compute()
        known[key] = value, own.seconds
    value, seconds = known[key]
    clock.seconds += seconds
    return value


def _or_missing(value: Callable[[], float], refused: dict[str, int]) -> float:
    """A value, or NaN where the task or expert cannot be scored; the reason is counted."""
    try:
        return value()
    except InputError as error:
        refused[str(error)] = refused.get(str(error), 0) + 1
        return np.nan


def _table(bench: Bench, score: Score, values: NDArray[np.float64]) -> pd.DataFrame:
    """Values by id, turned so that lower is better."""
    values = -values if score.higher_is_better else values
    return pd.DataFrame(values, index=bench.targets, columns=[e.id for e in bench.experts])


def _in_turn(bench: Bench, stage: str) -> Iterator[ExpertRecord]:
    """The experts, with progress."""
    for number, expert in enumerate(bench.experts):
        yield expert
        bench.report(stage, number + 1, len(bench.experts), expert.name)


def _probe_pass(bench: Bench, tasks: list[str]) -> float:
    """Mean processor seconds for the images of one task to pass through the probe."""
    images = [len(bench.probe_features(t)) for t in tasks]
    return float(np.mean(images)) * bench.seconds_per_image() if images else 0.0


def _expert_pass(bench: Bench) -> float:
    """Mean processor seconds for the images of one target to pass through one expert."""
    images = float(np.mean([len(bench.tasks[t].images) for t in bench.targets]))
    passed = [seconds for e in bench.experts if (seconds := bench.seconds_per_image(e.id))]
    return images * float(np.mean(passed)) if passed else 0.0


def _own_pass(bench: Bench) -> float:
    """Mean processor seconds for the images of an expert's own task to pass through that expert."""
    sources = bench.source.items()
    return float(np.mean([len(bench.tasks[t].images) * bench.seconds_per_image(e) for e, t in sources] or [0.0]))
