"""The bundled probe: what runs where there is no network; ``bundled_training`` tells how it was made."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from t2v_core.probe.blank import BlankNetwork
from t2v_core.probe.layers import LayerChoice
from t2v_core.probe.network import ResNet20
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.task.record import InputSpec

WEIGHTS = Path(__file__).with_name("bundled.safetensors")
CARD = Path(__file__).with_name("bundled.json")
RESNET20 = "resnet20"
"""What a bank calls the bundled probe's architecture."""
SPEC = InputSpec(resize=32, crop=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
"""Channel statistics of CIFAR-10's training images."""


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
        "trained on CIFAR-10 by the recipe of `t2v_core probes train-bundled`, test accuracy "
        f"{card['test_accuracy']:.2%} in bfloat16, {card['test_accuracy_float32']:.2%} in float32",
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
