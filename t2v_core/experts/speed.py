"""What a fine-tuning costs on this machine, measured before it is begun."""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from typing import Any

import numpy as np
from torch import nn

from t2v_core.experts.schedules import BRIEF, SCALED, choose_schedule
from t2v_core.experts.training import Tuned
from t2v_core.probe.probe import Probe
from t2v_core.probe.training import TrainingSettings, train_classifier

OFFERED = (BRIEF.name, SCALED.name)
"""Schedules whose cost is told; the papers' own takes a machine of theirs."""

BATCH, BATCHES = 64, 2
"""Enough to time: the steps of a training are all alike."""


def seconds_per_image(probe: Probe) -> float:
    """Wall seconds that one image takes once through a training of a network, measured on images of noise."""
    side = probe.info.spec.crop
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8)
    width = probe.features(pixels[:2]).shape[1]
    features = copy.deepcopy(probe.network).requires_grad_(True)
    network = Tuned(OrderedDict(features=features, fc=nn.Linear(width, 2))).to(probe.device)
    settings = TrainingSettings(epochs=2, images_per_epoch=BATCH * BATCHES, batch_size=BATCH)
    ends: list[float] = []  # of the epochs; the first warms up
    train_classifier(
        network,
        probe.normalise(pixels),
        np.arange(BATCH) % 2,
        settings,
        lambda *_: ends.append(time.perf_counter()),
    )
    return (ends[1] - ends[0]) / (BATCH * BATCHES)


def training_costs(probe: Probe, before: float) -> list[dict[str, Any]]:
    """What each schedule would take, as JSON: ``schedule, epochs, images_per_epoch, seconds``.

    Args:
        probe: the network to start from.
        before: seconds of reading and embedding the task, which come first.
    """
    each = seconds_per_image(probe)
    rows = []
    for name in OFFERED:
        body = choose_schedule(name, probe.info.spec).body
        images = body.epochs * body.images_per_epoch
        rows.append(
            {
                "schedule": name,
                "epochs": body.epochs,
                "images_per_epoch": body.images_per_epoch,
                "seconds": round(before + each * images, 1),
            }
        )
    return rows
