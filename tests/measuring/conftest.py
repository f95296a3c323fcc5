"""A tiny bank: three targets, two experts with random weights, errors made up; and its tasks with their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import ErrorEntry, ExpertRecord
from t2v_core.experts.weights import keep_weights
from t2v_core.pipeline import task_record, training_digests
from t2v_core.probe.bundled import RESNET20, ResNet20Features
from t2v_core.probe.network import ResNet20
from t2v_core.task.worlds import WorldTask

ROLES = {"shapes": "large", "textures": "large", "sizes": "twin", "counts": "mixed", "colours": "attribute"}
EXPERTS = ("shapes", "textures")


@pytest.fixture(scope="session")
def tiny(worlds) -> list[WorldTask]:
    """Five tasks of a few images, and one over the same images as another with its labels turned round."""
    found = [few(worlds[name], kind) for name, kind in ROLES.items()]
    same = found[2]
    task = same.decoded.task
    relabelled = replace(task, name="sizes, turned round", labels=len(task.classes) - 1 - task.labels)
    return [*found, WorldTask("turned", replace(same.decoded, task=relabelled), "twin")]


def few(world: WorldTask, kind: str) -> WorldTask:
    """Nine images of each of the first three classes, every third held out."""
    labels = world.decoded.task.labels
    rows = np.concatenate([np.flatnonzero(labels == k)[:9] for k in range(3)])
    decoded = world.decoded.take(rows)
    task = replace(decoded.task, held_out=np.arange(len(rows)) % 3 == 2, classes=decoded.task.classes[:3])
    return WorldTask(world.id, replace(decoded, task=task), kind)


@pytest.fixture
def tiny_bank(tiny: Sequence[WorldTask], bundled, tmp_path) -> Bank:
    """The bank of these tasks, nothing measured on it yet."""
    bank, rng = Bank(tmp_path / "tiny"), np.random.default_rng(0)
    for world in tiny:
        bank.save_task(
            task_record(world.id, world.decoded, world.kind), training_digests(world.decoded), [], bundled.info
        )
    for number, task in enumerate(EXPERTS):
        torch.manual_seed(number)
        file, sha256 = keep_weights(ResNet20Features(ResNet20()), bank.weights)
        bank.save_expert(ExpertRecord(f"expert-{task}", task, RESNET20, file.name, sha256, task))
    bank.save_errors(
        ErrorEntry(w.id, f"expert-{t}", float(rng.uniform(5, 60)), 9, "made") for w in tiny for t in EXPERTS
    )
    return bank
