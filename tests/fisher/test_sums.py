"""Means in additive parts: how samples are spread over them, and what they tell of the mean's error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.fisher.sums import ChunkSums, assign_chunks, imbalance, relative_standard_error, standard_error


def test_some_chunks_of_small_classes_hold_no_pattern_of_classes():
    """Of 100 classes with 4 images each, the first 5 of 16 chunks are a sample of all, whatever their numbers."""
    labels = np.repeat(np.arange(100), 4)
    present = np.zeros(100)
    for seed in range(200):
        chunk = assign_chunks(labels, 16, seed)
        assert np.bincount(chunk).tolist() == [25] * 16
        present += np.bincount(labels[chunk < 5], minlength=100) / 200
    assert present.mean() == pytest.approx(4 * 5 / 16)
    assert np.ptp(present) < 0.6  # the same number of each, but for chance: some six standard errors of 0.07


def test_every_chunk_has_samples_whatever_the_classes():
    for sizes in ([2, 1], [1, 1, 1, 1, 1], [17, 3], [1, 40]):
        labels = np.repeat(np.arange(len(sizes)), sizes)
        counts = np.bincount(assign_chunks(labels, 16, seed=0), minlength=min(16, len(labels)))
        assert np.ptp(counts) <= 1


def test_chunks_are_even_in_every_class():
    labels = np.repeat([0, 1, 2], [40, 20, 10])
    chunk = assign_chunks(labels, 5, seed=0)
    table = np.array([[np.sum((chunk == c) & (labels == k)) for k in range(3)] for c in range(5)])
    assert (np.ptp(table, axis=0) <= 1).all()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 99))
def test_imbalance_is_that_of_the_classes_so_far(sizes, seed):
    classes = np.repeat(np.arange(len(sizes)), sizes)
    chunk = assign_chunks(classes, 16, seed)
    found = imbalance(classes, chunk)
    assert len(found) == min(16, len(classes)) and found[-1] == pytest.approx(0)
    for c, value in enumerate(found):
        share = np.bincount(classes[chunk <= c], minlength=len(sizes)) / sizes
        expected = 1 if (share == 0).any() else np.abs(share / share.sum() - 1 / len(sizes)).sum() / 2
        assert value == pytest.approx(expected)


def test_the_standard_error_is_that_of_a_mean_of_chunks():
    means = np.random.default_rng(0).normal(size=(8, 5))
    found = standard_error(means, np.full(8, 1 / 8))
    np.testing.assert_allclose(found, means.std(0, ddof=1) / np.sqrt(8))
    relative = relative_standard_error(means, np.full(8, 1 / 8))
    assert relative == pytest.approx(np.linalg.norm(found) / np.linalg.norm(means.mean(0)))
    assert np.isnan(standard_error(means[:1], np.ones(1))).all()
    # A chunk of no weight has no say.
    np.testing.assert_array_equal(standard_error(means[:2], np.array([1.0, 0.0])), 0)


@given(st.integers(1, 40), st.integers(1, 20))
def test_merged_chunks_are_the_same_mean_in_fewer_parts(parts, count):
    rng = np.random.default_rng(parts)
    whole = ChunkSums(rng.random((parts, 3)), rng.random(parts), parts)
    found = whole.merged(count)
    assert len(found.sums) == len(found.weights) == min(parts, count)
    np.testing.assert_allclose(found.mean, whole.mean)
    np.testing.assert_allclose(found.weights.sum(), whole.weights.sum())
