"""Per-sample squared gradients of a layer's filters, from its inputs and output gradients.

A filter is an output channel of a convolution or an output row of a linear layer. For one sample let
A ``[D, P]`` be the layer's input patches (D weights a filter, P output positions or tokens) and delta
``[O, P]`` the gradient of the loss with respect to the layer's output. The gradient of the loss with
respect to filter o is g_o = A delta_o, so

    ||g_o||^2 = ||A delta_o||^2            (explicit form, O * D * P multiply-adds)
              = delta_o^T (A^T A) delta_o   (Gram form, P^2 * (D + O) multiply-adds)

Both are exact. The cheaper one is known from the shapes. Either way the weight gradient of the batch,
which an optimiser would need, is never formed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from t2v_core.probe.layers import Layer


def gram_is_cheaper(filters: int, weights: int, positions: int) -> bool:
    """Whether the Gram form needs fewer multiply-adds than the explicit one, per group and sample."""
    return positions * positions * (weights + filters) < filters * weights * positions


def filter_square_norms(patches: Tensor, delta: Tensor) -> Tensor:
    """Squared norm of every filter's gradient for every sample.

    Args:
        patches: ``[B, D, P]`` input patches A.
        delta: ``[B, O, P]`` output gradients.

    Returns:
        ``[B, O]`` values ||A delta_o||^2, >= 0 up to rounding.
    """
    _, weights, positions = patches.shape
    if gram_is_cheaper(delta.shape[1], weights, positions):
        gram = patches.transpose(1, 2) @ patches
        return ((delta @ gram) * delta).sum(2)
    return (delta @ patches.transpose(1, 2)).square_().sum(2)


def unfold(layer: Layer, inputs: Tensor, batch: int) -> Tensor:
    """Input patches ``[B * groups, D, P]`` of a layer.

    Args:
        layer: a convolution with any stride, dilation, padding or groups, or a linear layer.
        inputs: its input: ``[B, C, H, W]``; or ``[..., D]`` with the samples outermost, whatever lies
            between them and the features (tokens, windows, positions). Anything shorter than float32
            becomes float32.
        batch: samples B.
    """
    inputs = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
    if isinstance(layer, nn.Linear):
        return inputs.reshape(batch, -1, layer.in_features).transpose(1, 2)
    # torch keeps, for every padding mode and for "same", the amount on each side in this private field.
    left, right, top, bottom = layer._reversed_padding_repeated_twice
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    if any((left, right, top, bottom)):
        inputs = functional.pad(inputs, (left, right, top, bottom), mode=mode)
    if layer.groups > 1:
        inputs = inputs.reshape(-1, inputs.shape[1] // layer.groups, *inputs.shape[2:])
    # A strided view copied once: several times faster on a CPU than torch's own im2col.
    images, channels, height, width = inputs.shape
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
    rows, columns = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
    to_image, to_channel, down, across = inputs.stride()
    view = inputs.as_strided(
        (images, channels, kh, kw, rows, columns),
        (to_image, to_channel, dh * down, dw * across, sh * down, sw * across),
        inputs.storage_offset(),
    )
    return view.reshape(images, channels * kh * kw, rows * columns)


def filter_means(layer: Layer, patches: Tensor, delta: Tensor, batch: int) -> Tensor:
    """Per-sample squared gradient of a layer, averaged over the weights of each filter.

    Args:
        layer: the layer.
        patches: its input, from ``unfold``.
        delta: gradient of each sample's own loss with respect to the layer's output, ``[B, O, H', W']``
            or ``[..., O]``.
        batch: samples B.

    Returns:
        ``[B, O]`` means over the D weights of a filter.
    """
    delta = delta.to(patches.dtype)
    if isinstance(layer, nn.Linear):
        grouped = delta.reshape(batch, -1, layer.out_features).transpose(1, 2)
    else:
        grouped = delta.reshape(batch * layer.groups, layer.out_channels // layer.groups, -1)
    return filter_square_norms(patches, grouped).reshape(batch, -1) / patches.shape[1]
