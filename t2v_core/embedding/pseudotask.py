"""PseudoTask (WLF section 5): Task2Vec of unlabelled images, the probe's own classifier in place of labels.

The soft predictions Theta(x) of the probe's original classifier stand for the labels; a new head is fitted to
them and F taken as ever. The embedding tells which images a task has, not what is asked of them: two tasks over the
same images are one and the same to it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from t2v_core.embedding.by_probe import check_informative, check_varied, from_chunks
from t2v_core.embedding.record import PSEUDOTASK, Embedding
from t2v_core.embedding.refits import under_other_heads
from t2v_core.embedding.task2vec import PUBLISHED, Task2VecSettings
from t2v_core.errors import InputError
from t2v_core.fisher.diagonal import fisher_diagonal
from t2v_core.fisher.sums import ChunkSums
from t2v_core.fisher.variational import variational_fisher
from t2v_core.probe.heads import Head
from t2v_core.probe.probe import Probe
from t2v_core.probe.soft_heads import fit_regularised_soft_head, fit_two_soft_epochs
from t2v_core.probe.training import augment
from t2v_core.task.record import DecodedTask, Progress


@dataclass(frozen=True)
class PseudoTaskSettings(Task2VecSettings):
    """Options of the embedding: those of Task2Vec, and what the teacher says.

    Attributes:
        labels: ``"soft"``, the teacher's distribution; or ``"hard"``, all of it on its most probable class, which
            WLF 7.5 found far worse.
    """

    labels: Literal["soft", "hard"] = "soft"


ALGORITHM_1 = PseudoTaskSettings(**vars(PUBLISHED))
"""WLF's own: a head of two epochs, then ten of the variational loss on augmented images."""


def embed_pseudotask(
    decoded: DecodedTask,
    probe: Probe,
    settings: PseudoTaskSettings | None = None,
    *,
    batch_size: int = 32,
    refits: bool = False,
    progress: Progress | None = None,
) -> Embedding:
    """Embed a task without reading its labels: teacher, head, Fisher diagonal of the probe's filters.

    Args:
        decoded: the task; its held-out images are not used, its labels never.
        probe: the frozen network, with its classifier.
        settings: options. With ``"variational"`` the images are randomly shifted and mirrored and the teacher asked
            anew for each.
        batch_size: images a pass.
        refits: measure how far the vector moves with the head (``embedding.refits``); not with ``"variational"``.
        progress: called with stages "features", "Fisher" and "other heads".

    Returns:
        The embedding. Its facts say how soft the teacher is here: ``softness``, the mean entropy of Theta over
        log K (0 sure, 1 no idea); ``confidence``, the mean of its largest probability; ``classes_predicted``, how
        many classes are the most probable of some image; and ``agreement`` of the head with it.

    Raises:
        InputError: the probe has no classifier, or one whose weights are not finite; or the images or hard labels are
            all the same.
    """
    settings = settings or PseudoTaskSettings()
    name, pixels = decoded.task.name, decoded.pixels[~decoded.task.held_out]
    teacher = _teacher(probe)
    begin = time.perf_counter()
    if len(pixels) < 2:
        raise InputError(f"{name!r} has fewer than two images; PseudoTask compares images, so add some")
    z = probe.features(pixels, progress=progress)
    check_varied(z, name)
    theta = torch.softmax(teacher.logits(z), 1)
    check_varied(theta, name)  # a teacher that says the same of every image teaches nothing: F would be rounding
    facts = softness(theta)
    if settings.labels == "hard" and facts["classes_predicted"] == 1:
        raise InputError(f"the probe's classifier puts all images of {name!r} into one class; use soft labels")
    goal = _labels(theta, settings)

    def fit(rows: NDArray[np.int64]) -> Head:
        at = torch.from_numpy(rows).to(z.device)
        if settings.weight_decay is None:
            return fit_two_soft_epochs(z[at], goal[at], settings.seed)
        return fit_regularised_soft_head(z[at], goal[at], settings.weight_decay)

    head = fit(np.arange(len(pixels)))
    others = None
    facts["agreement"] = head.validation_accuracy
    if settings.estimator == "variational":
        found = _variational(probe, teacher, head, pixels, settings, facts, progress)
    else:
        diagonal = settings.diagonal(len(pixels), batch_size)
        found = fisher_diagonal(probe, head, pixels, _no_labels(pixels), diagonal, progress)
        if refits:
            others = under_other_heads(probe, fit, pixels, _no_labels(pixels), settings.seed, batch_size, progress)
    facts["images_used"] = found.samples
    check_informative(found.mean, name)
    seconds = time.perf_counter() - begin
    embedding = from_chunks(found, PSEUDOTASK, settings.record(), seconds, facts, probe)
    return replace(embedding, samples=len(pixels), refits=others)


def softness(theta: Tensor) -> dict[str, object]:
    """How sure a classifier is of its images.

    Args:
        theta: ``[N, K]`` probabilities.

    Returns:
        ``softness``, ``confidence`` and ``classes_predicted``, see ``embed_pseudotask``.
    """
    entropy = torch.special.entr(theta.double()).sum(1).mean()
    return {
        "softness": float(entropy) / math.log(theta.shape[1]),
        "confidence": float(theta.max(1).values.mean()),
        "classes_predicted": len(theta.argmax(1).unique()),
    }


def _teacher(probe: Probe) -> Head:
    """The probe's original classifier as a head on its features."""
    classifier = probe.classifier
    if classifier is None or classifier.out_features < 2:
        raise InputError(
            f"{probe.info.title} comes without a classifier of its own, which PseudoTask needs as its teacher; choose "
            "another probe, or the domain embedding"
        )
    weight = classifier.weight.detach().float().cpu().numpy()
    bias = np.zeros(len(weight), np.float32)
    if classifier.bias is not None:
        bias = classifier.bias.detach().float().cpu().numpy()
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise InputError(
            f"the classifier of {probe.info.title} has weights that are no numbers; take its weights from their source "
            "again"
        )
    return Head(weight, bias, 0.0, 0, 0)


def _labels(theta: Tensor, settings: PseudoTaskSettings) -> Tensor:
    """The soft or hard pseudo-labels ``[N, K]`` behind the teacher's probabilities."""
    if settings.labels == "soft":
        return theta
    return functional.one_hot(theta.argmax(1), theta.shape[1]).to(theta.dtype)


def _no_labels(pixels: np.ndarray) -> np.ndarray:
    """One class for all images: nothing to balance."""
    return np.zeros(len(pixels), dtype=np.int64)


def _variational(
    probe: Probe,
    teacher: Head,
    head: Head,
    pixels: np.ndarray,
    settings: PseudoTaskSettings,
    facts: dict[str, object],
    progress: Progress | None,
) -> ChunkSums:
    """The variational estimate as a single chunk: it is one optimisation over all images."""
    generator = torch.Generator().manual_seed(settings.seed)

    @torch.no_grad()
    def batch(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        images = probe.normalise(pixels[rows])
        images = augment(images, padding=images.shape[-1] // 8, flip=True, generator=generator)
        return images, _labels(torch.softmax(teacher.logits(probe.network(images).float()), 1), settings)

    labels = _no_labels(pixels)
    found = variational_fisher(probe, head, pixels, labels, settings.variational, settings.seed, progress, batch=batch)
    facts["loss"] = found.loss.tolist()
    return ChunkSums(found.fisher[None], np.ones(1), len(pixels))
