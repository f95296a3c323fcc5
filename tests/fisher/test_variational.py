"""The variational Fisher information: its noise, its two limits, and a layer where it must equal the exact one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.fisher.layers import patches
from t2v_core.fisher.variational import VariationalSettings, input_norms, noise, variational_fisher
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.heads import Head, fit_regularised_head
from t2v_core.probe.probe import make_probe
from t2v_core.task.record import InputSpec
from tests.oracles import call_of, listeners

CPU = torch.device("cpu")
TINY = InputSpec(resize=8, crop=8, mean=SPEC.mean, std=SPEC.std)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([1, 2]),
    st.sampled_from([1, 3, (1, 3)]),
    st.sampled_from([1, 2]),
    st.sampled_from([0, 1]),
    st.sampled_from(["zeros", "reflect"]),
)
def test_the_norm_of_a_patch_is_the_norm_of_the_unfolded_patch(groups, kernel, stride, padding, mode):
    layer = nn.Conv2d(4, 6, kernel, stride, padding, groups=groups, padding_mode=mode)
    x = torch.randn(3, 4, 7, 7)
    alone = nn.Conv2d(4 // groups, 1, kernel, stride, padding, padding_mode=mode)  # one group of it
    expected = torch.stack(
        [torch.cat(patches(call_of(alone, part), 3), 2).norm(dim=2) for part in x.chunk(groups, 1)], 1
    ).reshape(3, groups, *layer(x).shape[2:])
    expected = expected.repeat_interleave(6 // groups, 1)
    torch.testing.assert_close(input_norms(call_of(layer, x)).expand_as(expected), expected, rtol=1e-4, atol=1e-5)


def test_the_noise_has_the_variance_of_noisy_weights_and_cancels_in_pairs():
    layer = nn.Linear(5, 2, bias=False)
    x = torch.randn(1, 5)
    L = [torch.tensor([0.3, 1.2])]
    with torch.no_grad(), noise([layer.weight], L, torch.Generator().manual_seed(0)):
        outputs = layer(x.expand(2 * 40_000, 5))
    plus, minus = outputs.chunk(2)
    torch.testing.assert_close((plus + minus) / 2, layer(x).expand_as(plus), rtol=0, atol=1e-5)
    torch.testing.assert_close(plus.var(0), x.pow(2).sum() * torch.exp(-L[0]), rtol=0.03, atol=0)
    torch.testing.assert_close(layer(x.expand(2, 5)), layer(x).expand(2, 2))  # the noise ends with the block


@pytest.fixture(scope="module")
def one_layer():
    """A probe of one linear layer that runs once an image, where the two estimates mean the same."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 12), nn.Tanh())
    probe = make_probe("one", "one", network, None, TINY, "", CPU)
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 60)
    centres = rng.integers(60, 200, (3, 8, 8, 3))
    pixels = np.clip(centres[labels] + rng.normal(0, 60, (180, 8, 8, 3)), 0, 255).astype(np.uint8)
    return probe, fit_regularised_head(probe.features(pixels), labels, 3), pixels, labels


def test_agrees_with_the_exact_one_where_no_position_is_shared(one_layer):
    probe, head, pixels, labels = one_layer
    exact = fisher_diagonal(probe, head, pixels, labels, DiagonalSettings(estimator="exact")).mean
    schedule = VariationalSettings(beta=1e-3, epochs=30, epoch_size=900, head_rate=0.0)
    found = variational_fisher(probe, head, pixels, labels, 3 * exact, schedule)
    assert np.corrcoef(np.log(exact), np.log(found.fisher))[0, 1] > 0.9
    assert 0.7 < found.fisher.sum() / exact.sum() < 1.5
    assert found.loss[-5:].mean() < found.loss[:5].mean()
    np.testing.assert_allclose(found.fisher, 1e-3 / 360 * (found.precision - found.prior), rtol=1e-9)


def test_one_attribute_is_a_task_of_two_classes(one_layer):
    """softmax of the logits (0, v) is the Bernoulli probability of v."""
    probe, _, pixels, labels = one_layer
    pixels, labels = pixels[:120], labels[:120]
    single = np.random.default_rng(0).normal(size=(1, 12)).astype(np.float32)
    one = Head(single, np.zeros(1, np.float32), 0, 0, 0)
    two = Head(np.concatenate([0 * single, single]), np.zeros(2, np.float32), 0, 0, 0)
    schedule, start = VariationalSettings(epochs=3, epoch_size=200, head_rate=0.0), np.full(12, 1e-3)
    a = variational_fisher(probe, one, pixels, labels[:, None], start, schedule, likelihood="bernoulli")
    b = variational_fisher(probe, two, pixels, labels, start, schedule)
    np.testing.assert_allclose(a.precision, b.precision, rtol=1e-3)
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-4)


def test_a_loss_that_never_changes_leaves_the_prior(one_layer):
    probe, head, pixels, labels = one_layer
    blind = Head(np.zeros_like(head.weight), np.zeros_like(head.bias), 0, 0, 0)
    schedule = VariationalSettings(beta=1e-2, epochs=20, epoch_size=500, head_rate=0.0)
    found = variational_fisher(probe, blind, pixels, labels, np.full(12, 1e-4), schedule)
    # t_0: Lambda = lambda^2 (method section 3).
    np.testing.assert_allclose(np.log(found.precision / found.prior), 0, atol=0.3)


def test_a_seed_repeats_and_the_network_is_as_it_was(one_layer):
    probe, head, pixels, labels = one_layer
    before = {k: v.clone() for k, v in probe.network.state_dict().items()}
    schedule = VariationalSettings(epochs=2, epoch_size=100)
    a, b, c = (
        variational_fisher(probe, head, pixels, labels, np.full(12, 1e-3), schedule, seed=s).fisher for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    assert all(torch.equal(before[k], v) for k, v in probe.network.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in probe.network.parameters())
    assert listeners() == 0
