"""The variational Fisher information: its noise, its two limits, and a layer where it must equal the exact one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from t2v_core.errors import InputError
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.fisher.variational import VariationalSettings, _noisy, fisher_under_noise, variational_fisher
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.calls import Substitute
from t2v_core.probe.heads import Head, fit_regularised_head
from t2v_core.probe.probe import make_probe
from t2v_core.task.record import InputSpec
from tests.oracles import listeners

CPU = torch.device("cpu")
TINY = InputSpec(resize=8, crop=8, mean=SPEC.mean, std=SPEC.std)


LAYERS = {
    "vectors": (nn.Linear(5, 2), (5,)),
    "tokens": (nn.Linear(5, 2), (3, 5)),
    "grouped": (nn.Conv2d(4, 6, 3, 2, 1, groups=2, padding_mode="reflect"), (4, 7, 7)),
    "sequence": (nn.Conv1d(4, 6, 3, dilation=2), (4, 9)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_under_noise_runs_with_weights_of_the_right_spread(kind):
    layer, shape = LAYERS[kind]
    layer, x = layer.requires_grad_(False), torch.randn(2, *shape)
    L, generator = torch.linspace(0.3, 3, len(layer.weight)), torch.Generator().manual_seed(0)
    draws = [_noisy([layer.weight], [L], generator)[id(layer.weight)] for _ in range(4000)]
    away = torch.stack(draws) - layer.weight
    torch.testing.assert_close(away.flatten(2).var((0, 2)), torch.exp(-L), rtol=0.06, atol=0)
    assert abs(float((away / torch.exp(-0.5 * L).reshape(-1, *[1] * (away.dim() - 2))).mean())) < 0.02
    with Substitute({id(layer.weight): draws[0]}):
        found, called = layer(x), nn.functional.relu(x)
    expected = copy.deepcopy(layer)
    expected.weight.copy_(draws[0])
    assert torch.equal(found, expected(x))
    assert torch.equal(called, x.relu())
    assert not torch.equal(layer(x), found)  # the noise ends with the block


@pytest.mark.parametrize("attributes", [False, True])
def test_the_fisher_under_noise_is_the_gradient_of_the_expected_loss(attributes):
    """Price's theorem, where it is exact: the logits of this network are linear in the weights of either layer."""
    torch.manual_seed(0)
    layers = [nn.Linear(12, 3, bias=False), nn.Linear(3, 2, bias=False)]
    probe = make_probe("linear", "linear", nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), *layers), None, TINY, "", CPU)
    head, L = nn.Linear(2, 4), torch.tensor([4.0, 3.0, 5.0, 2.0, 1.0])
    image = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        x = probe.network[:2](image)[0]
        first, second = torch.randn(200_000, 3), torch.randn(200_000, 2, 3)
        target = torch.tensor([[1.0, 0, 0, 1]]) if attributes else torch.tensor([[0, 1.0, 0, 0]])

        def loss(L, sign):
            h = layers[0](x) + sign * first * x.norm() * torch.exp(-0.5 * L[:3])
            weight = layers[1].weight + sign * second * torch.exp(-0.5 * L[3:, None])
            logits = head(torch.einsum("bof,bf->bo", weight, h)).double()
            likely = nn.functional.logsigmoid if attributes else (lambda v: torch.log_softmax(v, 1))
            rest = ((1 - target) * likely(-logits)) if attributes else 0
            return -(target * likely(logits) + rest).sum(1).mean()

        def expected(L):  # what is odd in the noise cancels
            return (loss(L, 1) + loss(L, -1)) / 2

        step = 0.1 * torch.eye(5)
        slope = torch.stack([(expected(L + h) - expected(L - h)) / 0.2 for h in step])
    generator, parts = torch.Generator().manual_seed(0), list(L.split([3, 2]))
    _, fisher = fisher_under_noise(probe, head, image.expand(40_000, -1, -1, -1), parts, attributes, generator)
    found = torch.cat([-0.5 * size * f * torch.exp(-p) for size, f, p in zip((12, 3), fisher, parts, strict=True)])
    torch.testing.assert_close(slope, found.double(), rtol=0.05, atol=2e-4)


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


def test_images_that_teach_nothing_leave_the_prior(one_layer):
    """t_0: Lambda = lambda^2 (method section 3), also where it started elsewhere."""
    probe, head, pixels, labels = one_layer
    asked = []

    def batch(rows):
        asked.append(rows)
        images = probe.normalise(pixels[rows])
        return images if len(asked) == 1 else torch.zeros_like(images), torch.from_numpy(labels[rows])

    def furthest(epochs):
        asked.clear()
        schedule = VariationalSettings(0.1, epochs, 500, head_rate=0.0, precision_rate=0.03)
        found = variational_fisher(probe, head, pixels, labels, schedule, batch=batch)
        return np.abs(np.log(found.precision / found.prior)).max()

    assert furthest(1) > 0.5
    assert furthest(30) < 0.1


def test_much_noise_is_in_the_estimate(one_layer):
    probe, head, pixels, labels = one_layer
    exact = fisher_diagonal(probe, head, pixels, labels, DiagonalSettings(estimator="exact")).mean
    schedule = VariationalSettings(beta=3.0, epochs=30, epoch_size=900, head_rate=0.0)
    found = variational_fisher(probe, head, pixels, labels, schedule)
    linear = nn.Linear(12, 3)
    linear.load_state_dict({"weight": torch.tensor(head.weight), "bias": torch.tensor(head.bias)})
    L = [torch.tensor(np.log(found.precision), dtype=torch.float32)]
    images = probe.normalise(pixels).repeat(20, 1, 1, 1)
    _, (under,) = fisher_under_noise(probe, linear, images, L, False, torch.Generator().manual_seed(1))
    assert found.fisher.sum() < 0.8 * exact.sum()
    assert found.fisher.sum() == pytest.approx(float(under.sum()), rel=0.1)


def test_a_network_in_double_precision_agrees_with_the_same_in_single(one_layer):
    probe, head, pixels, labels = one_layer
    double = make_probe("d", "d", copy.deepcopy(probe.network).double(), None, TINY, "", CPU)
    schedule = VariationalSettings(beta=1e-7, epochs=1, epoch_size=200)
    single, precise = (variational_fisher(p, head, pixels, labels, schedule).fisher for p in (probe, double))
    np.testing.assert_allclose(single, precise, rtol=0.1)


@pytest.mark.parametrize("wrong", [{"beta": 0.0}, {"beta": float("nan")}, {"epochs": 0}, {"precision_rate": -1.0}])
def test_a_schedule_that_leads_nowhere_is_refused(wrong):
    with pytest.raises(InputError, match="must be"):
        VariationalSettings(**wrong)


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
