"""A bank that keeps what unlabelled tasks and untrained networks are compared by, and folders without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from t2v_core.bank.bank import Bank
from t2v_core.embedding.pseudotask import PseudoTaskSettings, embed_pseudotask
from t2v_core.embedding.tangent import KEPT, embed_tangents
from t2v_core.probe.probe import Probe
from t2v_core.task.record import DecodedTask
from t2v_core.task.worlds import WorldTask


def keep_methods(bank: Bank, probe: Probe, worlds: dict[str, WorldTask]) -> None:
    """Add PseudoTask and Task Tangent embeddings of the experts' own tasks to a bank."""
    records, sets = {t.id: t for t in bank.tasks()}, bank.image_sets()
    ids = [e.task_id for e in bank.experts() if e.task_id is not None]
    tangents = embed_tangents([_one_batch(worlds[i].decoded) for i in ids], KEPT)
    for task_id, tangent in zip(ids, tangents, strict=True):
        record = records[task_id]
        pseudo = embed_pseudotask(worlds[task_id].decoded, probe, PseudoTaskSettings(total_draws=500))
        bank.save_task(record, sets[record.image_set], [pseudo, tangent], probe.info)


def _one_batch(decoded: DecodedTask) -> DecodedTask:
    """As many training images as one batch holds, which spares the further ones."""
    rows = np.random.default_rng(0).permutation(np.flatnonzero(~decoded.task.held_out))
    return decoded.take(np.sort(rows[: KEPT.batch_size]))


def write_flat(root: Path, decoded: DecodedTask, count: int) -> Path:
    """Write images as PNG files into one folder, no labels anywhere."""
    root.mkdir(parents=True)
    for row in np.random.default_rng(0).permutation(len(decoded))[:count]:
        Image.fromarray(decoded.pixels[row]).save(root / f"{row:04d}.png")
    return root
