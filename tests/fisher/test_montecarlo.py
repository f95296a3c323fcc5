"""The Monte Carlo Fisher against its slow twin, and what must not change it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from t2v_core.fisher.capture import watch
from t2v_core.fisher.layers import conv_filter_means, unfold
from t2v_core.fisher.montecarlo import assign_chunks, draw_labels, montecarlo_fisher
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.heads import fit_heads
from t2v_core.probe.probe import make_probe
from tests.oracles import exact_fisher, fisher_of_drawn_labels


@pytest.fixture
def case(random_probe, shapes):
    pixels, labels = shapes.pixels[::15], shapes.task.labels[::15]
    (head,) = fit_heads(random_probe.features(pixels)[None], labels, 5)
    linear = nn.Linear(80, 5).double()
    linear.weight.data, linear.bias.data = torch.from_numpy(head.weight).double(), torch.from_numpy(head.bias).double()
    return random_probe, head, linear, pixels, labels


def test_agrees_with_a_loop_over_samples(case):
    probe, head, linear, pixels, labels = case
    assert np.unique(np.bincount(labels)).size == 1  # equal weights, as the slow twin has
    images = probe.normalise(pixels)
    uniforms = torch.from_numpy(np.random.default_rng([3, 0]).random((len(labels), 2)))
    p = torch.softmax(linear(probe.network(images).double()), 1).detach()
    drawn = torch.stack([draw_labels(p, uniforms[:, s]) for s in range(2)], 1)
    expected = fisher_of_drawn_labels(probe.network, linear, images, drawn)
    found = montecarlo_fisher(probe, head, pixels, labels, draws=2, chunks=3, seed=3).mean  # 2 < K - 1: drawn
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-9 * expected.max())


def test_converges_to_the_exact_expectation(case):
    probe, head, linear, pixels, labels = case
    # An undecided head: where a prediction is certain, nearly all of F hangs on draws that hardly ever happen.
    linear.weight.data *= 0.01
    linear.bias.data *= 0.01
    head = replace(head, weight=linear.weight.detach().float().numpy(), bias=linear.bias.detach().float().numpy())
    expected = exact_fisher(probe.network, linear, probe.normalise(pixels))

    def gap(draws: int, seed: int = 0) -> float:
        found = montecarlo_fisher(probe, head, pixels, labels, draws=draws, seed=seed).mean
        return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))

    assert gap(draws=4) < 1e-5  # K - 1 draws buy the exact expectation
    averaged = np.mean([montecarlo_fisher(probe, head, pixels, labels, draws=3, seed=s).mean for s in range(40)], 0)
    assert np.linalg.norm(averaged - expected) / np.linalg.norm(expected) < gap(draws=3) / 3


def test_does_not_depend_on_the_batch_size(case):
    probe, head, _, pixels, labels = case
    a = montecarlo_fisher(probe, head, pixels, labels, batch_size=3)
    b = montecarlo_fisher(probe, head, pixels, labels, batch_size=64)
    np.testing.assert_allclose(a.sums, b.sums, rtol=1e-4, atol=1e-12)


def test_a_seed_repeats_and_another_differs(case):
    probe, head, _, pixels, labels = case
    first, again, other = (montecarlo_fisher(probe, head, pixels, labels, seed=s).mean for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_values_are_not_negative_and_chunks_add_up(case):
    probe, head, _, pixels, labels = case
    found = montecarlo_fisher(probe, head, pixels, labels, chunks=4)
    assert found.sums.shape == (4, 688)
    assert (found.sums >= 0).all()
    assert found.weights.sum() == pytest.approx(1)


def test_classes_weigh_the_same_whatever_their_size(case):
    probe, head, _, pixels, labels = case
    rare = np.concatenate([np.flatnonzero(labels == 0)[:1], np.flatnonzero(labels != 0)])
    often = np.concatenate([np.repeat(rare[:1], 6), rare[1:]])
    a = montecarlo_fisher(probe, head, pixels[rare], labels[rare], draws=4).mean
    b = montecarlo_fisher(probe, head, pixels[often], labels[often], draws=4).mean
    assert np.linalg.norm(a - b) / np.linalg.norm(a) < 0.05  # the same expectation


def test_the_network_is_as_it_was(case):
    probe, head, _, pixels, labels = case
    before = {k: v.clone() for k, v in probe.network.state_dict().items()}
    attributes = [(set(vars(m)), len(m._forward_hooks)) for m in probe.network.modules()]
    montecarlo_fisher(probe, head, pixels, labels)
    after = probe.network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert [(set(vars(m)), len(m._forward_hooks)) for m in probe.network.modules()] == attributes
    assert all(p.grad is None and not p.requires_grad for p in probe.network.parameters())


def test_hooks_are_gone_after_an_error(case):
    probe, head, _, pixels, labels = case

    def stop(done, total, message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        montecarlo_fisher(probe, head, pixels, labels, progress=stop)
    assert not any(m._forward_hooks for m in probe.network.modules())


@pytest.mark.parametrize("name", ["vgg11", "densenet121", "mobilenet_v3_small", "resnet18"])
def test_other_architectures_agree_with_the_loop(name, shapes):
    """In-place activations, concatenations, depthwise convolutions, squeeze and excitation."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, num_classes=7)
    probe = make_probe(name, name, network, None, SPEC, "", torch.device("cpu"))
    linear = nn.Linear(7, 3).double()
    images = torch.randn(2, 3, 64, 64)
    drawn = torch.tensor([[0], [2]])
    expected = fisher_of_drawn_labels(copy.deepcopy(network), linear, images, drawn)
    sums = [torch.zeros(m.out_channels, dtype=torch.float64) for _, m in probe.layers()]
    layers = [m for _, m in probe.layers()]

    def add(number, inputs, delta):
        patches = unfold(layers[number], inputs)
        sums[number] += conv_filter_means(layers[number], patches, delta).sum(0) / 2

    network.double()
    with watch(layers, add):
        log_p = torch.log_softmax(linear(network(images.double())), 1)
        log_p.gather(1, drawn).sum().backward()
    np.testing.assert_allclose(torch.cat(sums).numpy(), expected, rtol=1e-8, atol=1e-18)


def test_chunks_are_even_in_every_class():
    labels = np.repeat([0, 1, 2], [40, 20, 10])
    chunk = assign_chunks(labels, 5, seed=0)
    table = np.array([[np.sum((chunk == c) & (labels == k)) for k in range(3)] for c in range(5)])
    assert (np.ptp(table, axis=0) <= 1).all()


def test_drawn_labels_follow_the_probabilities():
    p = torch.tensor([[0.2, 0.5, 0.3]]).repeat(20000, 1)
    drawn = draw_labels(p, torch.rand(20000, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 20000, [0.2, 0.5, 0.3], atol=0.015)
    assert draw_labels(torch.tensor([[1.0, 0.0]]), torch.tensor([0.999999])).item() == 0
