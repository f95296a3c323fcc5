"""Maps of the task space: classical scaling, t-SNE, and new tasks placed on a map."""

from __future__ import annotations

import numpy as np
import pytest

from t2v_core.space.projection import DENSE, classical_scaling, place, tsne


@pytest.mark.parametrize("count", [12, DENSE + 20])
def test_classical_scaling_recovers_a_plane(count):
    points = np.random.default_rng(0).normal(size=(count, 2))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = classical_scaling(distance)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found[None], axis=2), distance, atol=1e-8)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_maps_of_few_tasks(count):
    points = np.arange(count, dtype=float)
    found = tsne(np.abs(points[:, None] - points[None]))
    assert found.shape == (count, 2)
    assert np.isfinite(found).all()


def test_tsne_repeats_and_keeps_groups_together():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(15, 3)), rng.normal(size=(15, 3)) + 12])
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = tsne(distance)
    np.testing.assert_array_equal(found, tsne(distance))
    gap = np.linalg.norm(found[:15].mean(0) - found[15:].mean(0))
    assert gap > 2 * np.linalg.norm(found[:15] - found[:15].mean(0), axis=1).mean()


def test_a_new_task_lands_among_its_nearest():
    coordinates = np.array([[0.0, 0], [1, 0], [0, 1], [50, 50], [51, 50], [50, 51]])
    x, y = place(coordinates, np.array([[0.9, 0.8, 0.9, 0.1, 0.2, 0.2]]), neighbours=3)[0]
    assert 50 <= x <= 51
    assert 50 <= y <= 51
    np.testing.assert_allclose(place(coordinates, np.array([[1.0, 1, 1, 0, 1, 1]]), 1)[0], [50, 50])


def test_tasks_that_are_all_alike_stand_together():
    np.testing.assert_array_equal(classical_scaling(np.zeros((DENSE + 20, DENSE + 20))), 0)
