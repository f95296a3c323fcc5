"""A network before its weights: what its architecture alone determines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from t2v_core.task.record import InputSpec


@dataclass(frozen=True)
class BlankNetwork:
    """An architecture's network, with weights still to come.

    Attributes:
        network: maps normalised images to logits.
        spec: how the architecture's published weights want their images.
        detach: takes the classifier off, once; gives the network of features, and the classifier where it is one
            linear layer. They share their weights with ``network``, so those are loaded before.
        unused: beginnings of names in files of such a network that stand for parts that only training has a use for.
    """

    network: nn.Module
    spec: InputSpec
    detach: Callable[[], tuple[nn.Module, nn.Linear | None]]
    unused: tuple[str, ...] = ()
