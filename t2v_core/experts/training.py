"""Fine-tuning an expert from the bundled probe (T2V section 4 and supplement 4.1)."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import nn

from t2v_core.errors import InputError
from t2v_core.probe.bundled import SPEC, SmallResNetFeatures, half
from t2v_core.probe.heads import fit_heads
from t2v_core.probe.network import SmallResNet
from t2v_core.probe.probe import Probe, make_probe, normalise
from t2v_core.probe.training import TrainingSettings, train_classifier
from t2v_core.task.record import DecodedTask, Progress

ARCHITECTURE = "small-resnet"

FINE_TUNING = TrainingSettings(epochs=24, images_per_epoch=2000, batch_size=64, learning_rate=0.05, balanced=True)
"""The papers' 60 epochs of 10,000 images, scaled to a network and tasks a hundredth of the size."""


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
    settings: TrainingSettings = FINE_TUNING,
    progress: Progress | None = None,
) -> TrainedExpert:
    """Fine-tune the bundled probe on a task: first the head alone, to convergence, then everything.

    Args:
        probe: the bundled probe.
        decoded: the task at the probe's input size; held-out images are not used.
        folder: where the weights (float16 safetensors, without the head) are written under their hash.
        settings: the schedule of the second phase.
    """
    begin = time.perf_counter()
    rows = np.flatnonzero(~decoded.task.held_out)
    classes, labels = np.unique(decoded.task.labels[rows], return_inverse=True)
    (head,) = fit_heads(probe.features(decoded.pixels[rows])[None], labels, len(classes), settings.seed)
    torch.manual_seed(settings.seed)
    network = SmallResNet(len(classes))
    network.load_state_dict(probe.network.state_dict(), strict=False)
    with torch.no_grad():
        network.fc.weight.copy_(torch.from_numpy(head.weight))
        network.fc.bias.copy_(torch.from_numpy(head.bias))
    network.to(probe.device)
    images = normalise(decoded.pixels[rows], SPEC, probe.device)
    loss = train_classifier(network, images, labels, settings, progress)
    file, sha256 = keep_weights(SmallResNetFeatures(network), folder)
    training = {
        "from": probe.info.id,
        "from_weights": probe.info.weights_hash,
        "settings": asdict(settings),
        "images": len(rows),
        "classes": len(classes),
        "final_loss": loss,
        "seconds": round(time.perf_counter() - begin, 1),
    }
    return TrainedExpert(file, sha256, training)


def keep_weights(network: nn.Module, folder: Path) -> tuple[Path, str]:
    """Write a network's state as float16 safetensors, named by its content; returns the file and its SHA-256."""
    data = save(half(network), metadata={"format": "pt"})
    sha256 = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{sha256[:16]}.safetensors"
    temporary = folder / f".{file.name}.{os.getpid()}"
    temporary.write_bytes(data)
    temporary.replace(file)
    return file, sha256


def load_expert(file: Path, sha256: str, device: torch.device) -> Probe:
    """Load an expert's features network, frozen.

    Raises:
        InputError: the file is missing, damaged, or does not hold this architecture's weights.
    """
    if not file.is_file():
        raise InputError(f"the expert's weights {file.name} are missing from the bank; import or build it again")
    if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        raise InputError(f"the expert's weights {file.name} do not match their checksum; import or build it again")
    network = SmallResNetFeatures(SmallResNet())
    _load_state(network, file)
    return make_probe(ARCHITECTURE, "expert", network, None, SPEC, "expert", device)


def _load_state(network: nn.Module, file: Path) -> None:
    state = {name: value.float() for name, value in load_file(file).items()}
    missing = [name for name in network.state_dict() if name not in state and not name.endswith("num_batches_tracked")]
    if missing or any(not bool(torch.isfinite(value).all()) for value in state.values()):
        raise InputError(f"{file.name} does not hold the weights of a {ARCHITECTURE}; give the file of such an expert")
    network.load_state_dict(state, strict=False)
