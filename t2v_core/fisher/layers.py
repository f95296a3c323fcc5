"""Per-sample, per-filter squared gradients of one convolution, from its inputs and output gradients.

For one sample let A ``[D, P]`` be the unfolded input patches (D weights a filter, P output positions)
and delta ``[O, P]`` the gradient of the loss with respect to the layer's output. The gradient of the
loss with respect to filter o is g_o = A delta_o, so

    ||g_o||^2 = ||A delta_o||^2            (explicit form, O * D * P multiply-adds)
              = delta_o^T (A^T A) delta_o   (Gram form, P^2 * (D + O) multiply-adds)

Both are exact. The cheaper one is known from the shapes. Either way the weight gradient of the batch,
which an optimiser would need, is never formed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def gram_is_cheaper(filters: int, weights: int, positions: int) -> bool:
    """Whether the Gram form needs fewer multiply-adds than the explicit one, per group and sample."""
    return positions * positions * (weights + filters) < filters * weights * positions


def filter_square_norms(patches: Tensor, delta: Tensor) -> Tensor:
    """Squared norm of every filter's gradient for every sample.

    Args:
        patches: ``[B, D, P]`` unfolded inputs A.
        delta: ``[B, O, P]`` output gradients.

    Returns:
        ``[B, O]`` values ||A delta_o||^2, >= 0 up to rounding.
    """
    _, weights, positions = patches.shape
    if gram_is_cheaper(delta.shape[1], weights, positions):
        gram = patches.transpose(1, 2) @ patches
        return ((delta @ gram) * delta).sum(2)
    return (delta @ patches.transpose(1, 2)).square_().sum(2)


def unfold(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    """Input patches ``[B * groups, D, P]`` of a convolution, whatever its stride, dilation, padding or groups.

    Args:
        layer: the convolution.
        inputs: its input ``[B, C, H, W]``.
    """
    # torch keeps, for every padding mode and for "same", the amount on each side in this private field.
    left, right, top, bottom = layer._reversed_padding_repeated_twice
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    if any((left, right, top, bottom)):
        inputs = functional.pad(inputs, (left, right, top, bottom), mode=mode)
    if layer.groups > 1:
        inputs = inputs.reshape(-1, inputs.shape[1] // layer.groups, *inputs.shape[2:])
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    if kernel == (1, 1):
        return inputs[:, :, :: stride[0], :: stride[1]].flatten(2)
    return functional.unfold(inputs, kernel, dilation, 0, stride)  # type: ignore[arg-type]


def conv_filter_means(layer: nn.Conv2d, inputs: Tensor, delta: Tensor) -> Tensor:
    """Per-sample squared gradient of a convolution, averaged over the weights of each filter.

    Args:
        layer: the convolution.
        inputs: its input ``[B, C, H, W]``.
        delta: gradient of each sample's own loss with respect to its output ``[B, O, H', W']``.

    Returns:
        ``[B, O]`` float32 (or float64) means over the D weights of a filter.
    """
    dtype = torch.promote_types(delta.dtype, torch.float32)
    batch, filters = delta.shape[:2]
    patches = unfold(layer, inputs.to(dtype))
    grouped = delta.to(dtype).reshape(batch * layer.groups, filters // layer.groups, -1)
    return filter_square_norms(patches, grouped).reshape(batch, filters) / patches.shape[1]
