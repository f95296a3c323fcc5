"""Task2Vec: Task + Probe -> Fisher embedding, with the domain embedding beside it for free."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from t2v_core.embedding.by_probe import check_informative, check_varied, from_chunks
from t2v_core.embedding.domain import mean_feature
from t2v_core.embedding.record import TASK2VEC, VARIATIONAL, Embedding
from t2v_core.embedding.refits import under_other_heads
from t2v_core.errors import InputError
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.fisher.sums import ChunkSums
from t2v_core.fisher.variational import GRADIENT, PUBLISHED_BETA, VariationalSettings, variational_fisher
from t2v_core.probe.heads import REGULARISATION, Head, fit_regularised_head, fit_two_epochs
from t2v_core.probe.probe import Probe
from t2v_core.probe.record import BUNDLED
from t2v_core.task.record import DecodedTask, Progress

SIGNED_PASSES = 1000
"""Signs drawn in all where they are the estimator: two for each of 500 images, whose noise is then well below that of
which images a task has (benchmarks/README.md)."""


@dataclass(frozen=True)
class Task2VecSettings:
    """Options of the embedding; they are part of its record.

    Attributes:
        weight_decay: of the head, see ``heads.fit_regularised_head``; None for the papers' two epochs of Adam.
        estimator: ``"montecarlo"``, ``"signs"`` or ``"exact"``, which estimate the same thing; or ``"variational"``,
            the robust form, which comes without a spread and lies in a space of its own.
        total_draws: (Monte Carlo, signs) labels or signs drawn in all; each sample gets the same number, at least
            one. Small tasks thus get many a sample, where the draws' noise would otherwise swamp the vector.
        chunks: disjoint parts whose means give the spread.
        tolerance: stop once the relative standard error of the vector is below it; None uses every image.
        seed: of the validation split, the drawn labels and the chunks.
        precision: ``"bfloat16"`` is faster where the machine has it (see ``DiagonalSettings``).
        variational: the schedule of the variational estimate; recorded only where it was used.
    """

    weight_decay: float | None = REGULARISATION
    estimator: Literal["montecarlo", "signs", "exact", "variational"] = "montecarlo"
    total_draws: int = 4000
    chunks: int = 16
    tolerance: float | None = None
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    variational: VariationalSettings = field(default_factory=VariationalSettings)

    def diagonal(self, samples: int, batch_size: int) -> DiagonalSettings:
        """How the Fisher diagonal of so many samples is estimated, exactly or by Monte Carlo."""
        return DiagonalSettings(
            estimator="montecarlo" if self.estimator == "variational" else self.estimator,
            draws=-(-self.total_draws // samples),
            chunks=self.chunks,
            tolerance=self.tolerance,
            seed=self.seed,
            batch_size=batch_size,
            precision=self.precision,
        )

    @classmethod
    def for_probe(cls, probe_id: str, estimator: str | None, **more: Any) -> Self:
        """The options by which a probe embeds.

        The bundled one draws labels, as it did for the bank that ships with it. A larger one draws signs: its passes
        are dear, and its sure predictions make labels noisy.

        Args:
            probe_id: the probe's registry name.
            estimator: another than this default.
            more: further options.
        """
        if estimator is None:
            estimator = "montecarlo" if probe_id.partition(":")[0] == BUNDLED else "signs"
        if estimator == "signs":
            more = {"total_draws": SIGNED_PASSES} | more
        return cls(estimator=estimator, **more)  # type: ignore[arg-type]

    def record(self) -> dict[str, object]:
        """The options that had a part in the vector, as the embedding keeps them."""
        used = asdict(self)
        if self.estimator == "variational":
            used["variational"]["gradient"] = GRADIENT
            for other in ("total_draws", "chunks", "tolerance", "precision"):
                del used[other]
        else:
            del used["variational"]
        return used


PUBLISHED = Task2VecSettings(
    weight_decay=None, estimator="variational", variational=VariationalSettings(PUBLISHED_BETA)
)
"""The authors' own (T2V supplement 6): a head of two epochs, then ten of the variational loss."""


@dataclass(frozen=True)
class TaskEmbeddings:
    """What embedding a task yields.

    Attributes:
        fisher: the Task2Vec embedding.
        domain: the mean feature.
        head: the head fitted on the probe's features; of the variational estimate, as trained along with it.
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
    refits: bool = False,
    progress: Progress | None = None,
) -> TaskEmbeddings:
    """Embed a labelled task (T2V section 3.1): features, head, Fisher diagonal of the probe's filters.

    Args:
        decoded: the task; its held-out images are not used.
        probe: the frozen network.
        settings: options.
        batch_size: images a pass.
        refits: measure how far the vector moves with the head (``embedding.refits``); not with ``"variational"``.
        progress: called with stages "features", "Fisher" and "other heads".

    Raises:
        InputError: fewer than two classes, all images are one and the same to the probe, or the labels have nothing
            to do with them.
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
    check_varied(z, decoded.task.name)

    def fit(rows: NDArray[np.int64], validate: bool = False) -> Head:
        some, theirs = z[torch.from_numpy(rows).to(z.device)], labels[rows]
        if settings.weight_decay is None:
            return fit_two_epochs(some, theirs, len(classes), settings.seed)
        decay = settings.weight_decay
        return fit_regularised_head(some, theirs, len(classes), settings.seed, decay, validate=validate)

    head = fit(np.arange(len(labels)), validate=True)
    facts: dict[str, object] = {
        "validation_accuracy": head.validation_accuracy,
        "validation_size": head.validation_size,
    }
    others = None
    if settings.estimator == "variational":
        fisher, head = _variational(probe, head, pixels, labels, settings, facts, progress)
    else:
        diagonal = settings.diagonal(len(labels), batch_size)
        fisher = fisher_diagonal(probe, head, pixels, labels, diagonal, progress)
        if refits:
            others = under_other_heads(probe, fit, pixels, labels, settings.seed, batch_size, progress)
    facts["images_used"] = fisher.samples
    check_informative(fisher.mean, decoded.task.name)
    end = time.perf_counter()
    method = VARIATIONAL if settings.estimator == "variational" else TASK2VEC
    return TaskEmbeddings(
        replace(
            from_chunks(fisher, method, settings.record(), end - begin, facts, probe),
            samples=len(labels),
            refits=others,
        ),
        mean_feature(z, settings.chunks, settings.seed, features_done - begin, probe),
        head,
    )


def _variational(
    probe: Probe,
    head: Head,
    pixels: np.ndarray,
    labels: np.ndarray,
    settings: Task2VecSettings,
    facts: dict[str, object],
    progress: Progress | None,
) -> tuple[ChunkSums, Head]:
    """The variational estimate as a single chunk, since it is one optimisation over all images, and its head."""
    found = variational_fisher(probe, head, pixels, labels, settings.variational, settings.seed, progress)
    facts["loss"] = found.loss.tolist()
    return ChunkSums(found.fisher[None], np.ones(1), len(labels)), found.head
