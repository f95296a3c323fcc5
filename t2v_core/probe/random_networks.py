"""Randomly initialised residual networks: each is rebuilt, the same anywhere, from a seed and its number.

The weights come from NumPy's generator, so that a CPU and a GPU build the same networks. BatchNorm
normalises by its batch, in which it differs from a frozen probe's: WLF section 6 reads the gradient as the
first step of training, which runs in training mode, and a random network has no other statistics to offer.
(Without it, as the identity, 48 networks found the twins of CIFAR-100's superclasses about equally often.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from t2v_core.probe.bundled import SPEC
from t2v_core.probe.network import Stages, residual_blocks
from t2v_core.task.record import InputSpec

Architecture = Literal["resnet18", "small"]

SMALL: Stages = ((16, 1, 1), (48, 2, 2), (80, 2, 2))
"""The stages of the small networks. They are not the bundled probe's and do not follow it: embeddings are compared by
architecture and seed, so what a name stands for must not change."""

SPECS: dict[Architecture, InputSpec] = {
    "resnet18": InputSpec(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "small": SPEC,
}
"""How each architecture wants its images: as the pre-trained probe of the same size does."""


@dataclass(frozen=True)
class RandomNetwork:
    """A residual network cut before its last residual block.

    Attributes:
        trunk: maps normalised images ``[B, 3, S, S]`` to the block's input; its parameters require no gradient.
        block: the last residual block.
    """

    trunk: nn.Sequential
    block: nn.Module

    def features(self, images: Tensor) -> Tensor:
        """Features ``[B, d]``: the block's output averaged over positions, differentiable in its parameters."""
        return torch.flatten(functional.adaptive_avg_pool2d(self.block(self.trunk(images)), 1), 1)


def random_network(architecture: Architecture, seed: int, number: int, device: torch.device) -> RandomNetwork:
    """Network ``number`` of the family ``(architecture, seed)``: He-normal convolutions, BatchNorm at its start.

    Args:
        architecture: ``"resnet18"`` (torchvision's) or ``"small"`` (``SMALL``).
        seed: of the family.
        number: 0, 1, ...; a network does not depend on how many others there are.
        device: where to put it.
    """
    # Built without memory, since the modules' own initial weights would be thrown away.
    with torch.device("meta"):
        trunk, block = _small() if architecture == "small" else _resnet18()
    rng = np.random.default_rng([seed, number, 1])
    for module in [*trunk.modules(), *block.modules()]:
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            weight = rng.standard_normal(module.weight.shape, np.float32) * np.float32(math.sqrt(2 / fan_out))
            module.weight = nn.Parameter(torch.from_numpy(weight).to(device, memory_format=torch.channels_last))
        elif isinstance(module, nn.BatchNorm2d):
            module.weight = nn.Parameter(torch.ones(module.num_features, device=device))
            module.bias = nn.Parameter(torch.zeros(module.num_features, device=device))
            module.running_mean = module.running_var = module.num_batches_tracked = None
    trunk.requires_grad_(False)
    return RandomNetwork(trunk, block)


def _small() -> tuple[nn.Sequential, nn.Module]:
    channels = SMALL[0][0]
    *before, last = residual_blocks(channels, SMALL)
    stem = nn.Conv2d(3, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
    return nn.Sequential(*stem, *before), last


def _resnet18() -> tuple[nn.Sequential, nn.Module]:
    from torchvision.models import resnet18

    network = resnet18()
    stem = (network.conv1, network.bn1, network.relu, network.maxpool)
    *before, last = network.layer4
    return nn.Sequential(*stem, network.layer1, network.layer2, network.layer3, *before), last
