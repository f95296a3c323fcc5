"""Reading a frozen network's layer inputs and output gradients without changing the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from t2v_core.probe.calls import Call, Listener

Sink = Callable[[int, Call, Tensor], None]
"""``sink(layer number, its call, gradient with respect to the call's output)``."""


@contextmanager
def watch(weights: Sequence[Tensor], sink: Sink) -> Iterator[None]:
    """A forward pass inside lets every backward pass through it hand calls and output gradients to ``sink``.

    No parameter of the network requires a gradient: the graph starts at the output of the first call with a watched
    weight. Nothing is hung on the network.

    Args:
        weights: the parameters to watch; each must be used once a forward pass.
        sink: called during the backward pass, one layer at a time, so that no gradient has to be kept.
    """
    numbers = {id(weight): number for number, weight in enumerate(weights)}

    def heard(call: Call, output: Tensor) -> Tensor:
        number = numbers.get(id(call.weight))
        if number is None:
            return output
        call = replace(call, inputs=call.inputs.detach())
        version = call.inputs._version
        if not output.requires_grad:
            output = output.requires_grad_()

        def receive(gradient: Tensor) -> None:
            if call.inputs._version != version:
                raise RuntimeError(f"the input of layer {number} was changed in place after it was used")
            sink(number, call, gradient)

        output.register_hook(receive)
        # A copy, so that an in-place activation after this layer does not write on a leaf.
        return output.clone() if output.is_leaf else output

    with torch.enable_grad(), Listener(heard):
        yield
