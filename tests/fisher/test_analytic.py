"""The closed form against numerical derivatives of the likelihood, and the estimators against the closed form."""

from __future__ import annotations

import copy
import doctest
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from torch import nn

from t2v_core.fisher import analytic
from t2v_core.fisher.analytic import analytic_fisher, fisher_matrix
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.heads import Head, class_weights
from t2v_core.probe.probe import make_probe
from t2v_core.task.record import InputSpec

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))


def network(samples, inputs, filters, seed):
    rng = np.random.default_rng(seed)
    U, w = rng.normal(size=(filters, inputs)), rng.normal(size=filters)
    return rng, rng.normal(size=(samples, inputs)), U, w, float(rng.normal())


def numerical_matrix(x, U, w, b, weights):
    """Expected outer product of the central differences of log p(y|x) by every weight, one sample and label each."""

    def log_p(y, row, flat):
        p = expit(expit(flat.reshape(U.shape) @ row) @ w + b)
        return np.log(p if y else 1 - p)

    step = 1e-5
    total = np.zeros((U.size, U.size))
    for row, weight in zip(x, weights, strict=True):
        for y in (0, 1):
            nudges = step * np.eye(U.size)
            g = [(log_p(y, row, U.ravel() + n) - log_p(y, row, U.ravel() - n)) / (2 * step) for n in nudges]
            total += weight * np.exp(log_p(y, row, U.ravel())) * np.outer(g, g)
    return total


@settings(max_examples=25, deadline=None)
@given(SHAPES)
def test_agrees_with_differences_of_the_log_likelihood(shape):
    rng, x, U, w, b = network(*shape)
    weights = rng.dirichlet(np.ones(len(x)))
    expected = numerical_matrix(x, U, w, b, weights)
    found = fisher_matrix(x, U, w, b, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    diagonal = np.diag(expected).reshape(U.shape).mean(1)
    np.testing.assert_allclose(analytic_fisher(x, U, w, b, weights), diagonal, rtol=1e-6, atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(SHAPES)
def test_the_filters_are_the_matrix_diagonal_and_the_matrix_an_information(shape):
    _, x, U, w, b = network(*shape)
    matrix = fisher_matrix(x, U, w, b)
    np.testing.assert_allclose(analytic_fisher(x, U, w, b), np.diag(matrix).reshape(U.shape).mean(1), rtol=1e-12)
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-12)
    assert np.linalg.eigvalsh(matrix).min() > -1e-12 * np.trace(matrix)


def test_blocks_stand_in_the_order_of_the_weights():
    x, U, w = np.array([[1.0, 3.0]]), np.zeros((2, 2)), np.array([4.0, -8.0])
    # p = sigma(-2), z = 1/2, so s = (1, -2)
    share = expit(-2.0) * expit(2.0)
    expected = share * np.kron([[1, -2], [-2, 4]], [[1, 3], [3, 9]])
    np.testing.assert_allclose(fisher_matrix(x, U, w), expected, rtol=1e-12)


def test_a_weight_counts_like_copies_of_a_sample():
    _, x, U, w, b = network(3, 2, 4, seed=1)
    expected = analytic_fisher(x[[0, 1, 1, 2]], U, w, b)
    np.testing.assert_allclose(analytic_fisher(x, U, w, b, [0.25, 0.5, 0.25]), expected, rtol=1e-12)


def test_a_saturated_network_carries_no_information_and_does_not_overflow():
    np.testing.assert_array_equal(analytic_fisher([[1e4]], [[1.0]], [1.0]), [0])


@pytest.fixture
def probe():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 1, bias=False), nn.Sigmoid(), nn.Flatten())
    spec = InputSpec(1, 1, (0.2, 0.5, 0.4), (0.3, 0.2, 0.5))
    made = make_probe("two-layer", "two-layer", layers, None, spec, "", torch.device("cpu"))
    return replace(made, network=copy.deepcopy(made.network).double())


@pytest.mark.parametrize("likelihood", ["softmax", "bernoulli"])
def test_the_exact_estimator_agrees(probe, likelihood):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 1, 1, 3), dtype=np.uint8)
    labels = (np.arange(50) < 15).astype(np.int64)
    w, b = rng.normal(size=6).astype(np.float32) * 3, np.float32(0.7)
    if likelihood == "softmax":
        head = Head(np.stack([0 * w, w]), np.array([0, b]), 0, 0, 0)
        weights = class_weights(labels, 2)
    else:
        head, labels, weights = Head(w[None], np.array([b]), 0, 0, 0), labels[:, None], None
    run = DiagonalSettings(estimator="exact", likelihood=likelihood, batch_size=16)
    found = fisher_diagonal(probe, head, pixels, labels, run).mean
    x = probe.normalise(pixels).flatten(1).numpy()
    U = probe.weights()[0].flatten(1).numpy()
    np.testing.assert_allclose(found, analytic_fisher(x, U, w, float(b), weights), rtol=1e-10)


def test_the_example_in_the_docstring():
    assert doctest.testmod(analytic).attempted > 0
    assert doctest.testmod(analytic).failed == 0
