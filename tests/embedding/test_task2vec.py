"""Embedding a task: what it depends on, what it does not, what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from t2v_core.embedding.by_probe import check_varied
from t2v_core.embedding.task2vec import SIGNED_PASSES, Task2VecSettings, embed_task
from t2v_core.errors import InputError
from t2v_core.fisher.variational import VariationalSettings
from t2v_core.space.distances import cosine, symmetric

QUICK = Task2VecSettings(total_draws=800, chunks=5)  # for five classes, the exact expectation: no labels are drawn


@pytest.fixture
def shapes(shapes):
    """A third of its images, which no test here asks more of."""
    return shapes.take(np.arange(0, len(shapes), 3))


def relabelled(decoded, labels, classes=None):
    task = replace(decoded.task, labels=labels, classes=classes or decoded.task.classes)
    return replace(decoded, task=task)


def test_held_out_images_are_not_used(bundled, shapes):
    pixels = shapes.pixels.copy()
    pixels[shapes.task.held_out] = 0
    a, b = embed_task(shapes, bundled, QUICK), embed_task(replace(shapes, pixels=pixels), bundled, QUICK)
    np.testing.assert_array_equal(a.fisher.vector, b.fisher.vector)
    assert a.fisher.samples == int((~shapes.task.held_out).sum())


def test_the_domain_embedding_is_the_mean_feature_and_blind_to_labels(bundled, shapes):
    z = bundled.features(shapes.pixels[~shapes.task.held_out]).numpy()
    shuffled = relabelled(shapes, np.random.default_rng(0).permutation(shapes.task.labels))
    plain, other = embed_task(shapes, bundled, QUICK), embed_task(shuffled, bundled, QUICK)
    np.testing.assert_allclose(plain.domain.vector, z.mean(0), rtol=1e-4, atol=1e-5)
    assert cosine(plain.domain.vector, other.domain.vector)[0, 0] < 1e-3
    # The same images with other labels are another task to the Fisher embedding (T2V Fig. 1).
    again = embed_task(shapes, bundled, replace(QUICK, seed=1))
    moved = symmetric(plain.fisher.vector, other.fisher.vector)[0, 0]
    assert moved > 3 * symmetric(plain.fisher.vector, again.fisher.vector)[0, 0]


def test_chunks_average_to_the_vector(bundled, shapes):
    found = embed_task(shapes, bundled, QUICK).fisher
    assert found.chunk_means.shape == (5, 784)
    np.testing.assert_allclose(found.chunk_weights @ found.chunk_means, found.vector, rtol=1e-5)
    assert 0 < found.relative_error < 1
    assert 0 <= found.facts["validation_accuracy"] <= 1


def test_class_numbering_does_not_matter(bundled, shapes):
    order = np.array([3, 0, 4, 1, 2])
    renumbered = relabelled(shapes, order[shapes.task.labels], tuple(shapes.task.classes[k] for k in np.argsort(order)))
    a, b = embed_task(shapes, bundled, QUICK).fisher, embed_task(renumbered, bundled, QUICK).fisher
    assert symmetric(a.vector, b.vector)[0, 0] < 2e-2


def test_tasks_of_one_world_lie_nearer_than_of_two(bundled, worlds):
    few = (worlds[i].decoded for i in ("digits", "digits-parity", "colours"))
    digits, parity, colours = (embed_task(d.take(np.arange(0, len(d), 5)), bundled, QUICK).domain for d in few)
    assert cosine(digits.vector, parity.vector)[0, 0] < cosine(digits.vector, colours.vector)[0, 0]


def test_one_class_is_refused(bundled, shapes):
    with pytest.raises(InputError, match="one class"):
        embed_task(relabelled(shapes, np.zeros_like(shapes.task.labels)), bundled, QUICK)


def test_images_that_look_the_same_are_refused(bundled, shapes):
    same = replace(shapes, pixels=np.repeat(shapes.pixels[:1], len(shapes), axis=0))
    with pytest.raises(InputError, match="look the same"):
        embed_task(same, bundled, QUICK)


def test_images_that_are_the_same_but_for_rounding_are_refused():
    z = torch.rand(1, 80).repeat(257, 1) + 1e-8 * torch.rand(257, 80)
    with pytest.raises(InputError, match="look the same"):
        check_varied(z, "x")
    check_varied(z + 1e-3 * torch.rand(257, 80), "x")


def test_labels_that_say_nothing_are_refused(bundled, shapes):
    """The same images stand in both classes: the head stays at zero, and so does its Fisher information."""
    rows = np.tile(np.arange(16), 2)
    twice = replace(shapes.take(rows), pixels=shapes.pixels[rows])
    with pytest.raises(InputError, match="nothing to do with how its images look"):
        embed_task(relabelled(twice, np.repeat([0, 1], 16)), bundled, QUICK)


def test_a_tolerance_leaves_the_number_of_images_behind_a_task_as_it_is(bundled, shapes):
    found = embed_task(shapes, bundled, replace(QUICK, chunks=16, tolerance=0.5)).fisher
    whole = embed_task(shapes, bundled, QUICK).fisher
    assert found.samples == whole.samples == whole.facts["images_used"] == (~shapes.task.held_out).sum()
    assert found.facts["images_used"] < whole.samples


def test_exact_and_montecarlo_embeddings_share_a_space_and_variational_has_its_own(bundled, shapes):
    short = VariationalSettings(epochs=1, epoch_size=100)
    settings = [replace(QUICK, estimator=e, variational=short) for e in ("exact", "montecarlo", "variational")]
    exact, drawn, variational = (embed_task(shapes, bundled, s).fisher for s in settings)
    assert exact.space == drawn.space != variational.space
    np.testing.assert_array_equal(exact.vector, drawn.vector)  # enough draws for the exact expectation
    assert np.isnan(variational.relative_error)
    assert len(variational.facts["loss"]) == 1


def test_the_papers_two_epoch_head_hardly_leaves_zero(bundled, shapes):
    """Why it is not the default: the head, and F with it, depend on how far Adam got."""
    short = embed_task(shapes, bundled, replace(QUICK, weight_decay=None))
    full = embed_task(shapes, bundled, QUICK)
    assert np.abs(short.head.weight).max() < 0.1 * np.abs(full.head.weight).max()
    assert short.fisher.vector.sum() < 0.1 * full.fisher.vector.sum()
    assert short.fisher.space != full.fisher.space


def test_the_bundled_probe_draws_labels_as_for_its_bank_and_others_draw_signs():
    assert Task2VecSettings.for_probe("bundled", None) == Task2VecSettings()
    assert Task2VecSettings.for_probe("bundled:last", None) == Task2VecSettings()
    large = Task2VecSettings.for_probe("resnet34", None, seed=3)
    assert (large.estimator, large.total_draws, large.seed) == ("signs", SIGNED_PASSES, 3)
    assert large.diagonal(500, 32).draws == 2
    assert Task2VecSettings.for_probe("resnet34", "montecarlo") == Task2VecSettings()
