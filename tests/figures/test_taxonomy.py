"""Figures of the taxonomy page: what is drawn is what was given."""

from __future__ import annotations

import numpy as np

from t2v_core.figures.taxonomy import distance_by_level, neighbour_curves
from t2v_core.space.agreement import neighbour_curve
from t2v_core.space.taxonomy import taxonomic_distance

T = taxonomic_distance([((f"k{i % 2}", f"c{i % 4}"),) for i in range(12)])
D = T + np.random.default_rng(0).random((12, 12))


def test_a_line_a_band_and_the_two_references():
    curves = {"one": neighbour_curve(D, T), "two": neighbour_curve(-D, T)}
    figure = neighbour_curves(curves)
    named = {t.name: t for t in figure.data if t.name}
    assert list(named) == ["one", "two", "ideal: the taxonomy itself", "chance"]
    np.testing.assert_array_equal(named["two"].y, curves["two"].mean)
    np.testing.assert_array_equal(named["chance"].y, [curves["one"].chance] * 2)
    assert named["one"].line.dash != named["two"].line.dash
    band = figure.data[0]
    assert band.fill == "toself"
    assert max(band.y) == curves["one"].high.max()
    assert len(neighbour_curves({}).data) == 0


def test_boxes_hold_the_quartiles_of_each_level():
    figure = distance_by_level(D, T, ("kingdom", "class"))
    (box,) = figure.data
    assert list(box.x) == ["the same place (0)", "kingdom (1)", "nothing (2)"]
    far = D[T == 2]
    np.testing.assert_allclose(box.median[2], np.median(far))
    np.testing.assert_allclose(box.q1[2], np.percentile(far, 25))
    near = D[(T == 0) & ~np.eye(12, dtype=bool)]
    np.testing.assert_allclose(box.upperfence[0], np.percentile(near, 95))


def test_pairs_of_the_chosen_tasks_have_boxes_of_their_own():
    everyone, one = distance_by_level(D, T, ("kingdom", "class"), np.arange(12) == 3).data
    (alone,) = distance_by_level(D, T, ("kingdom", "class"), np.zeros(12, dtype=bool)).data
    assert one.name == "pairs of the chosen task"
    np.testing.assert_array_equal(everyone.median, alone.median)
    assert list(one.x) == list(everyone.x)
    np.testing.assert_allclose(one.median[2], np.median(D[3][T[3] == 2]))
    assert distance_by_level(D, T, chosen=np.arange(12) < 5).data[1].name == "pairs of the 5 chosen tasks"


def test_levels_without_names_and_missing_tasks():
    gaps = D.copy()
    gaps[0] = np.nan
    (box,) = distance_by_level(gaps, T).data
    assert list(box.x) == ["the same place (0)", "level 1 (1)", "nothing (2)"]
    assert np.isfinite(box.median).all()
    assert not len(distance_by_level(np.zeros((1, 1)), np.zeros((1, 1))).data[0].x)
