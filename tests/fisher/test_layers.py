"""Per-sample squared gradients of a convolution against autograd, for every kind of convolution."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from t2v_core.fisher.layers import conv_filter_means, filter_square_norms, gram_is_cheaper, unfold


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 2, 4]))
    inner, outer = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    size = draw(st.integers(6, 9))
    layer = nn.Conv2d(
        inner,
        outer,
        kernel_size=draw(st.sampled_from([1, 2, 3, (1, 3), (3, 2)])),
        stride=draw(st.sampled_from([1, 2, (1, 2)])),
        padding=draw(st.sampled_from([0, 1, (1, 2)])),
        dilation=draw(st.sampled_from([1, 2])),
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    )
    return layer.double(), torch.randn(draw(st.integers(1, 3)), inner, size, size + 1, dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_agrees_with_autograd_for_every_shape(case):
    layer, inputs = case
    output = layer(inputs)
    delta = torch.randn_like(output)
    expected = []
    for n in range(len(inputs)):
        (gradient,) = torch.autograd.grad((layer(inputs[n : n + 1]) * delta[n]).sum(), layer.weight)
        expected.append(gradient.pow(2).flatten(1).mean(1))
    torch.testing.assert_close(
        conv_filter_means(layer, unfold(layer, inputs), delta), torch.stack(expected), rtol=1e-10, atol=1e-12
    )


def test_same_padding_with_an_even_kernel():
    layer = nn.Conv2d(2, 3, 4, padding="same").double()
    inputs = torch.randn(2, 2, 7, 7, dtype=torch.float64)
    delta = torch.randn_like(layer(inputs))
    (gradient,) = torch.autograd.grad((layer(inputs[:1]) * delta[:1]).sum(), layer.weight)
    torch.testing.assert_close(
        conv_filter_means(layer, unfold(layer, inputs), delta)[0], gradient.pow(2).flatten(1).mean(1)
    )


@pytest.mark.parametrize(("weights", "positions"), [(200, 4), (4, 200)])
def test_both_forms_give_the_same(weights, positions):
    patches = torch.randn(3, weights, positions, dtype=torch.float64)
    delta = torch.randn(3, 8, positions, dtype=torch.float64)
    assert gram_is_cheaper(8, weights, positions) == (weights > positions)
    expected = torch.einsum("bdp,bop->bod", patches, delta).pow(2).sum(2)
    torch.testing.assert_close(filter_square_norms(patches, delta), expected)
