"""Toy tasks: the drawings, the two probes against their closed forms, and what the map says of complexity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from t2v_core.errors import InputError
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.heads import class_weights, fit_regularised_head
from t2v_core.probe.toy import cubic_probe, random_probe
from t2v_core.toy import (
    NEAREST,
    SIDE,
    WEIGHT_DECAY,
    ToySettings,
    boundary_length,
    draw_tasks,
    fit_heads,
    grid_pixels,
    neighbours_alike,
    toy_space,
    view,
)

FEW = ToySettings(tasks=6)
POINTS = SIDE * SIDE


@pytest.fixture(scope="module")
def space():
    return toy_space()


def coordinates():
    x, y, one = cubic_probe().normalise(grid_pixels())[:, :, 0, 0].double().numpy().T
    return x, y, one


def test_the_grid_is_uniform_on_the_unit_square_around_the_origin():
    x, y, one = coordinates()
    steps = np.diff(x.reshape(SIDE, SIDE), axis=1)
    np.testing.assert_allclose(steps, 11 / 255, rtol=1e-5)
    np.testing.assert_allclose(y.reshape(SIDE, SIDE), x.reshape(SIDE, SIDE).T)  # rows are y upwards
    assert x.min() == pytest.approx(-x.max(), abs=1e-6)
    assert (one == 1).all()


def test_half_of_the_clusters_are_positive():
    clusters, shapes, labels = draw_tasks(ToySettings(tasks=8, fewest=2, most=3))
    np.testing.assert_array_equal(shapes, labels)
    assert set(clusters) == {2, 3}
    share = shapes.mean((1, 2))
    assert (abs(share[clusters == 2] - 1 / 2) < 0.03).all()  # k-means halves the square
    assert (abs(share[clusters == 3] - 1 / 3) < 0.05).all()


def test_clusters_ascend_within_their_range():
    clusters, _, _ = draw_tasks(ToySettings(tasks=40, fewest=4, most=6))
    assert set(clusters) == {4, 5, 6}
    assert (np.diff(clusters) >= 0).all()


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_noise_flips_its_share_of_the_points_and_leaves_the_shapes(noise):
    _, clean, _ = draw_tasks(FEW)
    _, shapes, labels = draw_tasks(ToySettings(tasks=6, noise=noise))
    assert ((labels != shapes).sum((1, 2)) == round(noise * POINTS)).all()
    np.testing.assert_array_equal(shapes[0], clean[0])


def test_boundary_length_by_hand():
    half, board, dot = (np.zeros((SIDE, SIDE), dtype=np.int64) for _ in range(3))
    half[:, : SIDE // 2] = 1
    board[::2, ::2] = board[1::2, 1::2] = 1
    dot[5, 5] = 1
    np.testing.assert_allclose(boundary_length(np.stack([0 * dot, half, board, dot])), [0, 1, 2 * (SIDE - 1), 4 / SIDE])


def test_random_features_lie_in_their_ranges_and_none_is_zero():
    for seed in range(20):
        probe = random_probe(seed)
        weight = probe.weights()[0].flatten(1).numpy()
        assert weight.shape == (10, 3)
        assert (abs(weight) <= [0.5, 0.5, 1]).all()
        assert (probe.features(grid_pixels()).max(0).values > 0).all()
    assert not torch.equal(random_probe(0).weights()[0], random_probe(1).weights()[0])


def test_polynomials_are_the_ten_monomials():
    x, y, _ = coordinates()
    expected = {tuple((x**i * y**j).round(5)) for i in range(4) for j in range(4) if i + j <= 3}
    found = cubic_probe().features(grid_pixels()).double().numpy()
    assert {tuple(column.round(5)) for column in found.T} == expected


@pytest.mark.parametrize("probe", [cubic_probe(), random_probe(0)], ids=["cubic", "random"])
def test_fisher_agrees_with_its_closed_form(probe):
    """F_k = E[p (1 - p) (w_k dphi_k/du)^2], averaged over the weights u of the feature."""
    pixels = grid_pixels()
    features = probe.features(pixels)
    z = features.double().numpy()
    x, y, _ = coordinates()
    # a scale times a monomial: the monomial itself; a ReLU: the input (x, y, 1) where it is active
    slopes = np.square(z) if probe.info.id == "toy-cubic" else (z > 0) * ((x**2 + y**2 + 1) / 3)[:, None]
    _, _, labels = draw_tasks(FEW)
    for own, head in zip(labels.reshape(6, -1), fit_heads(z, labels.reshape(6, -1)), strict=True):
        p = torch.softmax(head.logits(features.double()), 1)[:, 1].numpy()
        w = (head.weight[1] - head.weight[0]).astype(np.float64)
        expected = (class_weights(own, 2) * p * (1 - p)) @ slopes * w**2
        found = fisher_diagonal(probe, head, pixels, own, DiagonalSettings(estimator="exact")).mean
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * expected.max())


def test_heads_are_those_of_the_general_fit():
    features = cubic_probe().features(grid_pixels())
    labels = draw_tasks(ToySettings(tasks=2, noise=0.1))[2].reshape(2, -1)
    for own, head in zip(labels, fit_heads(features.double().numpy(), labels), strict=True):
        general = fit_regularised_head(features, own, 2, weight_decay=WEIGHT_DECAY)
        np.testing.assert_allclose(head.weight, general.weight, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(head.bias, general.bias, rtol=1e-3, atol=1e-3)
        right = head.logits(features).argmax(1).numpy() == own
        balanced = np.mean([right[own == c].mean() for c in (0, 1)])
        assert head.validation_accuracy == pytest.approx(balanced)


def test_a_task_and_its_negative_have_one_embedding():
    labels = draw_tasks(FEW)[2]
    both = view(cubic_probe(), np.concatenate([labels, 1 - labels]), np.arange(12.0))
    np.testing.assert_allclose(np.diag(both.distance[:6, 6:]), 0, atol=1e-5)
    assert both.distance[:6, :6][~np.eye(6, dtype=bool)].min() > 1e-3  # the same inputs, other labels


def test_two_runs_are_the_same_to_the_bit_and_another_seed_differs():
    first, again, other = (toy_space(ToySettings(tasks=5, seed=s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.labels != other.labels).any()
    for title, seen in first.views.items():
        for name in ("fisher", "distance", "coordinates", "decisions"):
            np.testing.assert_array_equal(getattr(seen, name), getattr(again.views[title], name))


def test_the_record_is_whole(space):
    assert space.labels.shape == (64, SIDE, SIDE)
    assert (space.clusters.min(), space.clusters.max()) == (3, 16)
    assert len(space.views) == 2
    for seen in space.views.values():
        assert seen.fisher.shape == (64, 10)
        assert seen.coordinates.shape == (64, 2)
        assert seen.decisions.shape == space.labels.shape
        np.testing.assert_allclose(seen.norm, seen.fisher.sum(1))
        right = ((seen.decisions > 0.5) == space.labels).mean()
        assert right == pytest.approx(seen.accuracy.mean(), abs=0.05)  # plain beside balanced accuracy


def test_simple_and_complex_tasks_group_apart_and_the_norm_tells_them_apart_where_the_head_can(space):
    cubic, features = space.views.values()
    for seen in (cubic, features):
        assert seen.grouping.rho > 0.3
        assert seen.grouping.p < 0.01
    assert cubic.accuracy.mean() > 0.85 > features.accuracy.mean()
    assert cubic.growth.rho > 0.5
    noisy = toy_space(ToySettings(noise=0.3)).views
    assert next(iter(noisy.values())).growth.rho < 0.2  # heads that cannot solve their tasks


def test_neighbours_alike_agrees_with_a_loop():
    rng = np.random.default_rng(0)
    at, values = rng.random((15, 2)), rng.random(15)
    distance = np.linalg.norm(at[:, None] - at[None], axis=2)
    means = [np.mean([values[j] for j in np.argsort(row)[1 : NEAREST + 1]]) for row in distance]
    assert neighbours_alike(distance, values).rho == pytest.approx(spearmanr(values, means).statistic)


def test_neighbours_alike_knows_order_from_chance():
    line = np.arange(40.0)
    distance = abs(line[:, None] - line[None])
    ordered = neighbours_alike(distance, line)
    assert ordered.rho > 0.95
    assert ordered.p < 0.002
    p = [neighbours_alike(distance, np.random.default_rng(s).permutation(line)).p for s in range(40)]
    assert np.mean(p) == pytest.approx(0.5, abs=0.15)  # uniform under chance
    assert np.isnan(neighbours_alike(distance, np.ones(40)).rho)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tasks": 1}, "at least 2"),
        ({"fewest": 1}, "1 to 16 clusters"),
        ({"fewest": 9, "most": 8}, "9 to 8 clusters"),
        ({"most": 99}, "3 to 99 clusters"),
        ({"noise": 0.6}, "0.6"),
        ({"noise": -0.1}, "-0.1"),
    ],
)
def test_options_that_cannot_be_drawn_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        ToySettings(**options)
