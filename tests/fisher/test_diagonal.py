"""The Fisher diagonal against its slow twins, and what must not change it."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

from t2v_core.errors import InputError
from t2v_core.fisher.capture import watch
from t2v_core.fisher.diagonal import FIRST_LOOK, DiagonalSettings, fisher_diagonal
from t2v_core.fisher.factors import draw_labels
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.heads import Head, fit_heads, fit_regularised_head
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.space.distances import symmetric
from t2v_core.task.record import InputSpec
from tests.oracles import bernoulli_fisher, exact_fisher, fisher_of_drawn_labels, listeners

CPU = torch.device("cpu")


def linear_of(head: Head) -> nn.Linear:
    linear = nn.Linear(head.weight.shape[1], len(head.bias)).double()
    linear.weight.data, linear.bias.data = torch.from_numpy(head.weight).double(), torch.from_numpy(head.bias).double()
    return linear


def in_double(probe: Probe) -> Probe:
    return replace(probe, network=copy.deepcopy(probe.network).double())


@pytest.fixture
def case(random_probe, shapes):
    pixels, labels = shapes.pixels[::15], shapes.task.labels[::15]
    assert np.unique(np.bincount(labels)).size == 1  # equal weights, as the slow twins have
    (head,) = fit_heads(random_probe.features(pixels)[None], labels, 5)
    return random_probe, head, linear_of(head), pixels, labels


def run(probe, head, pixels, labels, progress=None, **settings):
    return fisher_diagonal(probe, head, pixels, labels, DiagonalSettings(**settings), progress)


@pytest.mark.parametrize(("precise", "rtol"), [(True, 1e-10), (False, 1e-4)])
def test_exact_agrees_with_a_loop_over_samples_and_labels(case, precise, rtol):
    probe, head, linear, pixels, labels = case
    expected = exact_fisher(probe.network, linear, probe.normalise(pixels))
    found = run(in_double(probe) if precise else probe, head, pixels, labels, estimator="exact").mean
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * 1e-3 * expected.max())


def test_bfloat16_moves_the_embedding_by_less_than_the_tasks_differ(bundled, shapes, worlds):
    rows = np.flatnonzero(~shapes.task.held_out)
    pixels, labels = shapes.pixels[rows], shapes.task.labels[rows]
    head = fit_regularised_head(bundled.features(pixels), labels, 5)
    found = {p: run(bundled, head, pixels, labels, estimator="exact", precision=p) for p in ("float32", "bfloat16")}
    precise, half = (found[p].mean for p in ("float32", "bfloat16"))
    assert half.dtype == precise.dtype == np.float64
    assert not np.array_equal(half, precise)  # it was taken at all
    assert symmetric(precise[None], half[None])[0, 0] < 1e-3
    np.testing.assert_allclose(half.sum(), precise.sum(), rtol=0.02)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "vit"])
def test_bfloat16_serves_every_kind_of_layer(name, shapes):
    torch.manual_seed(0)
    if name == "vit":
        network = torchvision.models.VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=16)
    else:
        network = torchvision.models.mobilenet_v3_small(num_classes=16)
    probe = make_probe(name, name, network, None, SPEC, "", CPU)
    pixels, labels = shapes.pixels[::30], shapes.task.labels[::30]
    head = Head(np.eye(5, 16, dtype=np.float32), np.zeros(5, np.float32), 0, 0, 0)
    precise, half = (
        run(probe, head, pixels, labels, estimator="exact", precision=p).mean for p in ("float32", "bfloat16")
    )
    np.testing.assert_allclose(half.sum(), precise.sum(), rtol=0.1)
    assert np.corrcoef(half, precise)[0, 1] > 0.99


def test_montecarlo_agrees_with_a_loop_over_the_same_draws(case):
    probe, head, linear, pixels, labels = case
    images = probe.normalise(pixels)
    uniforms = torch.from_numpy(np.random.default_rng([3, 0]).random((len(labels), 2)))
    drawn = draw_labels(torch.softmax(linear(probe.network(images).double()), 1).detach(), uniforms)
    expected = fisher_of_drawn_labels(probe.network, linear, images, drawn)
    found = run(in_double(probe), head, pixels, labels, draws=2, chunks=3, seed=3).mean  # 2 < K - 1: drawn
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * expected.max())


def test_binary_attributes_agree_with_a_loop_over_both_answers(case):
    probe, head, linear, pixels, labels = case
    attributes = np.eye(5, dtype=int)[labels]
    expected = bernoulli_fisher(probe.network, linear, probe.normalise(pixels))
    found = run(in_double(probe), head, pixels, attributes, estimator="exact", likelihood="bernoulli").mean
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    drawn = [run(probe, head, pixels, attributes, draws=2, likelihood="bernoulli", seed=s).mean for s in range(12)]
    spread = np.linalg.norm(np.std(drawn, 0)) / 12**0.5
    assert np.linalg.norm(np.mean(drawn, 0) - expected) < 4 * spread


@pytest.mark.slow
def test_montecarlo_converges_to_exact_at_the_expected_rate(case):
    probe, head, _, pixels, labels = case
    expected = run(probe, head, pixels, labels, estimator="exact").mean

    def mean_square_gap(draws: int) -> float:
        gaps = [
            np.linalg.norm(run(probe, head, pixels, labels, draws=draws, seed=s).mean - expected) for s in range(96)
        ]
        return float(np.mean(np.square(gaps)) / np.linalg.norm(expected) ** 2)

    # Three times the draws, a third of the variance; as 1/sqrt(S) it would be 1.7, as 1/S^2 9.
    assert 2.2 < mean_square_gap(1) / mean_square_gap(3) < 4.2
    np.testing.assert_array_equal(run(probe, head, pixels, labels, draws=4).mean, expected)  # K - 1 buy exactness


@pytest.mark.parametrize("likelihood", ["softmax", "bernoulli"])
def test_signs_estimate_the_exact_one(case, likelihood):
    probe, head, _, pixels, labels = case
    labels = np.eye(5, dtype=int)[labels] if likelihood == "bernoulli" else labels
    kind = {"likelihood": likelihood}
    expected = run(probe, head, pixels, labels, estimator="exact", **kind).mean
    drawn = [run(probe, head, pixels, labels, estimator="signs", draws=1, seed=s, **kind).mean for s in range(24)]
    assert not np.array_equal(drawn[0], drawn[1])
    gap, spread = np.linalg.norm(np.mean(drawn, 0) - expected), np.linalg.norm(np.std(drawn, 0)) / 24**0.5
    assert gap < 2 * spread
    np.testing.assert_array_equal(run(probe, head, pixels, labels, estimator="signs", draws=5, **kind).mean, expected)


def test_signs_are_less_noisy_than_labels_where_the_model_is_sure(case):
    probe, head, _, pixels, labels = case
    sure = replace(head, weight=4 * head.weight, bias=4 * head.bias)
    expected = run(probe, sure, pixels, labels, estimator="exact").mean

    def noise(estimator: str) -> float:
        found = [run(probe, sure, pixels, labels, estimator=estimator, draws=1, seed=s).mean for s in range(12)]
        return float(np.mean([np.linalg.norm(f - expected) for f in found]))

    assert noise("signs") < 0.7 * noise("montecarlo")


def test_exact_ignores_the_order_of_samples_and_the_names_of_classes(case):
    probe, head, _, pixels, labels = case
    expected = run(probe, head, pixels, labels, estimator="exact").mean
    order = np.random.default_rng(0).permutation(len(labels))
    np.testing.assert_allclose(run(probe, head, pixels[order], labels[order], estimator="exact").mean, expected, 1e-4)
    swap = np.array([3, 1, 4, 0, 2])
    renamed = replace(head, weight=head.weight[np.argsort(swap)], bias=head.bias[np.argsort(swap)])
    np.testing.assert_allclose(run(probe, renamed, pixels, swap[labels], estimator="exact").mean, expected, 1e-4)


def test_an_adaptive_run_stops_when_the_error_is_small_enough(case):
    probe, head, _, pixels, labels = case
    pixels, labels = np.tile(pixels, (6, 1, 1, 1)), np.tile(labels, 6)
    whole = run(probe, head, pixels, labels)
    stopped = run(probe, head, pixels, labels, tolerance=3 * whole.relative_error, batch_size=8)
    assert FIRST_LOOK <= len(stopped.sums) < len(whole.sums)
    assert stopped.samples < len(labels)
    assert stopped.relative_error <= 3 * whole.relative_error
    np.testing.assert_allclose(stopped.sums, whole.sums[: len(stopped.sums)], rtol=1e-3, atol=1e-9)
    strict = run(probe, head, pixels, labels, tolerance=1e-9)
    np.testing.assert_array_equal(strict.sums, whole.sums)
    assert strict.samples == len(labels)


def test_where_an_adaptive_run_stops_does_not_depend_on_the_batch_size(case):
    probe, head, _, pixels, labels = case
    pixels, labels = np.tile(pixels, (6, 1, 1, 1)), np.tile(labels, 6)
    tolerance = 2 * run(probe, head, pixels, labels).relative_error
    small, large = (run(probe, head, pixels, labels, tolerance=tolerance, batch_size=size) for size in (3, 64))
    assert small.samples == large.samples < len(labels)
    np.testing.assert_allclose(small.sums, large.sums, rtol=1e-4, atol=1e-12)


def test_an_adaptive_run_leaves_no_class_out(case):
    """Of 118 images of one class and 2 of another many chunks may hold none of the other, and then are of one mind."""
    probe, head, _, pixels, labels = case
    few = np.flatnonzero(labels == 0)[:1], np.flatnonzero(labels == 1)[:1]
    rows, labels = np.repeat(np.concatenate(few), (118, 2)), np.repeat([0, 1], (118, 2))
    pair = replace(head, weight=head.weight[:2], bias=head.bias[:2])
    whole = run(probe, pair, pixels[rows], labels, estimator="exact")
    for seed in range(8):
        found = run(probe, pair, pixels[rows], labels, estimator="exact", tolerance=0.2, seed=seed)
        assert np.linalg.norm(found.mean - whole.mean) < 0.25 * np.linalg.norm(whole.mean)


@pytest.mark.parametrize(
    "settings",
    [{"draws": 0}, {"chunks": 0}, {"batch_size": 0}, {"tolerance": 0.0}, {"estimator": "x"}, {"likelihood": "x"}],
)
def test_settings_that_make_no_estimate_are_refused(settings):
    with pytest.raises(InputError):
        DiagonalSettings(**settings)


def test_does_not_depend_on_the_batch_size(case):
    probe, head, _, pixels, labels = case
    a = run(probe, head, pixels, labels, batch_size=3)
    b = run(probe, head, pixels, labels, batch_size=64)
    np.testing.assert_allclose(a.sums, b.sums, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_images_may_be_shared_among_any_number_of_devices(case, devices):
    """Each device its own copy of the network and its share of the images, all at once; their means weighed by size."""
    probe, head, _, pixels, labels = case
    there = cycle([CPU, *(torch.device("cuda", i) for i in range(torch.cuda.device_count()))])
    numbers = np.stack([np.flatnonzero(labels == k) for k in range(5)])  # a row a class
    shares = [part.ravel() for part in np.array_split(numbers, devices, axis=1)]

    def share(rows, device):
        own = replace(probe, network=copy.deepcopy(probe.network).to(device), device=device)
        return run(own, head, pixels[rows], labels[rows], estimator="exact").mean

    with ThreadPoolExecutor(devices) as threads:
        means = list(threads.map(share, shares, there))
    found = np.average(means, axis=0, weights=[len(rows) for rows in shares])
    np.testing.assert_allclose(found, run(probe, head, pixels, labels, estimator="exact").mean, 1e-4, 1e-9)


def test_passes_run_in_full_precision_and_leave_the_switches_as_they_were(case):
    """On a GPU TF32 and the choice of algorithms would otherwise have a say; the switches exist without one, too."""
    probe, head, _, pixels, labels = case
    seen, switches = [], torch.backends.cudnn
    watched = replace(probe, network=copy.deepcopy(probe.network))
    watched.network.register_forward_hook(lambda *_: seen.append((switches.allow_tf32, switches.deterministic)))
    before = switches.allow_tf32, switches.deterministic
    watched.features(pixels)
    run(watched, head, pixels, labels)
    assert len(seen) > 1 and set(seen) == {(False, True)}
    assert (switches.allow_tf32, switches.deterministic) == before


def test_a_seed_repeats_and_another_differs(case):
    probe, head, _, pixels, labels = case
    first, again, other = (run(probe, head, pixels, labels, seed=s).mean for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_values_are_not_negative_and_chunks_add_up(case):
    probe, head, _, pixels, labels = case
    found = run(probe, head, pixels, labels, chunks=4)
    assert found.sums.shape == (4, 784)
    assert (found.sums >= 0).all()
    assert found.weights.sum() == pytest.approx(1)


def test_classes_weigh_the_same_whatever_their_size(case):
    probe, head, _, pixels, labels = case
    rare = np.concatenate([np.flatnonzero(labels == 0)[:1], np.flatnonzero(labels != 0)])
    often = np.concatenate([np.repeat(rare[:1], 6), rare[1:]])
    a = run(probe, head, pixels[rare], labels[rare], draws=4).mean
    b = run(probe, head, pixels[often], labels[often], draws=4).mean
    assert np.linalg.norm(a - b) / np.linalg.norm(a) < 0.05  # the same expectation


def test_the_network_is_as_it_was(case):
    probe, head, _, pixels, labels = case
    before = {k: v.clone() for k, v in probe.network.state_dict().items()}
    attributes = [(set(vars(m)), len(m._forward_hooks)) for m in probe.network.modules()]
    run(probe, head, pixels, labels)
    after = probe.network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert [(set(vars(m)), len(m._forward_hooks)) for m in probe.network.modules()] == attributes
    assert all(p.grad is None and not p.requires_grad for p in probe.network.parameters())


def test_nothing_listens_after_an_error(case):
    probe, head, _, pixels, labels = case
    before = {k: v.clone() for k, v in probe.network.state_dict().items()}

    def stop(done, total, message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(probe, head, pixels, labels, progress=stop)
    with pytest.raises(RuntimeError, match="3 channels"), watch(probe.weights(), lambda *_: None):
        probe.network(torch.ones(1, 5, 32, 32))
    assert listeners() == 0
    assert all(torch.equal(before[k], v) for k, v in probe.network.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in probe.network.parameters())


SMALL = InputSpec(resize=64, crop=64, mean=SPEC.mean, std=SPEC.std)


def small_transformer() -> nn.Module:
    return torchvision.models.VisionTransformer(64, 16, 2, 3, 96, 192, num_classes=7)


def small_swin(**kind: type[nn.Module]) -> nn.Module:
    """Two stages of windows, shifted in every second block, padded where they do not fit."""
    return torchvision.models.SwinTransformer([4, 4], 12, [2, 2], [2, 3], [3, 3], num_classes=7, **kind)


SMALL_NETWORKS = {
    "transformer": small_transformer,
    "swin": small_swin,
    "swin_v2": lambda: small_swin(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2),
}


ARCHITECTURES = ["squeezenet1_1", "densenet121", "mobilenet_v3_small", "resnet18", "convnext_tiny", *SMALL_NETWORKS]


def network_of(name: str) -> nn.Module:
    return SMALL_NETWORKS[name]() if name in SMALL_NETWORKS else torchvision.models.get_model(name, num_classes=7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_single_precision_is_that_of_double_to_four_digits(name):
    torch.manual_seed(0)
    probe = make_probe(name, name, network_of(name), None, SMALL, "", CPU)
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(3, 7)).astype(np.float32), np.zeros(3, np.float32), 0, 0, 0)
    pixels = rng.integers(0, 255, (6, 64, 64, 3), dtype=np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2])
    single = run(probe, head, pixels, labels, estimator="exact").mean
    double = run(in_double(probe), head, pixels, labels, estimator="exact").mean
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-7 * double.max())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_architectures_agree_with_the_loop(name):
    """In-place activations, concatenations, depthwise convolutions, linear layers over maps, tokens and windows.

    Swin hands its weights to functions; its second version computes a bias that is the same for every image.
    """
    torch.manual_seed(0)
    probe = in_double(make_probe(name, name, network_of(name), None, SMALL, "", CPU))
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(3, 7)).astype(np.float32), np.zeros(3, np.float32), 0, 0, 0)
    pixels = rng.integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    images = probe.normalise(pixels)
    uniforms = torch.from_numpy(np.random.default_rng([0, 0]).random((2, 1)))
    with torch.no_grad():
        drawn = draw_labels(torch.softmax(head.logits(probe.network(images)), 1), uniforms)
    expected = fisher_of_drawn_labels(probe.network, linear_of(head), images, drawn)
    found = run(probe, head, pixels, np.array([0, 1])).mean
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14 * expected.max())
