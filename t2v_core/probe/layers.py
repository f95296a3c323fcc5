"""Which layers of a network embed a task: the weights it multiplies by, each once, for every image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from t2v_core.errors import InputError
from t2v_core.probe.calls import Call, Listener, read_call

LayerChoice = Literal["all", "last"]

LAST_SHARE = 0.25
"""Share of the layers that makes the last stage of a network whose resolution never changes (a ViT)."""

TOLERANCE = 1e-2
"""Relative to the largest: by how much the same image may differ alone and among others, by rounding."""

RECURRENT = frozenset({f"{kind}{cell}" for kind in ("lstm", "gru", "rnn_tanh", "rnn_relu") for cell in ("", "_cell")})

PRODUCTS = RECURRENT | {
    *("matmul", "__matmul__", "__rmatmul__", "mm", "mv", "bmm", "addmm", "addmv", "addbmm", "baddbmm", "bilinear"),
    *("einsum", "tensordot", "inner", "chain_matmul", "linalg_multi_dot"),
}
"""Names of torch's other products: a matrix in one of them is multiplied by, whoever keeps it."""


@dataclass(frozen=True)
class Run:
    """A layer as it ran on one image.

    Attributes:
        name: inside the network.
        weight: its parameter, ``[O, ...]``: a filter is an output channel or an output row.
        positions: output positions or tokens.
        shared: its input is the same for every image, as in a network that computes its position biases.
    """

    name: str
    weight: Tensor
    positions: int
    shared: bool


def weights_by_name(network: nn.Module) -> dict[str, nn.Parameter]:
    """A network's parameters in its order, a layer's weight under the layer's own name."""
    return {name.removesuffix(".weight"): value for name, value in network.named_parameters()}


def check_readable(network: nn.Module) -> None:
    """Refuse a network that convolves over volumes, or whose layers make their weights of other parameters.

    Raises:
        InputError: it does; names the layer.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | _ConvNd) and not isinstance(module.weight, nn.Parameter):
            raise InputError(
                f"this network cannot be a probe: the weights of layer {name!r} are made of other parameters (weight "
                "or spectral normalisation); remove that first, with remove_weight_norm or remove_parametrizations"
            )
    for name, weight in weights_by_name(network).items():
        if weight.dim() > 4:
            raise InputError(
                f"this network cannot be a probe: layer {name!r} convolves over three dimensions, whose filters are "
                "not read; choose a network of plain convolutions and linear layers"
            )


@dataclass(frozen=True)
class _Met:
    """One call of a layer: the shape of its input, its positions, and of each image's numbers a projection and norm."""

    shape: torch.Size
    positions: int
    projection: Tensor
    norm: Tensor


class _Tracer(Listener):
    """Notes the calls with each of a network's weights, and weights that are used in any other way.

    Attributes:
        images: that the network is run with.
        names, places: of its parameters, by the object and by where it lies.
        multiplied: weights of layers that multiply.
        met: calls that are read, by the weight's name.
        unread: weights that are used otherwise, and by which function.
        products: matrices in products that are not read, by which function, and how many numbers came out.
    """

    def __init__(self, network: nn.Module, images: int) -> None:
        super().__init__(self._note)
        self.images = images
        self.names = {id(value): name for name, value in weights_by_name(network).items()}
        self.places = {_place(value): name for name, value in weights_by_name(network).items() if value.numel()}
        self.multiplied = {id(m.weight) for m in network.modules() if isinstance(m, nn.Linear | _ConvNd)}
        self.met: dict[str, list[_Met]] = {}
        self.unread: dict[str, str] = {}
        self.products: dict[str, tuple[str, int]] = {}

    def _note(self, call: Call, output: Tensor) -> Tensor:
        name = self.names.get(id(call.weight))
        if name is not None:
            numbers = call.inputs.double().reshape(self.images if call.inputs.numel() % self.images == 0 else 1, -1)
            # A fixed projection tells whose numbers lie where, and unlike the numbers takes no memory.
            along = torch.arange(numbers.shape[1], dtype=numbers.dtype, device=numbers.device).cos()
            met = _Met(call.inputs.shape, output.numel() // call.filters, numbers @ along, numbers.norm(dim=1))
            self.met.setdefault(name, []).append(met)
        return output

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at the arguments of every function that is no product this engine reads."""
        output = super().__torch_function__(func, types, args, kwargs)
        what = getattr(func, "__name__", str(func))
        call = read_call(func, args, kwargs or {})
        if call is not None:
            if id(call.weight) not in self.names and (part := self.places.get(_place(call.weight))) is not None:
                self.unread.setdefault(part, f"{what} with a part of it")
        elif isinstance(output, Tensor) or what in PRODUCTS:
            for value in _tensors([*args, *(kwargs or {}).values()]):
                if id(value) in self.multiplied:
                    self.unread.setdefault(self.names[id(value)], what)
                # A matrix is known by where it lies, turned or reshaped as it may be.
                elif what in PRODUCTS and value.dim() > 1 and (own := self.places.get(_place(value))) is not None:
                    made = output if isinstance(output, Tensor) else output[0]
                    self.products.setdefault(own, (what, made.numel()))
        return output


def _place(value: Tensor) -> int:
    """Where a tensor's numbers lie, which its views share."""
    return value.untyped_storage().data_ptr()


def _tensors(arguments: Sequence[Any]) -> Iterator[Tensor]:
    for value in arguments:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


@torch.no_grad()
def trace(network: nn.Module, size: int, device: torch.device) -> tuple[Tensor, list[Run]]:
    """Run two random images through a network: their features ``[2, d]``, and the layers met, in network order.

    Fails before anything expensive does: the two images together must give what they give one by one,
    which BatchNorm or dropout in training mode, or any other mixing of a batch, would not.

    Raises:
        InputError: a layer runs more than once or cannot be read, the output is not one vector an image, or images
            are mixed.
    """
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    images = images.to(next(network.parameters()).dtype)
    both, first, second = _Tracer(network, 2), _Tracer(network, 1), _Tracer(network, 1)
    try:
        with both:
            together = network(images)
    except ValueError as error:  # attention of a kind that cannot be read says so when it runs
        raise InputError(f"this network cannot be a probe: {error}") from error
    if not isinstance(together, Tensor) or together.dim() != 2:
        raise InputError("this network cannot be a probe: it does not give one feature vector an image")
    with first:
        apart = [network(images[:1])]
    with second:
        apart.append(network(images[1:]))
    if not torch.allclose(together, torch.cat(apart), rtol=TOLERANCE, atol=TOLERANCE * float(together.abs().max())):
        raise InputError("this network cannot be a probe: an image's features depend on the others in its batch")
    # A product that is no larger for two images was not with them, such as a table that is looked up by one.
    others = {name: what for name, (what, size) in both.products.items() if first.products.get(name) != (what, size)}
    for name, what in (both.unread | others).items():
        raise InputError(
            f"this network cannot be a probe: layer {name!r} uses its weights in a way whose filters cannot be told "
            f"apart ({what}); choose a network of plain convolutions and linear layers"
        )
    runs = []
    for name, weight in weights_by_name(network).items():
        if name in both.met:
            if len(both.met[name]) > 1:
                raise InputError(f"this network cannot be a probe: layer {name!r} runs more than once an image")
            runs.append(_run(name, weight, *(tracer.met[name][0] for tracer in (both, first, second))))
    return together, runs


def _run(name: str, weight: Tensor, both: _Met, first: _Met, second: _Met) -> Run:
    """A layer from its call with two images and its calls with either."""
    if both.shape == first.shape:
        return Run(name, weight, 1, shared=True)
    apart, norm = torch.cat([first.projection, second.projection]), torch.cat([first.norm, second.norm])
    if len(both.projection) != 2 or bool(((both.projection - apart).abs() > TOLERANCE * norm).any()):
        raise InputError(
            f"this network cannot be a probe: layer {name!r} gets the images of a batch in an order of its own, so its "
            "gradients cannot be told apart; choose a network that keeps images along the first dimension"
        )
    return Run(name, weight, both.positions // 2, shared=False)


def last_stage(runs: Sequence[Run]) -> list[Run]:
    """The layers of the last stage: from the last change of resolution on, the pooled ones included.

    Resolution falls from stage to stage in a convolutional network. Where it never changes, as in a
    vision transformer, or to and fro, as in a mixer of tokens and channels, the last quarter of the layers.
    """
    spatial = [run.positions for run in runs if run.positions > 1]
    if not spatial:
        return list(runs)
    steps = [after - before for before, after in pairwise(spatial)]
    to_and_fro = 2 * sum(step > 0 for step in steps) > sum(step < 0 for step in steps)  # some branches rise once more
    start = next(i for i in range(len(runs)) if all(run.positions <= spatial[-1] for run in runs[i:]))
    share = int(len(runs) * (1 - LAST_SHARE))
    return list(runs[start if start > 1 and not to_and_fro else share :])
