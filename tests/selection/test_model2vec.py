"""MODEL2VEC: its gradient, its loss against a slow twin, its schedule against torch, and what it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from t2v_core.embedding.record import TASK2VEC
from t2v_core.probe.record import BETA
from t2v_core.selection.model2vec import (
    Adam,
    Model2Vec,
    Problem,
    similarity_to_fixed,
    soft_targets,
    training_rows,
)
from t2v_core.selection.nearest import Nearest
from t2v_core.selection.regret import best_error, chosen_error, relative_increase
from t2v_core.space.distances import asymmetric, symmetric, to_trivial
from tests.selection.metas import embedded_meta

RNG = np.random.default_rng(0)
TASKS, MODELS = RNG.lognormal(size=(5, 7)), RNG.lognormal(size=(4, 7))
TASKS[0, 2] = TASKS[:, 5] = MODELS[1, 2] = MODELS[:, 5] = 0  # a zero on one side, on both, and in all
CANDIDATE = RNG.uniform(size=(5, 4)) < 0.8
CANDIDATE[:, :2] = True
ERRORS = np.where(CANDIDATE, RNG.uniform(5, 60, (5, 4)), np.nan)
SOFT = soft_targets(ERRORS, 2.0)
SAMPLES, PRIOR = RNG.uniform(0.5, 3, 4) * BETA, RNG.uniform(0.5, 2, 7)  # so few that complexity matters
ALPHA, GAMMA = 0.4, 6.0


def slow_loss(models: np.ndarray, gamma: float) -> float:
    complexity = to_trivial(models, SAMPLES, PRIOR)
    distance = asymmetric(symmetric(TASKS, models), complexity, ALPHA)
    losses = []
    for i in range(len(TASKS)):
        allowed = np.flatnonzero(CANDIDATE[i])
        losses.append(-(SOFT[i, allowed] * log_softmax(-gamma * distance[i, allowed])).sum())
    return float(np.mean(losses))


def fast_loss(models: np.ndarray, gamma: float, dtype=np.float64):
    return Problem(TASKS.astype(dtype), SOFT, CANDIDATE, PRIOR, SAMPLES, ALPHA).loss(models, gamma)


def test_the_loss_is_that_of_the_slow_twin():
    assert fast_loss(MODELS, GAMMA)[0] == pytest.approx(slow_loss(MODELS, GAMMA), abs=1e-10)
    assert fast_loss(MODELS, GAMMA, np.float32)[0] == pytest.approx(slow_loss(MODELS, GAMMA), abs=1e-4)


def test_the_gradient_is_that_of_finite_differences():
    _, gradient, by_gamma = fast_loss(MODELS, GAMMA)
    step = 1e-6
    for j, d in np.ndindex(MODELS.shape):
        up, down = MODELS.copy(), MODELS.copy()
        up[j, d] *= np.exp(step)
        down[j, d] *= np.exp(-step)
        expected = (slow_loss(up, GAMMA) - slow_loss(down, GAMMA)) / (2 * step)
        assert gradient[j, d] == pytest.approx(expected, abs=1e-7)
    assert np.abs(gradient).max() > 1e-3
    expected = (slow_loss(MODELS, GAMMA + step) - slow_loss(MODELS, GAMMA - step)) / (2 * step)
    assert by_gamma == pytest.approx(expected, abs=1e-7)
    np.testing.assert_allclose(fast_loss(MODELS, GAMMA, np.float32)[1], gradient, atol=1e-4)


def test_the_slope_of_the_similarity():
    fixed, moving = RNG.lognormal(size=(1, 6)), RNG.lognormal(size=(3, 6))
    similarity, slope = similarity_to_fixed(fixed, moving)
    np.testing.assert_allclose(similarity, 1 - symmetric(moving, fixed)[:, 0])
    direction = RNG.normal(size=moving.shape)
    expected = [(symmetric(moving + s * 1e-6 * direction, fixed)[:, 0]) for s in (1, -1)]
    np.testing.assert_allclose((slope * direction).sum(1), -(expected[0] - expected[1]) / 2e-6, atol=1e-7)


def test_soft_targets():
    np.testing.assert_allclose(
        soft_targets(np.array([[10.0, np.nan, 30, 20]]), 20)[0],
        np.insert(softmax(-20 * np.array([-10, 10, 0]) / np.std([10, 30, 20])), 1, 0),
        atol=1e-12,
    )
    assert soft_targets(np.array([[1.0, 2]]), 0).tolist() == [[0.5, 0.5]]


def test_adam_is_the_one_of_torch():
    start = RNG.normal(size=(3, 4))
    theirs = torch.tensor(start, requires_grad=True)
    ours = start.copy()
    reference, own = torch.optim.Adam([theirs], lr=0.05, weight_decay=5e-4), Adam(ours, 0.05)
    for _ in range(30):
        reference.zero_grad()
        ((theirs - 1) ** 4).sum().backward()
        reference.step()
        own.step(4 * (ours - 1) ** 3 + 5e-4 * ours)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9)


def test_before_it_has_learned_it_is_the_asymmetric_distance():
    meta = embedded_meta()
    np.testing.assert_allclose(Model2Vec(epochs=0).scores(meta), Nearest("asymmetric").scores(meta), atol=1e-12)


def test_it_learns_which_experts_are_good():
    """Two experts are bad at everything, which no distance shows: tasks left out profit from learning it."""
    meta = embedded_meta(tasks=30, experts=6, seed=1)
    meta = replace(meta, errors=np.minimum(meta.errors + np.array([30, 0, 0, 30, 0, 0]), 99))
    regret = {
        s.name: relative_increase(chosen_error(meta.errors, s.scores(meta)), best_error(meta.errors)).mean()
        for s in (Nearest("asymmetric"), Model2Vec())
    }
    assert regret["model2vec"] < 0.7 * regret["asymmetric"]
    placed = Model2Vec().fit(meta, training_rows(meta))
    assert (placed.models > 0).all()
    assert placed.gamma > 1


def test_an_expert_of_unknown_origin_finds_its_place():
    meta = embedded_meta(tasks=30, experts=6, seed=1)
    v = meta.vectors
    sources = v.sources[TASK2VEC].copy()
    sources[2] = np.nan
    errors = meta.errors.copy()
    errors[:, 2] = errors.min(1) - 0.5  # the best of all, and no distance tells
    unknown = replace(meta, errors=errors, vectors=replace(v, sources={TASK2VEC: sources}))
    assert np.isnan(Nearest("symmetric").scores(unknown)[:, 2]).all()
    scores = Model2Vec().scores(unknown)
    assert np.isfinite(scores).all()
    assert (scores.argmin(1) == 2).mean() > 0.6  # by chance: one in six


def test_tasks_that_teach_nothing_are_no_training_tasks():
    meta = embedded_meta(tasks=6)
    errors, targets = meta.errors.copy(), meta.vectors.targets[TASK2VEC].copy()
    errors[0] = 30  # all equal
    errors[1, 1:] = np.nan  # one candidate
    errors[2] = np.nan
    targets[3] = np.nan
    meta = replace(meta, errors=errors, vectors=replace(meta.vectors, targets={TASK2VEC: targets}))
    assert training_rows(meta).tolist() == [4, 5]
    scores = Model2Vec(epochs=3).scores(meta)
    assert np.isfinite(scores).all(1).tolist() == [True, True, True, False, True, True]


def test_a_seedless_computation_repeats():
    meta = embedded_meta()
    np.testing.assert_array_equal(Model2Vec(epochs=5).scores(meta), Model2Vec(epochs=5).scores(meta))
