"""H-score against its covariances, formed and inverted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.transferability.h_score import h_score, h_score_shrunk
from tests.transferability import oracles
from tests.transferability.samples import clusters, rotation

draws = st.builds(
    clusters,
    seed=st.integers(0, 10**6),
    images=st.integers(20, 60),
    dimensions=st.integers(2, 7),
    classes=st.integers(2, 4),
    apart=st.floats(0, 5),
)


@given(draws)
def test_agrees_with_the_formulas(drawn):
    assert h_score(*drawn) == pytest.approx(oracles.h_score(*drawn), rel=1e-8)
    assert h_score_shrunk(*drawn) == pytest.approx(oracles.h_score_shrunk(*drawn), rel=1e-8)


@given(draws)
def test_lies_between_zero_and_classes_less_one_and_shrinking_never_raises_it(drawn):
    plain = h_score(*drawn)
    assert 0 <= plain <= drawn[1].max() + 1e-9
    assert 0 <= h_score_shrunk(*drawn) <= plain + 1e-9


def test_hand_case():
    # One dimension: the ratio of the variance between classes, 4, to the whole, 5.
    assert h_score([[-3.0], [-1.0], [1.0], [3.0]], [0, 0, 1, 1]) == pytest.approx(4 / 5)


def test_plain_score_is_blind_to_any_invertible_map():
    features, labels = clusters(dimensions=5)
    mapped = features @ np.random.default_rng(1).normal(size=(5, 5)) + 7
    assert h_score(mapped, labels) == pytest.approx(h_score(features, labels))


@pytest.mark.parametrize("score", [h_score, h_score_shrunk])
def test_blind_to_rotation_scale_shift_order_and_names(score):
    features, labels = clusters(images=80, dimensions=5, classes=4)
    expected = score(features, labels)
    order = np.random.default_rng(2).permutation(len(labels))
    assert score(3 * features @ rotation(1, 5) - 2, labels) == pytest.approx(expected)
    assert score(features[order], labels[order]) == pytest.approx(expected)
    assert score(features, np.array(["d", "b", "a", "c"])[labels]) == pytest.approx(expected)


@pytest.mark.parametrize("score", [h_score, h_score_shrunk])
def test_grows_with_separation(score):
    found = [score(*clusters(apart=apart)) for apart in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.5


def test_features_dead_or_repeated_change_nothing():
    features, labels = clusters()
    widened = np.hstack([features, np.zeros((len(labels), 2)), features[:, :1]])
    assert h_score(widened, labels) == pytest.approx(h_score(features, labels))


def test_too_few_images_explain_everything_and_only_the_shrunk_score_still_chooses():
    near, labels = clusters(images=12, dimensions=40, apart=0.2)
    far, _ = clusters(images=12, dimensions=40, apart=3)
    assert h_score(near, labels) == h_score(far, labels) == 2
    assert h_score_shrunk(near, labels) < h_score_shrunk(far, labels) < 2


def test_rank_is_told_apart_from_the_rounding_of_float32():
    rng = np.random.default_rng(0)
    few, labels = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    spread = (few @ rng.normal(size=(5, 20))).astype(np.float32)
    assert h_score(spread, labels) == pytest.approx(h_score(few, labels), rel=1e-4)
