"""Handing an expert over to the person it was fine-tuned for: with a head, and how good it is if that can be told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from t2v_core.bank.records import ExpertRecord
from t2v_core.experts.compare import Fitted, compare_experts
from t2v_core.experts.export import export_expert
from t2v_core.experts.heads import fit_each
from t2v_core.experts.weights import load_expert
from t2v_core.task.record import Task

UNTESTED = "every image was trained on"


def hand_over(
    expert: ExpertRecord,
    folder: Path,
    pixels: NDArray[np.uint8],
    task: Task,
    seed: int,
    device: torch.device,
    out: Path | None,
) -> dict[str, Any]:
    """``pack_trained`` into a folder; what there is to say of it, as JSON. Without a folder nothing is done."""
    if out is None:
        return {}
    data, fitted = pack_trained(expert, folder, pixels, task, seed, device)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{expert.id}.zip").write_bytes(data)
    tested = {name: getattr(fitted, name) for name in ("accuracy", "low", "high", "n")}
    return {"download": f"{expert.id}.zip", "tested": tested if fitted.n else None}


def pack_trained(
    expert: ExpertRecord, folder: Path, pixels: NDArray[np.uint8], task: Task, seed: int, device: torch.device
) -> tuple[bytes, Fitted]:
    """An expert and a head fitted on the images it was fine-tuned on, as one zip (see ``export_expert``).

    Args:
        expert: its record.
        folder: the bank's weights.
        pixels: ``[N, S, S, 3]`` of the task, at the expert's input size.
        task: whose images these are; only held-out ones, which the training did not see, say how good it is.
        seed: of the head's validation split.
        device: where to compute.

    Returns:
        The zip, and the head; of ``n = 0`` images where none was held out.
    """
    features = load_expert(expert, folder, device).features(pixels)
    held_out = task.held_out
    present, labels = np.unique(task.labels, return_inverse=True)
    if held_out.any():
        (fitted,) = compare_experts([features], labels, held_out, seed)
    else:
        (head,) = fit_each([features], labels, ~held_out, len(present), seed)
        fitted = Fitted(0.0, 0.0, 1.0, 0, UNTESTED, head)
    start = expert.training.get("from_expert")
    facts = {
        "expert": expert.name,
        "trained_on": task.name + (f", starting from the expert {start}" if start else ""),
        "task": task.name,
        "images": int((~held_out).sum()),
        "distance": None,
        "p_first": None,
        "selector": None,
        "tuned": True,
        "weights_sha256": expert.weights_sha256,
        "created": time.strftime("%Y-%m-%d"),
    }
    return export_expert(expert, folder, fitted, tuple(task.classes[k] for k in present), facts), fitted
