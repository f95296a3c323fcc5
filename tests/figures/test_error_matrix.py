"""The error matrix: frames around the right cells, numbers only where there is room."""

from __future__ import annotations

import numpy as np
import pytest

from t2v_core.figures.error_matrix import FRAMES, MOST_NUMBERS, error_matrix

ERRORS = np.array([[np.nan, 20, 30], [40, 15.4, 35]])
NEAR = np.array([[0.0, 0.2, 0.1], [0.3, 0.2, 0.5]])
PICKED = np.array([[False, False, True], [False, True, False]])
BEST = np.array([[False, True, False], [False, True, False]])


def drawn(**options):
    return error_matrix(ERRORS, NEAR, PICKED, BEST, ["a", "b"], ["x", "y", "z"], "distance", **options)


def framed(trace) -> set[tuple[int, int]]:
    """Row and column of every framed cell."""
    x, y = (np.reshape(v, (-1, 6))[:, :5].astype(float) for v in (trace.x, trace.y))
    centres = zip((y.min(1) + y.max(1)) / 2, (x.min(1) + x.max(1)) / 2, strict=True)
    return {(round(t), round(e)) for t, e in centres}


def test_cells_show_the_background_and_the_errors_and_stay_empty_where_nobody_is_a_candidate():
    heat = drawn().data[0]
    np.testing.assert_allclose(heat.z, np.where(np.isfinite(ERRORS), NEAR, np.nan), atol=1e-6)
    np.testing.assert_allclose(heat.customdata, ERRORS, atol=1e-6)
    assert heat.text[1].tolist() == ["40", "15", "35"]
    assert drawn().layout.yaxis.range[0] > drawn().layout.yaxis.range[1]  # the first task on top


def test_frames_tell_picks_and_optima_apart():
    frames = {t.name: framed(t) for t in drawn().data[1:]}
    assert frames == dict(zip(FRAMES, [{(0, 2)}, {(0, 1)}, {(1, 1)}], strict=True))


def test_frames_stand_inside_their_cell():
    for trace in drawn().data[1:]:
        for cells in (trace.x, trace.y):
            assert (np.abs(cells - np.round(cells)) < 0.5)[np.isfinite(np.array(cells, float))].all()


def test_the_chosen_task_is_stressed():
    assert not drawn().layout.shapes
    shape = drawn(selected=1).layout.shapes[0]
    assert (shape.y0, shape.y1) == (0.5, 1.5)


@pytest.mark.parametrize(("experts", "written"), [(MOST_NUMBERS // 20, True), (MOST_NUMBERS // 20 + 1, False)])
def test_many_cells_are_coloured_only(experts, written):
    errors = np.full((20, experts), 7.0)
    none = np.zeros(errors.shape, dtype=bool)
    names = [str(i) for i in range(20)], [str(i) for i in range(experts)]
    heat = error_matrix(errors, errors, none, none, *names, "error").data[0]
    assert (heat.texttemplate is not None) is written


def test_two_hundred_by_four_hundred_stay_below_two_megabytes():
    errors = np.random.default_rng(0).uniform(0, 60, (200, 400))
    best = errors == errors.min(1, keepdims=True)
    names = [f"task {i}" for i in range(200)], [f"expert {i}" for i in range(400)]
    assert len(error_matrix(errors, errors, best, best, *names, "error").to_json()) < 2e6


def test_nothing_measured_is_no_error():
    empty = np.full((2, 2), np.nan)
    none = np.zeros((2, 2), dtype=bool)
    error_matrix(empty, empty, none, none, ["a", "b"], ["x", "y"], "distance")
