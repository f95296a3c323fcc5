"""Per-sample squared gradients of a layer against autograd, for every kind of layer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from t2v_core.fisher.layers import Gram, Patches, filter_means, gram_is_cheaper, read_input
from t2v_core.probe.calls import Call
from tests.oracles import call_of


def means(layer, inputs, delta, batch):
    call = call_of(layer, inputs)
    return filter_means(call, read_input(call, batch), delta, batch)


@st.composite
def convolutions(draw, most_channels=3, strides=(1, 2, (1, 2)), groups=(1, 2, 4)):
    torch.manual_seed(draw(st.integers(0, 1000)))
    groups = draw(st.sampled_from(groups))
    inner, outer = (groups * draw(st.integers(max(1, most_channels - 2), most_channels)) for _ in range(2))
    size = draw(st.integers(6, 9))
    layer = nn.Conv2d(
        inner,
        outer,
        kernel_size=draw(st.sampled_from([1, 2, 3, (1, 3), (3, 2)])),
        stride=draw(st.sampled_from(strides)),
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
    check_against_autograd(*case)


@settings(max_examples=40, deadline=None)
@given(convolutions(most_channels=12, strides=(4, 5, 6), groups=(1,)))
def test_agrees_with_autograd_where_positions_are_few(case):
    layer, inputs = case
    weights, positions = layer.weight[0].numel(), layer(inputs)[0, 0].numel()
    assume(gram_is_cheaper(layer.out_channels, weights, positions))
    check_against_autograd(layer, inputs)


def check_against_autograd(layer, inputs):
    output = layer(inputs)
    delta = torch.randn_like(output)
    expected = []
    for n in range(len(inputs)):
        (gradient,) = torch.autograd.grad((layer(inputs[n : n + 1]) * delta[n]).sum(), layer.weight)
        expected.append(gradient.pow(2).flatten(1).mean(1))
    torch.testing.assert_close(
        means(layer, inputs, delta, len(inputs)),
        torch.stack(expected),
        rtol=1e-10,
        atol=1e-12,
    )


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2), st.booleans())
def test_linear_layers_agree_over_vectors_tokens_and_maps(batch, inner, outer, extra, bias):
    layer = nn.Linear(inner, outer, bias=bias).double()
    inputs = torch.randn(batch, *(2, 3)[:extra], inner, dtype=torch.float64)
    delta = torch.randn_like(layer(inputs))
    expected = []
    for n in range(batch):
        (gradient,) = torch.autograd.grad((layer(inputs[n : n + 1]) * delta[n]).sum(), layer.weight)
        expected.append(gradient.pow(2).mean(1))
    found = means(layer, inputs, delta, batch)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-10, atol=1e-12)


def test_windows_of_one_image_belong_together():
    """A shifted-window transformer folds each image's windows into the batch."""
    layer = nn.Linear(3, 4).double()
    inputs = torch.randn(2 * 5, 6, 3, dtype=torch.float64)  # 2 images of 5 windows of 6 tokens
    delta = torch.randn_like(layer(inputs))
    (gradient,) = torch.autograd.grad((layer(inputs[:5]) * delta[:5]).sum(), layer.weight)
    torch.testing.assert_close(means(layer, inputs, delta, 2)[0], gradient.pow(2).mean(1), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
def test_heads_folded_into_the_batch_of_a_convolution_belong_together(groups):
    layer = nn.Conv2d(2, 4, 3, padding=1, groups=groups).double()
    inputs = torch.randn(2 * 3, 2, 5, 5, dtype=torch.float64)  # 2 images of 3 heads
    delta = torch.randn_like(layer(inputs))
    (gradient,) = torch.autograd.grad((layer(inputs[:3]) * delta[:3]).sum(), layer.weight)
    torch.testing.assert_close(
        means(layer, inputs, delta, 2)[0], gradient.pow(2).flatten(1).mean(1), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 4, padding="same"),
        nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2)),
        nn.Conv1d(2, 3, 4, padding="same"),
        nn.Conv1d(2, 4, 3, stride=2, padding=1, dilation=2),
        nn.Conv1d(2, 4, 3, padding=1, groups=2, padding_mode="circular"),
    ],
    ids=str,
)
def test_padding_and_sequences(layer):
    layer = layer.double()
    inputs = torch.randn(2, 2, 7, 7, dtype=torch.float64)[..., 0 if isinstance(layer, nn.Conv1d) else slice(None)]
    delta = torch.randn_like(layer(inputs))
    (gradient,) = torch.autograd.grad((layer(inputs[:1]) * delta[:1]).sum(), layer.weight)
    torch.testing.assert_close(means(layer, inputs, delta, 2)[0], gradient.pow(2).flatten(1).mean(1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("positions", "form"), [(20, Gram), (200, Patches)])
def test_both_forms_keep_their_digits_beside_a_large_mean(positions, form, dtype):
    """Where output gradients add up to nothing, what all tokens share is nothing to the result."""
    torch.manual_seed(0)
    tokens = torch.randn(3, positions, 100, dtype=torch.float64) + 30 * torch.randn(100, dtype=torch.float64)
    delta = torch.randn(3, positions, 80, dtype=torch.float64)
    tokens, delta = tokens.to(dtype), (delta - delta.mean(1, keepdim=True)).to(dtype)
    expected = torch.einsum("bpd,bpo->bod", tokens.double(), delta.double()).pow(2).mean(2)
    call = Call(tokens, torch.empty(80, 100))
    inputs = read_input(call, 3)
    assert isinstance(inputs, form)
    found = filter_means(call, inputs, delta, 3).double()
    torch.testing.assert_close(found, expected, rtol=1e-10 if dtype == torch.float64 else 1e-5, atol=0)
