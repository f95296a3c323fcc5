"""The architecture of the bundled probe: a small residual network for small images.

ResNet-20 (He et al. 2016, section 4.2) with projections on the shortcuts that change shape: three
blocks each of 16, 32 and 64 channels at full, half and quarter resolution, 0.27 million parameters.
It is fully convolutional up to global average pooling, so any input of at least 8x8 pixels is
accepted.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

Stages = tuple[tuple[int, int, int], ...]
"""``(channels, blocks, stride of the first block)`` of each stage."""

STAGES: Stages = ((16, 3, 1), (32, 3, 2), (64, 3, 2))
"""ResNet-20's."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; a 1x1 convolution on the shortcut where shapes differ."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, in, H, W]`` to ``[B, out, H / stride, W / stride]``."""
        out = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(out)) + self.downsample(x))


def residual_blocks(channels: int, stages: Stages) -> list[BasicBlock]:
    """The blocks of ``stages`` in a row, the first for ``channels`` channels."""
    blocks = []
    for wide, count, stride in stages:
        for index in range(count):
            blocks.append(BasicBlock(channels, wide, stride if index == 0 else 1))
            channels = wide
    return blocks


class ResNet20(nn.Module):
    """The bundled probe's network.

    Args:
        num_classes: outputs of the linear classifier ``fc``.
        width: times as many channels (the bundled probe's teacher is wider).

    Shape:
        input ``[B, 3, H, W]`` with ``H, W >= 8``; output ``[B, num_classes]`` logits.
    """

    def __init__(self, num_classes: int = 10, width: int = 1) -> None:
        super().__init__()
        channels = width * STAGES[0][0]
        self.conv1 = nn.Conv2d(3, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        stages = tuple((width * wide, count, stride) for wide, count, stride in STAGES)
        self.blocks = nn.Sequential(*residual_blocks(channels, stages))
        self.fc = nn.Linear(stages[-1][0], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: Tensor) -> Tensor:
        """Map ``[B, 3, H, W]`` to the pooled features ``[B, 64 * width]``."""
        out = functional.relu(self.bn1(self.conv1(x)))
        return torch.flatten(functional.adaptive_avg_pool2d(self.blocks(out), 1), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, 3, H, W]`` to logits ``[B, num_classes]``."""
        return self.fc(self.features(x))
