"""Per-sample squared gradients of a layer's filters, from its inputs and output gradients.

A filter is an output channel of a convolution or an output row of a linear layer. For one sample let
A ``[P, D]`` be the layer's input patches (P output positions or tokens, D weights a filter) and delta
``[P, O]`` the gradient of the loss with respect to the layer's output. The gradient of the loss with
respect to filter o is g_o = A^T delta_o, so

    ||g_o||^2 = ||A^T delta_o||^2          (explicit form, O * D * P multiply-adds)
              = delta_o^T (A A^T) delta_o   (Gram form, P^2 * (D + O) multiply-adds)

Both are exact. The cheaper one is known from the shapes. What all positions share, A = A' + 1 m^T, cancels in the
Gram form where the delta_o add up to little (the keys of an attention, say) and would take its digits with it, so it
is kept apart: with s = 1^T delta_o,

    ||g_o||^2 = delta_o^T (A' A'^T) delta_o + 2 s (A' m)^T delta_o + s^2 ||m||^2

Either way the weight gradient of the batch,
which an optimiser would need, is never formed.

A convolution's patches overlap, and copying them out whole costs kh * kw times the input. Here they are
copied along the width alone, kw times: the part of A that belongs to one row of the kernel is then a
slice of that copy, whole rows further down for the next kernel row. Both forms are sums over these slices.

The groups of a grouped convolution are too thin for matrix products: there the library's own weight
gradient is taken, sample by sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from t2v_core.probe.calls import Call


def gram_is_cheaper(filters: int, weights: int, positions: int) -> bool:
    """Whether the Gram form needs fewer multiply-adds than the explicit one, per group and sample."""
    return positions * positions * (weights + filters) < filters * weights * positions


def filter_square_norms(slices: Sequence[Tensor], delta: Tensor) -> Tensor:
    """Squared norm of every filter's gradient for every sample.

    Args:
        slices: ``[B, P, D_i]`` parts of the input patches A, side by side.
        delta: ``[B, P, O]`` output gradients.

    Returns:
        ``[B, O]`` values ||A^T delta_o||^2, >= 0.
    """
    weights = sum(part.shape[2] for part in slices)
    precise = torch.promote_types(delta.dtype, torch.float32)
    if gram_is_cheaper(delta.shape[2], weights, delta.shape[1]):
        # Terms of either sign cancel in this form: half precision would leave little of the result.
        slices, delta = [part.to(precise) for part in slices], delta.to(precise)
        means = [part.mean(1, keepdim=True) for part in slices]
        slices = [part - mean for part, mean in zip(slices, means, strict=True)]
        gram = slices[0] @ slices[0].transpose(1, 2)
        along = slices[0] @ means[0].transpose(1, 2)
        for part, mean in zip(slices[1:], means[1:], strict=True):
            gram = torch.baddbmm(gram, part, part.transpose(1, 2))
            along = torch.baddbmm(along, part, mean.transpose(1, 2))
        shared = torch.cat(means, 2).square().sum(2)
        total = delta.sum(1)
        varying = ((gram @ delta) * delta).sum(1)
        mixed = (along * delta).sum(1)
        return (varying + total * (2 * mixed + total * shared)).clamp_min_(0)
    rows = delta.transpose(1, 2)
    total = (rows @ slices[0]).square_().sum(2, dtype=precise)
    for part in slices[1:]:
        total += (rows @ part).square_().sum(2, dtype=precise)
    return total


def patches(call: Call, batch: int, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Input patches A of a layer in slices ``[B, P, D_i]``; of a grouped convolution the padded input alone.

    Args:
        call: of a convolution with any stride, dilation, padding or groups, or of a linear map, with the samples
            outermost, whatever is folded in with them or lies between them and the features (windows, heads, tokens).
        batch: samples B.
        dtype: in which products are taken; by default the input's own, at least float32.
    """
    inputs = call.inputs.to(dtype or torch.promote_types(call.inputs.dtype, torch.float32))
    if call.linear:
        return [inputs.reshape(batch, -1, inputs.shape[-1])]
    inputs = call.padded(inputs)
    if call.groups > 1:
        return [inputs]
    return [part.reshape(batch, -1, part.shape[2]) for part in _slices(call, inputs)]


def _slices(call: Call, inputs: Tensor) -> list[Tensor]:
    """One slice ``[B, P, kw * C]`` for every kernel row."""
    (kh, kw), (sh, sw), (dh, dw) = call.kernel, call.stride, call.dilation
    rows = (inputs.shape[2] - dh * (kh - 1) - 1) // sh + 1
    columns = (inputs.shape[3] - dw * (kw - 1) - 1) // sw + 1
    # Rows that a stride visits for the same kernel row must lie one below the other: one phase after another.
    phases = min(sh, dh * (kh - 1) + 1)
    height = -(-inputs.shape[2] // sh)
    if inputs.shape[2] < sh * height:
        inputs = functional.pad(inputs, (0, 0, 0, sh * height - inputs.shape[2]))
    batch, channels = inputs.shape[:2]
    to_image, to_channel, down, across = inputs.stride()
    view = inputs.as_strided(
        (batch, phases, height, columns, kw, channels),
        (to_image, down, sh * down, sw * across, dw * across, to_channel),
        inputs.storage_offset(),
    )
    copy = view.reshape(batch, phases, height * columns, kw * channels)
    starts = [divmod(dh * i, sh) for i in range(kh)]
    return [copy[:, phase, skip * columns : (skip + rows) * columns] for skip, phase in starts]


def filter_means(call: Call, slices: Sequence[Tensor], delta: Tensor, batch: int) -> Tensor:
    """Per-sample squared gradient of a layer, averaged over the weights of each filter.

    Args:
        call: of the layer.
        slices: its input, from ``patches``.
        delta: gradient of each sample's own loss with respect to the call's output, ``[B, O, H', W']``,
            ``[B, O, W']`` or ``[..., O]``.
        batch: samples B.

    Returns:
        ``[B, O]`` means over the D weights of a filter.
    """
    delta = delta.to(slices[0].dtype)
    if call.linear:
        delta = delta.reshape(batch, -1, call.filters)
    elif call.groups > 1:
        gradients = _weight_gradients(call, slices[0], delta)
        if len(gradients) > batch:
            gradients = gradients.unflatten(0, (batch, -1)).sum(1)
        return gradients.square().flatten(2).mean(2, dtype=torch.promote_types(gradients.dtype, torch.float32))
    else:
        delta = delta.flatten(2).transpose(1, 2).reshape(batch, -1, call.filters)
    return filter_square_norms(slices, delta) / sum(part.shape[2] for part in slices)


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
