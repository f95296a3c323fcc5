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
from t2v_core.fisher.variational import VariationalSettings, fisher_under_noise, input_norms, noise, variational_fisher
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


def test_the_noise_has_the_variance_of_noisy_weights_and_gradients_pass_it_by():
    layer = nn.Linear(5, 2, bias=False)
    x = torch.randn(1, 5)
    L = [torch.tensor([0.3, 1.2])]
    inputs = x.repeat(40_000, 1).requires_grad_()
    with noise([layer.weight], L, torch.Generator().manual_seed(0)):
        outputs = layer(inputs)
    spread = (outputs - layer(x)).detach()
    torch.testing.assert_close(spread.mean(0), torch.zeros(2), rtol=0, atol=0.03 * float(x.norm()))
    torch.testing.assert_close(spread.var(0), x.pow(2).sum() * torch.exp(-L[0]), rtol=0.03, atol=0)
    outputs.sum().backward()
    torch.testing.assert_close(inputs.grad, layer.weight.detach().sum(0).expand_as(inputs))
    torch.testing.assert_close(layer(x.expand(2, 5)), layer(x).expand(2, 2))  # the noise ends with the block


@pytest.mark.parametrize("attributes", [False, True])
def test_the_fisher_under_noise_is_the_gradient_of_the_expected_loss(attributes):
    """Price's theorem, where it is exact: the logits of this network are linear in its weights."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(12, 3, bias=False))
    probe = make_probe("linear", "linear", network, None, TINY, "", CPU)
    head, L = nn.Linear(3, 4), torch.tensor([2.0, 1.0, 3.0])
    image = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        x = network[:2](image)
        z, half = network[2](x), torch.randn(200_000, 3)
        normal = torch.cat([half, -half])  # what is odd in the noise cancels
        target = torch.tensor([[1.0, 0, 0, 1]]) if attributes else torch.tensor([[0, 1.0, 0, 0]])

        def expected(L):
            logits = head(z + normal * x.norm() * torch.exp(-0.5 * L)).double()
            likely = nn.functional.logsigmoid if attributes else (lambda v: torch.log_softmax(v, 1))
            rest = ((1 - target) * likely(-logits)) if attributes else 0
            return -(target * likely(logits) + rest).sum(1).mean()

        step = 0.1 * torch.eye(3)
        slope = torch.stack([(expected(L + h) - expected(L - h)) / 0.2 for h in step])
    many = image.expand(40_000, -1, -1, -1)
    _, (fisher,) = fisher_under_noise(probe, head, many, [L], attributes, torch.Generator().manual_seed(0))
    torch.testing.assert_close(slope, (-0.5 * 12 * fisher * torch.exp(-L)).double(), rtol=0.04, atol=1e-4)


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


@pytest.fixture(scope="module")
def shared_filters(one_layer):
    """A probe whose filters are used at many positions, and the task of ``one_layer``."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    probe = make_probe("shared", "shared", network, None, TINY, "", CPU)
    _, _, pixels, labels = one_layer
    return probe, fit_regularised_head(probe.features(pixels), labels, 3), pixels, labels


def test_agrees_with_the_exact_one_under_little_noise_products_between_positions_included(shared_filters):
    probe, head, pixels, labels = shared_filters
    exact = fisher_diagonal(probe, head, pixels, labels, DiagonalSettings(estimator="exact")).mean
    schedule = VariationalSettings(beta=1e-7, epochs=30, epoch_size=900, head_rate=0.0)
    found = variational_fisher(probe, head, pixels, labels, schedule).fisher
    np.testing.assert_allclose(found, exact, rtol=0.25)
    assert found.sum() == pytest.approx(exact.sum(), rel=0.1)


def test_agrees_with_the_exact_one_where_no_position_is_shared(one_layer):
    probe, head, pixels, labels = one_layer
    exact = fisher_diagonal(probe, head, pixels, labels, DiagonalSettings(estimator="exact")).mean
    schedule = VariationalSettings(beta=1e-3, epochs=30, epoch_size=900, head_rate=0.0)
    found = variational_fisher(probe, head, pixels, labels, schedule)
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
    schedule = VariationalSettings(epochs=3, epoch_size=200, head_rate=0.0)
    a = variational_fisher(probe, one, pixels, labels[:, None], schedule, likelihood="bernoulli")
    b = variational_fisher(probe, two, pixels, labels, schedule)
    np.testing.assert_allclose(a.precision, b.precision, rtol=1e-3)
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-4)


def test_a_loss_that_never_changes_leaves_the_prior(one_layer):
    probe, head, pixels, labels = one_layer
    blind = Head(np.zeros_like(head.weight), np.zeros_like(head.bias), 0, 0, 0)
    schedule = VariationalSettings(beta=1e-2, epochs=20, epoch_size=500, head_rate=0.0)
    found = variational_fisher(probe, blind, pixels, labels, schedule)
    # t_0: Lambda = lambda^2 (method section 3).
    np.testing.assert_allclose(np.log(found.precision / found.prior), 0, atol=0.3)


def test_a_seed_repeats_and_the_network_is_as_it_was(one_layer):
    probe, head, pixels, labels = one_layer
    before = {k: v.clone() for k, v in probe.network.state_dict().items()}
    schedule = VariationalSettings(epochs=2, epoch_size=100)
    a, b, c = (variational_fisher(probe, head, pixels, labels, schedule, seed=s).fisher for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    assert all(torch.equal(before[k], v) for k, v in probe.network.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in probe.network.parameters())
    assert listeners() == 0
