"""LogME against the evidence maximised by explicit inverses, and against the paper's own iteration."""

from __future__ import annotations

from math import log, pi

import numpy as np
import pytest

from t2v_core.transferability.logme import logme
from tests.transferability import oracles
from tests.transferability.samples import clusters, rotation


@pytest.mark.parametrize("apart", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(("images", "dimensions"), [(40, 3), (24, 12)])
def test_agrees_with_the_evidence_maximised_over_both_precisions(images, dimensions, apart):
    features, labels = clusters(3, images=images, dimensions=dimensions, apart=apart)
    assert logme(features, labels) == pytest.approx(oracles.logme(features, labels), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_mackays_fixed_point(seed):
    features, labels = clusters(seed, images=50, dimensions=5, classes=4, apart=1.5)
    assert logme(features, labels) == pytest.approx(oracles.logme_fixed_point(features, labels), abs=1e-6)


def test_closed_form_of_features_that_say_nothing():
    # Orthogonal to both targets: all is noise of variance n_c / N = 1/2 each.
    features = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    assert logme(features, [0, 0, 1, 1]) == pytest.approx(-(log(2 * pi / 2) + 1) / 2, abs=1e-8)


def test_closed_form_of_one_feature():
    # y = (0,0,1,1), its negation, and f = (1,2,3,6): by hand s^2 = 50, (f.y)^2 / s^2 = 81/50 and 9/50.
    # The best ratio l makes the signal's variance 1 + s^2 / l equal 3 a^2 / (n_c - a^2), a^2 = (f.y)^2 / s^2.
    features = np.array([[1.0], [2.0], [3.0], [6.0]])
    scores = []
    for squared in (81 / 50, 9 / 50):
        growth = max(3 * squared / (2 - squared), 1)
        misfit = squared / growth + 2 - squared
        scores.append(-(log(2 * pi * misfit / 4) + 1) / 2 - log(growth) / 8)
    assert logme(features, [1, 1, 0, 0]) == pytest.approx(np.mean(scores), abs=1e-8)


def test_blind_to_rotation_scale_order_and_names():
    features, labels = clusters(images=80, dimensions=5, classes=4)
    expected = logme(features, labels)
    order = np.random.default_rng(2).permutation(len(labels))
    assert logme(1e-3 * features @ rotation(1, 5), labels) == pytest.approx(expected)
    assert logme(features[order], labels[order]) == pytest.approx(expected)
    assert logme(features, np.array([7, 2, -1, 4])[labels]) == pytest.approx(expected)


def test_dead_features_change_nothing():
    features, labels = clusters()
    assert logme(np.hstack([features, np.zeros((len(labels), 3))]), labels) == pytest.approx(logme(features, labels))


def test_grows_with_separation():
    found = [logme(*clusters(apart=apart)) for apart in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert found == sorted(found)


@pytest.mark.parametrize("dimensions", [30, 59, 60, 200])
def test_stays_finite_with_many_dimensions(dimensions):
    features, labels = clusters(images=60, dimensions=dimensions)
    assert np.isfinite(logme(features, labels))
    assert logme(features, labels) > logme(*clusters(images=60, dimensions=dimensions, apart=0))


def test_a_fit_without_noise_is_finite_and_better_than_any_other():
    _, labels = clusters()
    perfect = np.eye(3)[labels]
    noisy = perfect + 0.1 * np.random.default_rng(0).normal(size=perfect.shape)
    assert np.isfinite(logme(perfect, labels))
    assert logme(perfect, labels) > logme(noisy, labels)


def test_a_class_with_one_image_is_served():
    features, labels = clusters()
    labels[0] = 3
    assert logme(features, labels) == pytest.approx(oracles.logme(features, labels), abs=1e-6)
