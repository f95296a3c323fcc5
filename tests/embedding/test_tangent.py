"""Task Tangent Kernel: its networks, its batches, its gradients against a slow twin, the kernel, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from t2v_core.embedding import tangent
from t2v_core.embedding.batches import balanced_batch
from t2v_core.embedding.sketches import source_of
from t2v_core.embedding.tangent import HALVES, TangentSettings, embed_tangent, embed_tangents, networks_against_batches
from t2v_core.embedding.tangent_kernel import cosines, gradients, tangent_kernel, unit
from t2v_core.errors import InputError
from t2v_core.probe.probe import normalise
from t2v_core.probe.random_networks import SPECS, random_network
from t2v_core.task.streaming import ahead
from tests.fisher.test_mcr2 import slow_loss

CPU = torch.device("cpu")
QUICK = TangentSettings(architecture="small", networks=3, batch_size=24, dimension=256)


@pytest.fixture(scope="module")
def few(worlds):
    """Shapes, textures and digits."""
    return [worlds[name].decoded for name in ("shapes", "textures", "digits")]


@pytest.fixture(scope="module")
def embedded(few):
    return embed_tangents(few, QUICK)


def relabelled(decoded, labels, classes):
    return replace(decoded, task=replace(decoded.task, labels=np.asarray(labels), classes=classes))


# ---- networks


def test_the_papers_network_at_its_own_size(few):
    default = TangentSettings()
    assert (default.architecture, default.networks, SPECS["resnet18"].crop) == ("resnet18", 100, 224)
    grown = [replace(d, pixels=d.pixels.repeat(7, axis=1).repeat(7, axis=2)) for d in few[:2]]
    one = replace(default, networks=1, batch_size=8, dimension=4096)
    a, b = embed_tangents(grown, one)
    (found,) = cosines(gradients([a, b]), gradients([a, b]))
    np.testing.assert_allclose(found.diagonal(), 1, atol=1e-3)
    assert -1 < found[0, 1] < 0.999


@pytest.mark.parametrize(("architecture", "side", "count"), [("small", 16, 6), ("resnet18", 64, 3)])
def test_networks_that_are_drawn_ahead_in_threads_are_the_same(architecture, side, count):
    x = torch.randn(6, 3, side, side, generator=torch.Generator().manual_seed(0))
    drawn = ahead(lambda number: random_network(architecture, 0, number, CPU), count, workers=3)
    for number, network in enumerate(drawn):
        assert torch.equal(network.features(x), random_network(architecture, 0, number, CPU).features(x))


def test_a_network_is_rebuilt_from_its_number_and_uses_batch_statistics():
    a, again, other = (random_network("small", 0, number, CPU) for number in (3, 3, 4))
    x = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(a.features(x), again.features(x))
    assert not torch.allclose(a.features(x), other.features(x))
    assert not torch.allclose(a.features(x)[:3], a.features(x[:3]))  # the batch decides what is usual
    assert all(p.requires_grad for p in a.block.parameters())
    assert not any(p.requires_grad for p in a.trunk.parameters())


@pytest.mark.parametrize(("architecture", "width", "numbers"), [("small", 80, 115_520), ("resnet18", 512, 4_720_640)])
def test_the_block_is_the_last_residual_one_with_he_normal_weights(architecture, width, numbers):
    network = random_network(architecture, 0, 0, CPU)
    assert network.features(torch.randn(2, 3, 64, 64)).shape == (2, width)
    assert sum(p.numel() for p in network.block.parameters()) == numbers
    weight = network.block.conv1.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * width)) ** 0.5, rel=0.02)
    # The whole network is there: as many convolutions as torchvision's has, or SMALL says.
    layers = [m for part in (network.trunk, network.block) for m in part.modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == {"small": 13, "resnet18": 20}[architecture]


# ---- batches


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=12), st.integers(4, 40), st.integers(0, 50))
def test_batches_are_balanced_without_repetition_and_blind_to_class_numbers(counts, size, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = balanced_batch(labels, size, np.random.default_rng(seed))
    assert len(np.unique(rows)) == len(rows) <= size
    drawn = np.bincount(labels[rows], minlength=len(counts))
    if len(labels) <= size:
        assert len(rows) == len(labels)
        return
    joined = np.flatnonzero(drawn)
    assert len(joined) == min(np.count_nonzero(counts), size // 2)
    short = joined[drawn[joined] < np.array(counts)[joined]]  # classes that could give more
    assert len(short) == 0 or drawn[joined].max() <= drawn[short].min() + 1
    renumbered = np.random.default_rng(seed).permutation(len(counts))[labels]
    np.testing.assert_array_equal(rows, balanced_batch(renumbered, size, np.random.default_rng(seed)))


def test_of_too_many_classes_those_with_two_images_join_first():
    labels = np.concatenate([np.arange(50), np.repeat([50, 51], 9)])
    rows = balanced_batch(labels, 20, np.random.default_rng(0))
    assert {50, 51} <= set(labels[rows])


# ---- gradients


def test_the_kernel_is_the_cosine_of_the_whole_gradients(few):
    """The slow twin: everything in float64, the loss as the paper writes it, no sketch."""
    options = replace(QUICK, networks=1, dimension=8192)
    found = tangent_kernel(*[gradients(embed_tangents(few, options))] * 2).mean
    network = random_network("small", 0, 0, CPU)
    network.trunk.double(), network.block.double()
    whole = []
    for decoded in few:
        rows = np.flatnonzero(~decoded.task.held_out)
        drawn = rows[balanced_batch(decoded.task.labels[rows], 24, np.random.default_rng([0, 0, 3, 0]))]
        images = normalise(decoded.pixels[drawn], SPECS["small"], CPU).double()
        loss = slow_loss(network.features(images), torch.from_numpy(decoded.task.labels[drawn]))
        grads = torch.autograd.grad(loss, list(network.block.parameters()))
        whole.append(torch.cat([g.flatten() for g in grads]))
    cosine = torch.nn.functional.normalize(torch.stack(whole), dim=1)
    expected = (cosine @ cosine.T).numpy()
    assert np.abs(found - expected).max() < 4 / np.sqrt(8192)
    assert np.ptp(expected[np.triu_indices(3, 1)]) > 0.1  # there is something to find


def test_a_seed_repeats_and_other_images_stay_in_the_space_while_other_networks_do_not(few, embedded):
    again = embed_tangents(few[:1], QUICK)[0]
    np.testing.assert_array_equal(again.vector, embedded[0].vector)
    drawn = embed_tangent(few[0], replace(QUICK, seed=1))
    others = embed_tangent(few[0], replace(QUICK, network_seed=1))
    assert again.space == drawn.space != others.space
    assert not np.array_equal(drawn.vector, again.vector)
    alike = [float(tangent_kernel(gradients([again]), gradients([e])).mean[0, 0]) for e in (drawn, embedded[1])]
    assert alike[0] > alike[1]


def test_class_numbers_and_names_do_not_matter_and_held_out_images_are_not_used(few, embedded):
    decoded = few[0]
    order = np.array([3, 0, 4, 1, 2])
    changed = relabelled(decoded, order[decoded.task.labels], tuple("edcba"))
    pixels = decoded.pixels.copy()
    pixels[decoded.task.held_out] = 0
    found = embed_tangent(replace(changed, pixels=pixels), QUICK)
    np.testing.assert_array_equal(found.vector, embedded[0].vector)
    shuffled = relabelled(decoded, np.random.default_rng(0).permutation(decoded.task.labels), decoded.task.classes)
    assert not np.array_equal(embed_tangent(shuffled, QUICK).vector, embedded[0].vector)


def test_a_network_is_the_same_in_any_number_of_them(few, embedded):
    one = gradients([embed_tangent(few[0], replace(QUICK, networks=1))])
    np.testing.assert_array_equal(one, gradients(embedded[:1])[:, :1])


def test_batches_are_averaged_up_to_as_many_as_the_images_fill(few):
    options = replace(QUICK, networks=2, dimension=4096)
    found = embed_tangent(few[0], replace(options, batches=2))
    apart = networks_against_batches(few[:1], (2,), 4, options)[2]
    np.testing.assert_array_equal(gradients([found]), apart)
    assert found.facts["batches"] == 2
    rows = np.flatnonzero(~few[0].task.held_out)
    thirty = few[0].take(np.random.default_rng(0).choice(rows, 30, replace=False))
    assert embed_tangent(thirty, replace(options, batches=9)).facts["batches"] == 2  # 24 and what is left


def test_more_batches_lessen_the_noise_that_divides_a_cosine(few):
    """Two disjoint halves of one task are the more alike, the more of their images every network sees."""
    train = few[0].take(~few[0].task.held_out)
    halves = [train.take(np.arange(len(train)) % 2 == half) for half in (0, 1)]

    def alike(batches: int) -> float:
        options = replace(QUICK, networks=6, batches=batches, dimension=2048)
        a, b = (gradients([embed_tangent(half, options)]) for half in halves)
        return float(tangent_kernel(a, b).mean[0, 0])

    one, four = alike(1), alike(4)
    # Spearman and Brown: r of the mean of B is B r / (1 + (B - 1) r), which overlapping batches fall short of.
    assert one + 0.3 * (1 - one) < four < 4 * one / (1 + 3 * one) + 0.05


def test_halves_of_a_task_are_nearer_than_another_task(few):
    train = [decoded.take(~decoded.task.held_out) for decoded in few]
    parts = [t.take(np.arange(len(t)) % 2 == half) for half in (0, 1) for t in train]
    found = gradients(embed_tangents(parts, replace(QUICK, networks=4, batch_size=64, dimension=1024)))
    np.testing.assert_array_equal(tangent_kernel(found[:3], found[3:]).mean.argmax(1), [0, 1, 2])


def test_networks_against_batches_is_what_separate_embeddings_give(few):
    seen = []
    found = networks_against_batches(
        few[:2], (1, 2, 4), 4, QUICK, progress=lambda done, total, _: seen.append((done, total))
    )
    for x, sketches in found.items():
        apart = embed_tangents(few[:2], replace(QUICK, networks=x, batches=4 // x))
        np.testing.assert_array_equal(sketches, gradients(apart))
    assert not np.array_equal(found[1][:, 0], found[4][:, 0])  # a network's batches hold different images
    assert seen[-1] == (16, 16)  # 4 + 2 + 1 + 1 batches of two tasks, not 12
    with pytest.raises(ValueError, match="budget"):
        networks_against_batches(few[:2], (8,), 4, QUICK)


# ---- noise of the images


def test_halves_of_the_images_come_along_and_change_no_vector(few, embedded):
    found, again = (embed_tangent(few[0], QUICK, refits=True) for _ in range(2))
    np.testing.assert_array_equal(found.vector, embedded[0].vector)
    np.testing.assert_array_equal(found.refits, again.refits)
    assert embedded[0].refits is None
    halves = found.refits.reshape(HALVES, 3, 256)
    np.testing.assert_allclose(np.linalg.norm(halves, axis=2), 1, atol=1e-2)  # small networks see every half
    assert all(not np.array_equal(halves[0], half) for half in halves[1:])


def test_every_large_network_sees_one_half(few, monkeypatch):
    monkeypatch.setitem(tangent.SEEN, "small", 1)
    steps = []
    found = embed_tangent(
        few[0], replace(QUICK, networks=10), refits=True, progress=lambda *step: steps.append(step)
    ).refits
    seen = ~np.isnan(found.reshape(HALVES, 10, 256)).all(2)
    np.testing.assert_array_equal(seen.sum(0), 1)
    np.testing.assert_array_equal(seen.sum(1), [2, 2, 1, 1, 1, 1, 1, 1])
    assert steps[-1] == (10, 10, "halves of the images")


def test_a_half_is_one_of_every_class(few):
    source = source_of(few[0])
    known = {pixels.tobytes(): label for pixels, label in zip(few[0].pixels[source.rows], source.labels, strict=True)}
    for seed in range(5):
        rngs = (np.random.default_rng([seed, part]) for part in (0, 1))
        pixels, labels = source.draw_half(10_000, *rngs)
        assert [known[image.tobytes()] for image in pixels] == labels.tolist()
        np.testing.assert_array_equal(np.bincount(labels), -(-np.bincount(source.labels) // 2))
    batch, _ = source.draw_half(24, np.random.default_rng(0), np.random.default_rng(1))
    assert len(batch) == 24


def test_halves_that_tell_nothing_stop_nobody(few):
    """Of three images two are the same: a half of them may hold nothing to tell apart."""
    rows = np.flatnonzero(few[0].task.labels == 0)[:1].repeat(3)
    rows[2] = np.flatnonzero(few[0].task.labels == 1)[0]
    task = few[0].take(rows)
    task = replace(task, task=replace(task.task, labels=np.array([0, 1, 1]), held_out=np.zeros(3, bool)))
    assert np.isfinite(embed_tangent(task, QUICK, refits=True).vector).all()


# ---- kernel


def test_the_kernel_is_symmetric_and_one_with_itself(embedded):
    g = gradients(embedded)
    assert g.shape == (3, 3, 256)
    assert g.dtype == np.float16
    found = tangent_kernel(g, g)
    np.testing.assert_array_equal(found.mean, found.mean.T)
    np.testing.assert_allclose(np.diag(found.mean), 1, atol=1e-12)
    np.testing.assert_allclose(found.mean, tangent_kernel(g, g.copy()).mean, atol=1e-12)
    # One dot product of the vectors as they are stored says the same.
    vectors = np.stack([e.vector for e in embedded])
    np.testing.assert_allclose(found.mean, vectors @ vectors.T / 3, atol=1e-3)


def test_the_spread_is_the_standard_error_over_networks(embedded):
    g = gradients(embedded)
    found = tangent_kernel(g[:1], g[1:])
    each = np.stack(list(cosines(g[:1], g[1:])))
    np.testing.assert_allclose(found.mean, each.mean(0))
    np.testing.assert_allclose(found.error, each.std(0, ddof=1) / np.sqrt(3))
    assert np.isnan(tangent_kernel(g[:, :1], g[:, :1]).error).all()


def test_a_missing_gradient_is_a_missing_similarity():
    g = unit(np.array([[[3.0, 4.0]], [[0.0, 0.0]]]))
    found = tangent_kernel(g, g).mean
    assert found[0, 0] == pytest.approx(1)
    assert np.isnan(found[1]).all()


def test_gradients_of_other_settings_or_methods_are_not_mixed(few, embedded):
    fewer = embed_tangent(few[0], replace(QUICK, networks=1))
    for mixed in ([embedded[0], fewer], [replace(embedded[0], method="task2vec")], []):
        with pytest.raises(InputError, match="same networks"):
            gradients(mixed)
    with pytest.raises(ValueError, match="same networks"):
        next(cosines(gradients(embedded), gradients([fewer])))


# ---- bad input


def test_one_class_is_refused_and_the_methods_that_remain_are_named(few):
    with pytest.raises(InputError, match=r"only one.*PseudoTask or the domain embedding"):
        embed_tangent(relabelled(few[0], np.zeros(len(few[0]), int), ("a",)), QUICK)


def test_classes_of_one_image_each_are_refused(few):
    alone = few[0].take(np.array([np.flatnonzero(few[0].task.labels == k)[0] for k in range(5)]))
    with pytest.raises(InputError, match=r"no class.*two images.*PseudoTask"):
        embed_tangent(alone, QUICK)


def test_a_class_of_one_image_and_fewer_images_than_a_batch_are_recorded(few):
    labels = few[0].task.labels
    rows = np.concatenate([np.flatnonzero(labels == k)[:n] for k, n in enumerate((1, 6, 5))])
    found = embed_tangent(few[0].take(rows), QUICK)
    assert found.facts == {"batch_size": 12, "batches": 1, "classes": 3, "classes_of_one_image": 1}
    assert np.isfinite(found.vector).all()
    assert found.samples == 12


def test_images_that_are_all_the_same_are_refused(few):
    same = replace(few[0], pixels=np.repeat(few[0].pixels[:1], len(few[0]), axis=0))
    with pytest.raises(InputError, match="all the same"):
        embed_tangent(same, QUICK)


def test_impossible_settings_are_refused():
    for change in ({"networks": 0}, {"batch_size": 3}):
        with pytest.raises(ValueError, match="need"):
            replace(QUICK, **change)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_finds_the_same_gradients(few, embedded):
    found = embed_tangents(few, QUICK, device=torch.device("cuda"))
    for here, there in zip(embedded, found, strict=True):
        assert float(tangent_kernel(gradients([here]), gradients([there])).mean[0, 0]) > 0.99
