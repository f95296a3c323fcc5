"""The bundled probe: training it, saving it, loading it. It is what runs where there is no network."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from t2v_core.probe.blank import BlankNetwork
from t2v_core.probe.layers import LayerChoice
from t2v_core.probe.network import ResNet20
from t2v_core.probe.probe import Probe, make_probe, normalise
from t2v_core.probe.training import TrainingSettings, predict, train_classifier
from t2v_core.task.record import DecodedTask, InputSpec, Progress

WEIGHTS = Path(__file__).with_name("bundled.safetensors")
CARD = Path(__file__).with_name("bundled.json")
RESNET20 = "resnet20"
"""What a bank calls the bundled probe's architecture."""
SPEC = InputSpec(resize=32, crop=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
"""Channel statistics of CIFAR-10's training images."""

SCHEDULE = TrainingSettings(epochs=200, learning_rate=0.1, warmup=0.05, erase=0.5)
"""As ResNet-20 is usually trained, with random erasing."""


class ResNet20Features(nn.Module):
    """A ``ResNet20`` without its classifier: images ``[B, 3, H, W]`` to features ``[B, 64]``."""

    def __init__(self, network: ResNet20) -> None:
        super().__init__()
        self.conv1, self.bn1, self.blocks = network.conv1, network.bn1, network.blocks

    forward = ResNet20.features


def blank_bundled() -> BlankNetwork:
    """The bundled architecture's network, with weights still to come."""
    network = ResNet20()
    return BlankNetwork(network, SPEC, lambda: (ResNet20Features(network), network.fc))


def load_bundled(device: torch.device, weights: Path = WEIGHTS, layers: LayerChoice = "all") -> Probe:
    """Load the bundled probe from its safetensors file (float16 on disk, float32 in memory)."""
    network = ResNet20()
    network.load_state_dict({name: value.float() for name, value in load_file(weights).items()}, strict=False)
    card = json.loads(CARD.read_text())
    return make_probe(
        "bundled",
        "Bundled ResNet-20 (CIFAR-10)",
        ResNet20Features(network),
        network.fc,
        SPEC,
        f"trained on CIFAR-10 by `t2v_core probes train-bundled`, test accuracy {card['test_accuracy']:.2%}",
        device,
        layers,
    )


def half(network: nn.Module) -> dict[str, torch.Tensor]:
    """The state as float16 without BatchNorm's batch counters, which inference never reads; integers stay."""
    return {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def train_bundled(
    train: DecodedTask,
    test: DecodedTask,
    settings: TrainingSettings,
    device: torch.device,
    weights: Path,
    card: Path,
    progress: Progress | None = None,
) -> float:
    """Train the bundled probe from scratch and write its weights and card.

    Args:
        train, test: CIFAR-10's two splits decoded at 32x32.
        settings: the schedule; its seed also seeds the initial weights.
        weights, card: files to write (safetensors, JSON).

    Returns:
        Test accuracy of the weights as saved, in float16.
    """
    torch.manual_seed(settings.seed)
    network = ResNet20(len(train.task.classes)).to(device)
    images = normalise(train.pixels, SPEC, device)
    train_classifier(network, images, train.task.labels, settings, progress)
    state = half(network)
    network.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
    predicted = predict(network, normalise(test.pixels, SPEC, device)).argmax(1).cpu().numpy()
    accuracy = float(np.mean(predicted == test.task.labels))
    save_file(state, weights, metadata={"format": "pt"})
    record = {
        "network": "ResNet-20",
        "parameters": sum(p.numel() for p in network.parameters()),
        "data": "CIFAR-10, 50,000 training images (Krizhevsky 2009)",
        "train_content_hash": train.content_hash,
        "classes": list(train.task.classes),
        "test_accuracy": accuracy,
        "settings": asdict(settings),
        "transform": asdict(SPEC),
        "torch": torch.__version__,
        "license": "MIT",
    }
    card.write_text(json.dumps(record, indent=2) + "\n")
    return accuracy
