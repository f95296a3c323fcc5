"""Which layers of a network embed a task: those with filters that run, once, for every image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from t2v_core.errors import InputError

Layer = nn.Conv2d | nn.Linear
"""The kinds of layer whose filters embed a task: a filter is an output channel or an output row."""

LayerChoice = Literal["all", "last"]

LAST_SHARE = 0.25
"""Share of the layers that makes the last stage of a network whose resolution never changes (a ViT)."""


@dataclass(frozen=True)
class Run:
    """A layer as it ran on one image.

    Attributes:
        name: inside the network.
        layer: the module.
        positions: output positions or tokens.
    """

    name: str
    layer: Layer
    positions: int


def filters(layer: Layer) -> int:
    """Number of filters O."""
    return layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features


@torch.no_grad()
def trace(network: nn.Module, size: int, device: torch.device) -> tuple[Tensor, list[Run]]:
    """Run two random images through a network: their features ``[2, d]``, and the layers met, in network order.

    Fails before anything expensive does: the two images together must give what they give one by one,
    which BatchNorm or dropout in training mode, or any other mixing of a batch, would not.

    Raises:
        InputError: a layer runs more than once, the output is not one vector an image, or images are mixed.
    """
    positions: dict[str, list[int]] = {}

    def note(name: str, layer: Layer, output: Tensor) -> None:
        positions.setdefault(name, []).append(output.numel() // (2 * filters(layer)))

    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    handles = [
        module.register_forward_hook(lambda layer, _, output, name=name: note(name, layer, output))  # type: ignore[misc]
        for name, module in layers.items()
    ]
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    images = images.to(next(network.parameters()).dtype)
    try:
        together = network(images)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(together, Tensor) or together.dim() != 2:
        raise InputError("this network cannot be a probe: it does not give one feature vector an image")
    apart = torch.cat([network(images[:1]), network(images[1:])])
    if not torch.allclose(together, apart, rtol=1e-2, atol=1e-2 * float(together.abs().max())):
        raise InputError("this network cannot be a probe: an image's features depend on the others in its batch")
    repeated = [name for name, runs in positions.items() if len(runs) > 1]
    if repeated:
        raise InputError(f"this network cannot be a probe: layer {repeated[0]!r} runs more than once an image")
    return together, [Run(name, layer, positions[name][0]) for name, layer in layers.items() if name in positions]


def last_stage(runs: Sequence[Run]) -> list[Run]:
    """The layers of the last stage: from the last change of resolution on, the pooled ones included.

    Resolution falls from stage to stage in a convolutional network. Where it never changes, as in a
    vision transformer, the last quarter of the layers.
    """
    spatial = [run.positions for run in runs if run.positions > 1]
    if not spatial:
        return list(runs)
    start = next(i for i in range(len(runs)) if all(run.positions <= spatial[-1] for run in runs[i:]))
    share = int(len(runs) * (1 - LAST_SHARE))
    return list(runs[start if start > 1 else share :])
