"""Fine-tuning an expert from a pre-trained network (T2V section 4 and supplement 4.1)."""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from t2v_core.errors import InputError
from t2v_core.experts.schedules import SCALED, Schedule
from t2v_core.experts.weights import keep_weights
from t2v_core.probe.heads import fit_by_epochs, fit_heads
from t2v_core.probe.probe import Probe
from t2v_core.probe.training import train_classifier
from t2v_core.task.record import DecodedTask, Progress


@dataclass(frozen=True)
class TrainedExpert:
    """The outcome of a fine-tuning: a weights file and how it came about."""

    file: Path
    sha256: str
    training: dict[str, object]


def fine_tune(
    probe: Probe,
    decoded: DecodedTask,
    folder: Path,
    schedule: Schedule = SCALED,
    progress: Progress | None = None,
) -> TrainedExpert:
    """Fine-tune a network on a task and keep its features.

    Args:
        probe: the network to start from.
        decoded: the task at the network's input size; held-out images are not used.
        folder: where the weights (safetensors, without the head) are written under their hash.
        schedule: of the training.
        progress: called after every epoch.
    """
    begin = time.perf_counter()
    rows = np.flatnonzero(~decoded.task.held_out)
    classes, labels = np.unique(decoded.task.labels[rows], return_inverse=True)
    network, loss = tune(probe, decoded.pixels[rows], labels, schedule, progress)
    file, sha256 = keep_weights(network.features, folder)
    training = {
        "from": probe.info.id,
        "from_weights": probe.info.weights_hash,
        "settings": asdict(schedule.body),
        "schedule": schedule.key,
        "head_epochs": schedule.head_epochs,
        "content": decoded.content_hash,
        "images": len(rows),
        "classes": len(classes),
        "final_loss": loss,
        "seconds": round(time.perf_counter() - begin, 1),
    }
    return TrainedExpert(file, sha256, training)


class Tuned(nn.Sequential):
    """Features ``[B, d]`` and the linear classifier trained with them, in a row."""

    features: nn.Module
    fc: nn.Linear


def tune(
    probe: Probe, pixels: NDArray[np.uint8], labels: np.ndarray, schedule: Schedule, progress: Progress | None = None
) -> tuple[Tuned, float]:
    """Train a copy of a network on images: first a new head alone, then everything.

    Args:
        probe: the network to start from; it stays as it is.
        pixels: ``[N, S, S, 3]`` at its input size.
        labels: ``[N]`` class indices in ``0..K-1``, each of which occurs.
        schedule: of the training.
        progress: called after every epoch.

    Returns:
        The trained network, in eval mode, and the mean loss of its last epoch.

    Raises:
        InputError: the training has diverged.
    """
    seed, num_classes = schedule.body.seed, int(labels.max()) + 1
    z = probe.features(pixels)
    if schedule.head_epochs:
        head = fit_by_epochs(z, labels, num_classes, schedule.head_epochs, seed)
    else:
        (head,) = fit_heads(z[None], labels, num_classes, seed)
    torch.manual_seed(seed)  # networks with dropout draw from torch's own generator
    features = copy.deepcopy(probe.network).requires_grad_(True)
    classifier = nn.Linear(z.shape[1], num_classes)
    with torch.no_grad():
        classifier.weight.copy_(torch.from_numpy(head.weight))
        classifier.bias.copy_(torch.from_numpy(head.bias))
    network = Tuned(OrderedDict(features=features, fc=classifier)).to(probe.device)
    images: Tensor = probe.normalise(pixels)
    loss = train_classifier(network, images, labels, schedule.body, progress)
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise InputError(
            f"the training of {probe.info.title} has failed: its weights are not finite; choose the schedule 'paper', "
            "whose steps are smaller, or start from another network"
        )
    return network, loss
