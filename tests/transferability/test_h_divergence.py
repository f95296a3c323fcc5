"""H-divergence against its own discriminant by explicit inverse, and against the Bayes error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.model_selection import StratifiedKFold

from t2v_core.errors import InputError
from t2v_core.transferability.h_divergence import h_divergence
from tests.transferability import oracles


def two(shift: float, first: int = 60, second: int = 40, dimensions: int = 5, seed: int = 0):
    """Two Gaussian domains, ``shift`` standard deviations apart."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(first, dimensions)), rng.normal(size=(second, dimensions))
    b[:, 0] += shift
    return a, b


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("dimensions", [3, 70])
def test_agrees_with_the_discriminant_by_explicit_inverse(shift, dimensions):
    a, b = two(shift, dimensions=dimensions)
    rows, domain = np.vstack([a, b]), np.repeat([0, 1], [60, 40])
    wrong = np.zeros(100)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=7).split(rows, domain):
        wrong[test] = oracles.discriminant_errors(rows[train], domain[train], rows[test]) != domain[test]
    error = min((wrong[:60].mean() + wrong[60:].mean()) / 2, 0.5)
    assert h_divergence(a, b, seed=7) == pytest.approx(2 * (1 - 2 * error), abs=1e-12)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_comes_to_the_bayes_error_of_two_gaussians(shift):
    found = h_divergence(*two(shift, 4000, 8000))
    assert found == pytest.approx(2 * (1 - 2 * norm.cdf(-shift / 2)), abs=0.05)


def test_separable_tasks_are_two_apart_and_the_same_images_zero():
    a, b = two(50)
    assert h_divergence(a, b) == 2
    assert h_divergence(a, a) == 0


def test_the_larger_task_does_not_decide():
    # Without weights, always answering "first" would err on 1 image in 11 only: a divergence of 1.6.
    assert h_divergence(*two(0, 1000, 100)) < 0.3


def test_grows_with_separation_and_repeats_with_its_seed():
    found = [h_divergence(*two(shift, 300, 300)) for shift in (0.0, 0.7, 1.5, 3.0)]
    assert found == sorted(found)
    assert h_divergence(*two(1), seed=3) == h_divergence(*two(1), seed=3)


def test_blind_to_scale_and_shift_of_each_feature():
    a, b = two(1)
    scale = np.array([1e-2, 1.0, 30.0, 5.0, 0.3])
    assert h_divergence(a * scale + 4, b * scale + 4) == pytest.approx(h_divergence(a, b))


def test_three_images_a_task_are_enough_and_two_are_refused():
    a, b = two(50)
    assert 0 <= h_divergence(a[:3], b[:3]) <= 2
    with pytest.raises(InputError, match="at least 3 images of each task and got 60 and 2"):
        h_divergence(a, b[:2])


def test_what_cannot_be_compared_is_refused():
    a, b = two(1)
    with pytest.raises(InputError, match="5 and 4 dimensions"):
        h_divergence(a, b[:, :4])
    with pytest.raises(InputError, match="second task's features are the same for all 40 images"):
        h_divergence(a, np.ones_like(b))
    b[3, 1] = np.nan
    with pytest.raises(InputError, match="first in row 3"):
        h_divergence(a, b)
