"""One trial: the error of one expert on one task, used in one way, learning from one sample of the images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2v_core.bank.records import FROZEN
from t2v_core.errors import InputError
from t2v_core.experts.errors import balanced_error, task_errors
from t2v_core.experts.schedules import Schedule
from t2v_core.experts.training import tune
from t2v_core.probe.probe import Probe
from t2v_core.probe.training import predict
from t2v_core.task.record import IntArray

LEAST = 2
"""Images of a class without which no head can be fitted and validated."""


def sample(labels: IntArray, train: NDArray[np.bool_], per_class: int, seed: int) -> IntArray:
    """Rows of a class-balanced sample; of one seed, a larger sample contains the smaller one.

    Args:
        labels: ``[N]`` class indices.
        train: ``[N]`` true for the images to draw from.
        per_class: images of each class; 0 takes all.
        seed: of the draw.

    Raises:
        InputError: a class has fewer images than asked for.
    """
    if per_class == 0:
        return np.flatnonzero(train)
    rng = np.random.default_rng([seed, 7])
    chosen = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(train & (labels == label)))
        if len(rows) < per_class:
            raise InputError(f"a class has {len(rows)} training images and {per_class} were asked for; take fewer")
        chosen.append(rows[:per_class])
    return np.sort(np.concatenate(chosen))


def trial_error(
    expert: Probe,
    pixels: NDArray[np.uint8],
    labels: IntArray,
    train: IntArray,
    test: IntArray,
    mode: str,
    schedule: Schedule,
) -> float:
    """Balanced error (%) on test images after learning from training images.

    Args:
        expert: the network.
        pixels: ``[N, S, S, 3]`` at its input size.
        labels: ``[N]`` class indices.
        train, test: rows.
        mode: ``FROZEN`` fits a linear head on the expert's features; ``TUNED`` trains head and features.
        schedule: of the fine-tuning; its seed is the trial's.
    """
    rows = np.concatenate([train, test])
    held_out = np.arange(len(rows)) >= len(train)
    if mode == FROZEN:
        features = expert.features(pixels[rows])
        return task_errors([features], labels[rows], held_out, schedule.body.seed)[0]
    _, known = np.unique(labels[rows], return_inverse=True)
    network, _ = tune(expert, pixels[train], known[~held_out], schedule)
    predicted = predict(network, expert.normalise(pixels[test])).argmax(1).cpu().numpy()
    return balanced_error(predicted, known[held_out])
