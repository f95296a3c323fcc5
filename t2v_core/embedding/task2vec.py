"""Task2Vec: Task + Probe -> Fisher embedding, with the domain embedding beside it for free."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from t2v_core.embedding.record import DOMAIN, TASK2VEC, Embedding
from t2v_core.errors import InputError
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.fisher.sums import ChunkSums, assign_chunks
from t2v_core.probe.heads import Head, class_weights, fit_heads
from t2v_core.probe.probe import Probe
from t2v_core.task.record import DecodedTask, Progress


@dataclass(frozen=True)
class Task2VecSettings:
    """Options of the embedding; they are part of its record.

    Attributes:
        estimator: ``"montecarlo"`` or ``"exact"``; both estimate the same thing.
        total_draws: (Monte Carlo) labels drawn from the model in all; each sample gets the same number, at least one.
            Small tasks thus get many a sample, where the draws' noise would otherwise swamp the vector.
        chunks: disjoint parts whose means give the spread.
        tolerance: stop once the relative standard error of the vector is below it; None uses every image.
        seed: of the validation split, the drawn labels and the chunks.
    """

    estimator: Literal["montecarlo", "exact"] = "montecarlo"
    total_draws: int = 4000
    chunks: int = 20
    tolerance: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class TaskEmbeddings:
    """What embedding a task yields.

    Attributes:
        fisher: the Task2Vec embedding.
        domain: the mean feature.
        head: the head fitted on the probe's features.
    """

    fisher: Embedding
    domain: Embedding
    head: Head


def embed_task(
    decoded: DecodedTask,
    probe: Probe,
    settings: Task2VecSettings | None = None,
    *,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> TaskEmbeddings:
    """Embed a labelled task (T2V section 3.1): features, head, Fisher diagonal of the probe's filters.

    Args:
        decoded: the task; its held-out images are not used.
        probe: the frozen network.
        settings: options.
        batch_size: images a pass.
        progress: called with stages "features" and "Fisher".

    Raises:
        InputError: fewer than two classes, or all images are one and the same to the probe.
    """
    settings = settings or Task2VecSettings()
    rows = np.flatnonzero(~decoded.task.held_out)
    pixels, labels = decoded.pixels[rows], decoded.task.labels[rows]
    classes, labels = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"task {decoded.task.name!r} has one class; labels carry information only from two on")
    begin = time.perf_counter()
    z = probe.features(pixels, progress=progress)
    features_done = time.perf_counter()
    if float(z.std(0).max()) == 0:
        raise InputError(f"all images of {decoded.task.name!r} look the same to the probe; there is nothing to embed")
    (head,) = fit_heads(z[None], labels, len(classes), settings.seed)
    diagonal = DiagonalSettings(
        estimator=settings.estimator,
        draws=-(-settings.total_draws // len(labels)),
        chunks=settings.chunks,
        tolerance=settings.tolerance,
        seed=settings.seed,
        batch_size=batch_size,
    )
    fisher = fisher_diagonal(probe, head, pixels, labels, diagonal, progress)
    end = time.perf_counter()
    chunk = assign_chunks(labels, settings.chunks, settings.seed)
    share = np.zeros((int(chunk.max()) + 1, len(labels)))
    share[chunk, np.arange(len(labels))] = class_weights(labels, len(classes))
    domain = ChunkSums(share @ z.double().cpu().numpy(), share.sum(1), len(labels))
    facts = {"validation_accuracy": head.validation_accuracy, "validation_size": head.validation_size}
    return TaskEmbeddings(
        _embedding(fisher, TASK2VEC, asdict(settings), end - begin, facts, probe),
        _embedding(
            domain, DOMAIN, {"chunks": settings.chunks, "seed": settings.seed}, features_done - begin, {}, probe
        ),
        head,
    )


def _embedding(
    parts: ChunkSums,
    method: str,
    settings: dict[str, object],
    seconds: float,
    facts: dict[str, float],
    probe: Probe,
) -> Embedding:
    return Embedding(
        vector=parts.mean.astype(np.float32),
        method=method,
        probe_id=probe.info.id,
        weights_hash=probe.info.weights_hash,
        settings=settings,
        samples=parts.samples,
        chunk_means=(parts.sums / parts.weights[:, None]).astype(np.float32),
        chunk_weights=parts.weights / parts.weights.sum(),
        seconds=seconds,
        device=str(probe.device),
        facts=facts,
    )
