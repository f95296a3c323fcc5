"""Methods that compare embeddings: a target costs its own embedding once, however many experts there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from t2v_core.embedding.pseudotask import PseudoTaskSettings, embed_pseudotask
from t2v_core.embedding.record import Embedding
from t2v_core.embedding.tangent import TangentSettings, embed_tangents, networks_against_batches
from t2v_core.embedding.tangent_kernel import gradients, tangent_kernel
from t2v_core.embedding.task2vec import Task2VecSettings, embed_task
from t2v_core.errors import InputError
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.measuring.bench import CPU, Bench, Clock, thinned
from t2v_core.measuring.finding import Finding
from t2v_core.probe.bundled import SPEC, ResNet20Features
from t2v_core.probe.heads import Head
from t2v_core.probe.network import ResNet20
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.space.distances import symmetric
from t2v_core.space.values import value_histogram
from t2v_core.task.record import DecodedTask

DRAWS = 2000
"""Labels drawn for an embedding: at least one an image, and where the images are few enough the exact expectation."""

FEW = 500
"""Images of a task that an untrained probe looks at; the targets of most kinds have fewer."""

CHUNKS = 4
"""Parts of a PseudoTask embedding that a bank keeps: enough for a spread, at a quarter of the usual room."""

NETWORKS, BUDGET = (1, 2, 3, 6, 12), 12
"""Numbers of random networks compared, each with so many batches that there are ``BUDGET`` gradients a task."""

COMPARED = 4
"""Targets on which the variational estimate is held against the exact one."""

EVERY = 8
"""Of so many tasks one is embedded anew where the bank has the embeddings and only the cost is asked."""

Distance = Callable[[Sequence[Embedding], Sequence[Embedding]], NDArray]


def pseudotask(bench: Bench, settings: PseudoTaskSettings) -> Finding:
    """PseudoTask of every task."""
    return _by_teacher(bench, settings, bench.probe, bench.at_probe, keep=settings.labels == "soft")


def random_pseudotask(bench: Bench, settings: PseudoTaskSettings) -> Finding:
    """PseudoTask by the bundled architecture as it is before any training, its classifier too."""

    def images(task: str) -> DecodedTask:
        return thinned(bench.tasks[task].decoded, FEW, settings.seed)

    return _by_teacher(bench, settings, random_probe(settings.seed), images)


def _by_teacher(
    bench: Bench,
    settings: PseudoTaskSettings,
    probe: Probe,
    images: Callable[[str], DecodedTask],
    keep: bool = False,
) -> Finding:
    """PseudoTask of every task; tasks over the same images are one and the same to it."""
    known: dict[tuple[str, ...], tuple[Embedding, float]] = {}
    found, seconds = {}, {}
    for number, (task, item) in enumerate(bench.tasks.items()):
        if item.images not in known:
            decoded, clock = images(task), Clock()
            with clock.running():
                embedding = embed_pseudotask(decoded, probe, settings)
            known[item.images] = embedding, clock.seconds
        found[task], seconds[task] = known[item.images]
        bench.report("PseudoTask", number + 1, len(bench.tasks), item.decoded.task.name)
    finding = _compared(bench, found, seconds, fisher_distance, keep=keep)
    norms = {e: float(np.abs(found[t].vector).sum()) for e, t in bench.source.items()}
    softness = float(np.mean([found[t].facts["softness"] for t in bench.targets]))  # type: ignore[arg-type]
    return replace(finding, facts=finding.facts | {"norms": norms, "softness": softness})


def random_task2vec(bench: Bench, settings: Task2VecSettings) -> Finding:
    """Task2Vec by the bundled architecture as it is before any training, from ``FEW`` images a task at most."""
    probe = random_probe(settings.seed)

    def embed(decoded: DecodedTask) -> Embedding:
        return embed_task(thinned(decoded, FEW, settings.seed), probe, settings).fisher

    found, seconds = _embedded(bench, list(bench.tasks), embed, lambda task: bench.tasks[task].decoded)
    return _compared(bench, found, seconds, fisher_distance)


def tangent(bench: Bench, settings: TangentSettings) -> Finding:
    """The Task Tangent Kernel between all tasks."""
    clock, begin = Clock(), time.perf_counter()
    with clock.running():
        embeddings = embed_tangents(
            [item.decoded for item in bench.tasks.values()],
            settings,
            progress=lambda done, total, _: bench.report("Task Tangent Kernel", done, total, ""),
        )
    rate = clock.seconds / (time.perf_counter() - begin)  # processor seconds in one on the wall
    found = dict(zip(bench.tasks, embeddings, strict=True))
    return _compared(bench, found, {t: rate * e.seconds for t, e in found.items()}, tangent_distance, keep=True)


def networks_or_batches(bench: Bench, settings: TangentSettings) -> Finding:
    """WLF Figure 7 on the targets that have a twin: many networks, or many batches of few networks."""
    meta = bench.meta.of_kinds(("twin",))
    targets = [t for t in meta.tasks if t in bench.tasks]
    if not targets:
        raise InputError("the bank has no target that asks the same as an expert's own task")
    meta = meta.take(np.isin(meta.tasks, targets))
    needed = [*targets, *bench.own_tasks]
    clock = Clock()
    with clock.running():
        found = networks_against_batches(
            [bench.tasks[t].decoded for t in needed],
            NETWORKS,
            BUDGET,
            settings,
            progress=lambda done, total, _: bench.report("networks against batches", done, total, ""),
        )
    column = {t: i for i, t in enumerate(needed)}
    known = [e for e in meta.experts if e in bench.source]
    sources = [column[bench.source[e]] for e in known]
    allowed = meta.allowed[:, [meta.experts.index(e) for e in known]]
    picks = {}
    for count, vectors in found.items():
        similarity = tangent_kernel(vectors[: len(targets)], vectors).mean[:, sources]
        nearest = np.where(allowed, similarity, -np.inf).argmax(1)
        picks[count] = [known[e] if any(row) else None for e, row in zip(nearest, allowed, strict=True)]
    facts: dict[str, object] = {"budget": BUDGET, "targets": list(targets), "experts": known, "picks": picks}
    return Finding(target=clock.seconds / len(needed), facts=facts)


def task2vec_cost(bench: Bench, settings: Task2VecSettings) -> Finding:
    """What the bank's own embeddings cost: some of the targets and of the experts' own tasks embedded anew."""

    def mean_seconds(tasks: Sequence[str]) -> float:
        _, seconds = _embedded(bench, tasks, lambda d: embed_task(d, bench.probe, settings).fisher)
        return float(np.mean(list(seconds.values())))

    chosen = bench.targets[::EVERY], bench.own_tasks[::EVERY]
    timed = {"targets": len(chosen[0]), "own tasks": len(chosen[1])}
    once = mean_seconds(chosen[1]) if chosen[1] else 0.0
    return Finding(target=mean_seconds(chosen[0]), once=once, facts={"timed": timed})


def variational_agreement(bench: Bench, settings: Task2VecSettings) -> Finding:
    """How far the variational estimate agrees with the exact diagonal under the head it ends with, on some targets.

    Facts: ``layers`` by name; ``rho``, for each target the rank correlation within each layer, and ``ratio``, the sum
    of the variational estimate over that of the exact one; ``all`` and ``all_ratio``, the same over all filters.
    """
    chosen = bench.targets[:: max(1, len(bench.targets) // COMPARED)][:COMPARED]
    layers = bench.probe.info.layers
    edges = np.cumsum([count for _, count in layers])[:-1]
    clock, pairs = Clock(), []
    for number, task in enumerate(chosen):
        decoded = bench.at_probe(task)
        with clock.running():
            robust = embed_task(decoded, bench.probe, settings)
        exact = _exact(bench.probe, robust.head, decoded, settings)
        pairs.append((exact, robust.fisher.vector.astype(np.float64)))
        bench.report("variational", number + 1, len(chosen), decoded.task.name)
    parts = [list(zip(np.split(a, edges), np.split(b, edges), strict=True)) for a, b in pairs]
    facts: dict[str, object] = {
        "targets": list(chosen),
        "layers": [name for name, _ in layers],
        "rho": [[_rho(a, b) for a, b in part] for part in parts],
        "ratio": [[float(b.sum() / a.sum()) for a, b in part] for part in parts],
        "all": [_rho(a, b) for a, b in pairs],
        "all_ratio": [float(b.sum() / a.sum()) for a, b in pairs],
    }
    return Finding(target=clock.seconds / len(chosen), facts=facts)


def _exact(probe: Probe, head: Head, decoded: DecodedTask, settings: Task2VecSettings) -> NDArray[np.float64]:
    """The exact Fisher diagonal ``[D]`` of a task under a given head."""
    rows = np.flatnonzero(~decoded.task.held_out)
    _, labels = np.unique(decoded.task.labels[rows], return_inverse=True)
    exact = DiagonalSettings(estimator="exact", seed=settings.seed)
    return fisher_diagonal(probe, head, decoded.pixels[rows], labels, exact).mean


def _rho(a: NDArray, b: NDArray) -> float:
    return float(spearmanr(a, b).statistic)


def random_probe(seed: int) -> Probe:
    """The bundled architecture with the initial weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ResNet20()
    title = f"untrained ResNet-20, seed {seed}"
    return make_probe(f"untrained-{seed}", title, ResNet20Features(network), network.fc, SPEC, "untrained", CPU)


def fisher_distance(a: Sequence[Embedding], b: Sequence[Embedding]) -> NDArray:
    """d_sym between Fisher embeddings."""
    return symmetric(np.stack([e.vector for e in a]), np.stack([e.vector for e in b]))


def tangent_distance(a: Sequence[Embedding], b: Sequence[Embedding]) -> NDArray:
    """1 - k between tangent embeddings."""
    return 1 - tangent_kernel(gradients(a), gradients(b)).mean


def _embedded(
    bench: Bench,
    tasks: Sequence[str],
    embed: Callable[[DecodedTask], Embedding],
    images: Callable[[str], DecodedTask] | None = None,
) -> tuple[dict[str, Embedding], dict[str, float]]:
    """Each task's embedding, and the seconds it took; from ``images``, by default as the probe wants them."""
    found, seconds = {}, {}
    for number, task in enumerate(tasks):
        decoded, clock = (images or bench.at_probe)(task), Clock()
        with clock.running():
            found[task] = embed(decoded)
        seconds[task] = clock.seconds
        bench.report("Task2Vec", number + 1, len(tasks), decoded.task.name)
    return found, seconds


def _compared(
    bench: Bench, found: dict[str, Embedding], seconds: dict[str, float], distance: Distance, keep: bool = False
) -> Finding:
    """Distances of all embedded tasks, and of targets to the experts' own tasks.

    Args:
        bench: the bench.
        found: embeddings by task id.
        seconds: what each took.
        distance: between two lists of embeddings.
        keep: keep the distances between tasks, and the embeddings of the experts' own, in the bank.
    """
    ids, embeddings = list(found), list(found.values())
    square = pd.DataFrame(distance(embeddings, embeddings), index=ids, columns=ids)
    clock = Clock()
    with clock.running():
        between = distance([found[t] for t in bench.targets], [found[t] for t in bench.source.values()])
    scores = pd.DataFrame(between, index=bench.targets, columns=list(bench.source))
    own = bench.own_tasks
    return Finding(
        target=sum(seconds[t] for t in bench.targets) / len(bench.targets),
        seconds=clock.seconds / bench.pairs,
        once=sum(seconds[t] for t in own) / max(len(own), 1),
        scores=scores,
        distances=square if keep else pd.DataFrame(),
        embeddings={t: found[t] for t in own} if keep else {},
        facts={"histogram": value_histogram(np.stack([e.vector for e in embeddings]))},
    )
