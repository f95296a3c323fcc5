"""Per-sample squared gradients of a layer's filters, from its inputs and output gradients.

A filter is an output channel of a convolution or an output row of a linear layer. For one sample let
A ``[P, D]`` be the layer's input patches (P output positions or tokens, D weights a filter) and delta
``[P, O]`` the gradient of the loss with respect to the layer's output. The gradient of the loss with
respect to filter o is g_o = A^T delta_o, so

    ||g_o||^2 = ||A^T delta_o||^2          (explicit form, O * D * P multiply-adds)
              = delta_o^T (A A^T) delta_o   (Gram form, P^2 * (D + O) multiply-adds)

Both are exact. The cheaper one is known from the shapes. Either way the weight gradient of the batch,
which an optimiser would need, is never formed.

What all tokens share, A = A' + 1 m^T, would take the digits of the Gram form with it where it cancels, the delta_o
adding up to little (the keys of an attention, say), and a layer norm's bias can make it large. It is kept apart: with
s = 1^T delta_o, and for any m,

    ||g_o||^2 = delta_o^T (A' A'^T) delta_o + 2 s (A' m)^T delta_o + s^2 ||m||^2

A convolution's patches overlap, and copying them out whole costs kh * kw times the input. Here they are
copied along the width alone, kw times: the part of A that belongs to one row of the kernel is then a
slice of that copy, whole rows further down for the next kernel row. Both forms are sums over these slices.

The groups of a grouped convolution are too thin for matrix products: there the library's own weight
gradient is taken, sample by sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from t2v_core.probe.calls import Call


def gram_is_cheaper(filters: int, weights: int, positions: int) -> bool:
    """Whether the Gram form needs fewer multiply-adds than the explicit one, per group and sample."""
    return positions * positions * (weights + filters) < filters * weights * positions


@dataclass(frozen=True)
class Patches:
    """A layer's input for the explicit form.

    Attributes:
        slices: ``[B, P, D_i]`` parts of the input patches A, side by side; of a grouped convolution the padded input.
    """

    slices: list[Tensor]

    @property
    def dtype(self) -> torch.dtype:
        """In which products are taken."""
        return self.slices[0].dtype

    @property
    def size(self) -> int:
        """Bytes held."""
        return self.slices[0].untyped_storage().nbytes()

    def square_norms(self, delta: Tensor) -> Tensor:
        """``||A^T delta_o||^2`` for output gradients ``[B, P, O]``: ``[B, O]``."""
        precise = torch.promote_types(delta.dtype, torch.float32)
        rows = delta.transpose(1, 2)
        total = (rows @ self.slices[0]).square_().sum(2, dtype=precise)
        for part in self.slices[1:]:
            total += (rows @ part).square_().sum(2, dtype=precise)
        return total


@dataclass(frozen=True)
class Gram:
    """A layer's input for the Gram form, at least in float32: terms of either sign cancel in it.

    Attributes:
        products: ``[B, P, P]`` A' A'^T.
        along, shared: ``[B, 1, P]`` A' m and ``[B, 1]`` ||m||^2; None for m = 0.
    """

    products: Tensor
    along: Tensor | None = None
    shared: Tensor | None = None

    @property
    def dtype(self) -> torch.dtype:
        """In which products are taken."""
        return self.products.dtype

    @property
    def size(self) -> int:
        """Bytes held."""
        return self.products.nbytes

    def square_norms(self, delta: Tensor) -> Tensor:
        """As ``Patches.square_norms``, at least 0."""
        varying = ((self.products @ delta) * delta).sum(1)
        if self.along is not None and self.shared is not None:
            total = delta.sum(1)
            varying += total * (2 * (self.along @ delta).squeeze(1) + total * self.shared)
        return varying.clamp_min_(0)


def read_input(call: Call, batch: int, dtype: torch.dtype | None = None) -> Patches | Gram:
    """A layer's input for the cheaper of the two forms.

    Args:
        call: of a convolution with any stride, dilation, padding or groups, or of a linear map, with the samples
            outermost, whatever is folded in with them or lies between them and the features (windows, heads, tokens).
        batch: samples B.
        dtype: in which products are taken; by default the input's own, at least float32.
    """
    precise = torch.promote_types(call.inputs.dtype, torch.float32)
    inputs = call.inputs.to(dtype or precise)
    if call.linear:
        inputs = inputs.reshape(batch, -1, inputs.shape[-1])
        if not gram_is_cheaper(call.filters, inputs.shape[2], inputs.shape[1]):
            return Patches([inputs])
        inputs = inputs.to(precise)
        mean = inputs.mean(1, keepdim=True)
        inputs = inputs - mean
        along = mean @ inputs.transpose(1, 2)
        return Gram(inputs @ inputs.transpose(1, 2), along, mean.square().sum(2))
    inputs = call.padded(inputs)
    if call.groups > 1:
        return Patches([inputs])
    rows, columns = _output_size(call, inputs)
    if not gram_is_cheaper(call.filters, call.weight[0].numel(), rows * columns * len(inputs) // batch):
        return Patches(_slices(call, inputs, batch))
    slices = _slices(call, inputs.to(precise), batch)
    products = slices[0] @ slices[0].transpose(1, 2)
    for part in slices[1:]:
        products = torch.baddbmm(products, part, part.transpose(1, 2))
    return Gram(products)


def _output_size(call: Call, inputs: Tensor) -> tuple[int, int]:
    """Height and width of what a convolution makes of padded inputs."""
    height, width = (
        (length - dilation * (kernel - 1) - 1) // stride + 1
        for length, kernel, stride, dilation in zip(
            inputs.shape[2:], call.kernel, call.stride, call.dilation, strict=True
        )
    )
    return height, width


def _slices(call: Call, inputs: Tensor, batch: int) -> list[Tensor]:
    """One slice ``[B, P, kw * C]`` of a convolution's patches for every row of its kernel."""
    (kh, kw), (sh, sw), (dh, dw) = call.kernel, call.stride, call.dilation
    rows, columns = _output_size(call, inputs)
    # Rows that a stride visits for the same kernel row must lie one below the other: one phase after another.
    phases = min(sh, dh * (kh - 1) + 1)
    height = -(-inputs.shape[2] // sh)
    if inputs.shape[2] < sh * height:
        inputs = functional.pad(inputs, (0, 0, 0, sh * height - inputs.shape[2]))
    images, channels = inputs.shape[:2]
    to_image, to_channel, down, across = inputs.stride()
    view = inputs.as_strided(
        (images, phases, height, columns, kw, channels),
        (to_image, down, sh * down, sw * across, dw * across, to_channel),
        inputs.storage_offset(),
    )
    copy = view.reshape(images, phases, height * columns, kw * channels)
    starts = [divmod(dh * i, sh) for i in range(kh)]
    parts = [copy[:, phase, skip * columns : (skip + rows) * columns] for skip, phase in starts]
    return [part.reshape(batch, -1, part.shape[2]) for part in parts]


def filter_means(call: Call, inputs: Patches | Gram, delta: Tensor, batch: int) -> Tensor:
    """Per-sample squared gradient of a layer, averaged over the weights of each filter.

    Args:
        call: of the layer.
        inputs: its input, from ``read_input``.
        delta: gradient of each sample's own loss with respect to the call's output, ``[B, O, H', W']``,
            ``[B, O, W']`` or ``[..., O]``.
        batch: samples B.

    Returns:
        ``[B, O]`` means over the D weights of a filter.
    """
    delta = delta.to(inputs.dtype)
    if call.groups > 1 and isinstance(inputs, Patches):
        gradients = _weight_gradients(call, inputs.slices[0], delta)
        if len(gradients) > batch:
            gradients = gradients.unflatten(0, (batch, -1)).sum(1)
        return gradients.square().flatten(2).mean(2, dtype=torch.promote_types(gradients.dtype, torch.float32))
    delta = delta if call.linear else delta.flatten(2).transpose(1, 2)
    return inputs.square_norms(delta.reshape(batch, -1, call.filters)) / call.weight[0].numel()


def _weight_gradients(call: Call, inputs: Tensor, delta: Tensor) -> Tensor:
    """The weight gradient of a grouped convolution from each row of its input, ``[rows, O, C / groups, kh, kw]``."""
    delta = delta.unflatten(2, (1, -1)) if delta.dim() == 3 else delta

    def gradient(x: Tensor, d: Tensor, samples: int) -> Tensor:
        shape = [samples * call.filters, call.weight.shape[1], *call.kernel]
        groups = samples * call.groups
        return conv2d_weight(x, shape, d, call.stride, 0, call.dilation, groups)  # type: ignore[arg-type]

    batch = len(inputs)
    if inputs.device.type == "cpu":
        return torch.stack([gradient(inputs[n : n + 1], delta[n : n + 1], 1) for n in range(batch)])
    # One launch instead of B: every sample's channels become groups of their own.
    x, d = (t.reshape(1, -1, *t.shape[2:]) for t in (inputs, delta))
    return gradient(x, d, batch).unflatten(0, (batch, -1))
