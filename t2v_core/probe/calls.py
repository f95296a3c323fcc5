"""Reading what a network does with its weights while it runs, without touching the network.

Every product of a weight and an activation ends in one of torch's functions for convolutions and linear maps,
whether a module was called or its weight was handed to a function. So those functions are listened to: no hook,
attribute or buffer is set on anyone's module, and a layer is known by the weight it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = {torch.conv1d: 1, torch.conv2d: 2}
"""torch's functions, and over how many dimensions they slide."""


@dataclass(frozen=True)
class Call:
    """A weight at work: one call of a convolution or a linear map.

    Attributes:
        inputs: ``[B, C, H, W]`` for a convolution (H = 1 for one over sequences), ``[..., D]`` for a linear map.
        weight: as it was handed over: ``[O, C / groups, kh, kw]`` (``[O, C / groups, kw]`` over sequences), ``[O, D]``.
        padding: zeros added left, right, above and below; other padding a network has done before it calls.
        stride, dilation: down and across.
        groups: of channels.
    """

    inputs: Tensor
    weight: Tensor
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def linear(self) -> bool:
        """Whether it is a linear map."""
        return self.weight.dim() == 2

    @property
    def filters(self) -> int:
        """Number of filters O: output channels or output rows."""
        return len(self.weight)

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of a convolution's kernel."""
        height, width = (1, *self.weight.shape[2:])[-2:]
        return height, width

    def padded(self, inputs: Tensor) -> Tensor:
        """``inputs``, shaped as the call's own, as a convolution's kernel slides over them."""
        return functional.pad(inputs, self.padding) if any(self.padding) else inputs


def read_call(function: Callable[..., Any], arguments: Sequence[Any], named: dict[str, Any]) -> Call | None:
    """What a call of one of torch's functions does with a weight; None where it is no product this engine reads."""
    if function is functional.linear:
        return _linear(*arguments, **named)
    if function in CONVOLUTIONS:
        return _convolution(CONVOLUTIONS[function], *arguments, **named)
    return None


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Call:
    return Call(input, weight)


def _convolution(
    dimensions: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Call:
    down, across = _pair(dilation, 1, dimensions)
    if padding == "same":
        # As torch does: what an even kernel leaves over is added on the far side.
        spare = [d * (k - 1) for d, k in zip((down, across), (1, *weight.shape[2:])[-2:], strict=True)]
        sides = (spare[1] // 2, spare[1] - spare[1] // 2, spare[0] // 2, spare[0] - spare[0] // 2)
    else:
        above, left = _pair(0 if padding == "valid" else padding, 0, dimensions)
        sides = (left, left, above, above)
    inputs = input if dimensions == 2 else input.unsqueeze(2)
    return Call(inputs, weight, sides, _pair(stride, 1, dimensions), (down, across), groups)


def _pair(value: Any, still: int, dimensions: int) -> tuple[int, int]:
    """An option of a convolution down and across; ``still`` is its value along a dimension that is not there."""
    values = (value,) * dimensions if isinstance(value, int) else tuple(value) * (dimensions // len(value))
    return (values[0], values[1]) if dimensions == 2 else (still, values[0])


class Listener(TorchFunctionMode):
    """While active, hands every call that multiplies by a weight to ``heard``, which may put another output in place.

    Args:
        heard: ``(call, output) -> output``.
    """

    def __init__(self, heard: Callable[[Call, Tensor], Tensor]) -> None:
        super().__init__()
        self.heard = heard

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one of torch's functions and tell of it."""
        output = func(*args, **(kwargs or {}))
        call = read_call(func, args, kwargs or {})
        return output if call is None else self.heard(call, output)


class Substitute(TorchFunctionMode):
    """While active, every call that multiplies by some weights multiplies by others in their place.

    A ``Listener`` inside of it still hears of the weights that the network has.

    Args:
        others: by ``id`` of the weight that gives way.
    """

    def __init__(self, others: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.others = others

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one of torch's functions, with another weight where there is one."""
        named = dict(kwargs or {})
        call = read_call(func, args, named)
        other = None if call is None else self.others.get(id(call.weight))
        if other is not None and len(args) > 1:
            args = (args[0], other, *args[2:])
        elif other is not None:
            named["weight"] = other
        return func(*args, **named)
