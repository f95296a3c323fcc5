"""RSA against a loop over pairs of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.errors import InputError
from t2v_core.transferability.rsa import rsa
from tests.transferability import oracles
from tests.transferability.samples import clusters


@given(st.integers(0, 10**6), st.integers(3, 12), st.integers(3, 8), st.integers(3, 8))
def test_agrees_with_a_loop_and_is_symmetric(seed, images, first, second):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(images, first)), rng.normal(size=(images, second))
    assert rsa(a, b) == pytest.approx(oracles.rsa(a, b), abs=1e-9)
    assert rsa(b, a) == pytest.approx(rsa(a, b), abs=1e-12)


def test_hand_case():
    # Zero-mean features in a plane: the correlation of two images is the cosine of the angle between them.
    plane = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / np.sqrt([[2.0], [6.0]])

    def at(*degrees: float) -> np.ndarray:
        turned = np.radians(degrees)
        return np.stack([np.cos(turned), np.sin(turned)], 1) @ plane

    # Angles (12, 13, 23): 30, 100, 70 have ranks 1, 3, 2; 60, 100, 40 have ranks 2, 3, 1.
    assert rsa(at(0, 30, 100), at(0, 60, 100)) == pytest.approx(1 - 6 * (1 + 0 + 1) / (3 * 8))


def test_one_with_itself_and_blind_to_scale_and_order():
    a, _ = clusters(images=30, dimensions=8)
    b = a + np.random.default_rng(1).normal(size=a.shape)
    expected = rsa(a, b)
    order = np.random.default_rng(2).permutation(len(a))
    assert rsa(a, a) == pytest.approx(1)
    assert rsa(5 * a + 3, b) == pytest.approx(expected)
    assert rsa(a[order], b[order]) == pytest.approx(expected)


def test_blind_to_a_rotation_that_keeps_each_images_mean():
    a, _ = clusters(images=30, dimensions=6)
    b = np.random.default_rng(1).normal(size=(len(a), 4))
    ones = np.ones((6, 1))
    basis = np.linalg.qr(np.hstack([ones, np.random.default_rng(3).normal(size=(6, 5))]))[0]
    turn = np.eye(6)
    turn[1:, 1:] = np.linalg.qr(np.random.default_rng(4).normal(size=(5, 5)))[0]
    assert rsa(a @ basis @ turn @ basis.T, b) == pytest.approx(rsa(a, b))


def test_falls_as_a_network_departs():
    a, _ = clusters(images=60, dimensions=8)
    noise = np.random.default_rng(1).normal(size=a.shape)
    found = [rsa(a, a + strength * noise) for strength in (0.0, 0.3, 1.0, 3.0)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.5


def test_what_cannot_be_compared_is_refused():
    good = np.random.default_rng(0).normal(size=(5, 4))
    flat = good.copy()
    flat[3] = 2.0
    with pytest.raises(InputError, match=r"rows .* do not match \(5 and 4\)"):
        rsa(good, good[:4])
    with pytest.raises(InputError, match="at least 3"):
        rsa(good[:2], good[:2])
    with pytest.raises(InputError, match="image 3 are constant"):
        rsa(good, flat)
    with pytest.raises(InputError, match="equally alike"):
        rsa(np.outer(np.arange(1.0, 6), good[0]), good)
    for broken in (np.nan, np.inf):
        spoiled = good.copy()
        spoiled[2, 1] = broken
        with pytest.raises(InputError, match=r"reference network's features .* first in row 2"):
            rsa(good, spoiled)
