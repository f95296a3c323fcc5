"""LEEP and NCE against loops that count, and against each other."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.transferability.leep import leep
from t2v_core.transferability.nce import nce
from tests.transferability import oracles
from tests.transferability.samples import probabilities


@st.composite
def outputs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    images, sources, classes = draw(st.integers(4, 40)), draw(st.integers(1, 6)), draw(st.integers(2, 4))
    found = probabilities(draw(st.integers(0, 10**6)), images, sources, draw(st.floats(0.1, 8)))
    labels = np.random.default_rng(draw(st.integers(0, 10**6))).integers(0, classes, images)
    labels[:2] = 0, 1
    return found, labels


@given(outputs())
def test_agree_with_loops(drawn):
    assert leep(*drawn) == pytest.approx(oracles.leep(*drawn), abs=1e-10)
    assert nce(*drawn) == pytest.approx(oracles.nce(*drawn), abs=1e-10)


@given(outputs())
def test_leep_of_certain_predictions_is_nce(drawn):
    found, labels = drawn
    certain = np.eye(found.shape[1])[found.argmax(1)]
    assert leep(certain, labels) == pytest.approx(nce(found, labels), abs=1e-10)


@given(outputs())
def test_lie_between_the_label_entropy_and_zero(drawn):
    found, labels = drawn
    shares = np.bincount(labels) / len(labels)
    entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    assert -entropy - 1e-9 <= nce(found, labels) <= 1e-12
    assert leep(found, labels) <= 1e-12


@pytest.mark.parametrize("score", [leep, nce])
def test_hand_cases(score):
    # Source class 0 holds labels a, a, b; class 1 holds b: -(2 log 2/3 + log 1/3 + log 1) / 4 remain unknown.
    certain = np.eye(2)[[0, 0, 0, 1]]
    assert score(certain, ["a", "a", "b", "b"]) == pytest.approx((2 * log(2 / 3) + log(1 / 3)) / 4)
    assert score(np.eye(3)[[2, 2, 0, 0]], [0, 0, 1, 1]) == pytest.approx(0, abs=1e-12)
    assert score(np.ones((4, 1)), [0, 0, 1, 1]) == pytest.approx(-log(2))


def test_leep_of_uninformed_predictions_is_the_label_entropy():
    assert leep(np.full((6, 5), 0.2), [0, 0, 0, 0, 1, 1]) == pytest.approx((4 * log(4 / 6) + 2 * log(2 / 6)) / 6)


@pytest.mark.parametrize("score", [leep, nce])
def test_blind_to_order_and_names(score):
    found, labels = probabilities(0, 50, 6), np.random.default_rng(1).integers(0, 4, 50)
    expected = score(found, labels)
    order, columns = np.random.default_rng(2).permutation(50), np.random.default_rng(3).permutation(6)
    assert score(found[order], labels[order]) == pytest.approx(expected)
    assert score(found[:, columns], labels) == pytest.approx(expected)
    assert score(found, np.array([9, 3, 5, 1])[labels]) == pytest.approx(expected)


def test_softmax_rounded_to_half_precision_is_made_whole():
    found, labels = probabilities(0, 50, 6), np.random.default_rng(1).integers(0, 4, 50)
    assert leep(found * np.linspace(0.995, 1.005, 50)[:, None], labels) == pytest.approx(leep(found, labels), abs=1e-12)


@pytest.mark.parametrize("score", [leep, nce])
def test_grow_as_predictions_follow_the_labels(score):
    labels = np.random.default_rng(1).integers(0, 3, 300)
    noise = np.random.default_rng(2).normal(size=(300, 3))
    found = []
    for signal in (0.0, 1.0, 2.0, 4.0):
        grown = np.exp(noise + signal * np.eye(3)[labels])
        found.append(score(grown / grown.sum(1, keepdims=True), labels))
    assert found == sorted(found)
