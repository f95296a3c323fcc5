"""Reading a frozen network's layer inputs and output gradients without changing the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Sink = Callable[[int, Tensor, Tensor], None]
"""``sink(layer number, layer input, gradient with respect to the layer's output)``."""


@contextmanager
def watch(layers: Sequence[nn.Module], sink: Sink) -> Iterator[None]:
    """While active, every backward pass hands each layer's input and output gradient to ``sink``.

    No parameter of the network requires a gradient: the graph starts at the first watched layer's
    output. All hooks are gone when the context ends, however it ends.

    Args:
        layers: the modules to watch; each must run once a forward pass.
        sink: called during the backward pass, one layer at a time, so that no gradient has to be kept.
    """

    def hook_for(number: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            (entered,) = inputs
            entered = entered.detach()
            version = entered._version
            if not output.requires_grad:
                output = output.requires_grad_()

            def receive(gradient: Tensor) -> None:
                if entered._version != version:
                    raise RuntimeError(f"the input of layer {number} was changed in place after it was used")
                sink(number, entered, gradient)

            output.register_hook(receive)
            # A copy, so that an in-place activation after this layer does not write on a leaf.
            return output.clone() if output.is_leaf else output

        return hook

    handles = [layer.register_forward_hook(hook_for(number)) for number, layer in enumerate(layers)]
    try:
        with torch.enable_grad():
            yield
    finally:
        for handle in handles:
            handle.remove()
