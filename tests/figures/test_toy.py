"""Figures of the toy tasks: every picture is its task, stands in its place, and can be clicked."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageColor

from t2v_core.figures.toy import FRAME, NEGATIVE, POSITIVE, ZOOM, task_pictures, toy_map, toy_task

LABELS = np.zeros((3, 4, 4), dtype=np.int64)
LABELS[0, 0, 0] = 1  # bottom left
LABELS[1, :, 2:] = 1
LABELS[2, ::2] = 1
BOUNDARY = np.array([0.5, 1.0, 3.0])


def tasks(count=3):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "task": np.arange(1, count + 1),
            "clusters": 3 + np.arange(count),
            "boundary": np.linspace(1, 4, count),
            "accuracy": 0.9,
            "norm": 1.5,
            "x": 40 * rng.random(count) - 20,
            "y": 10 * rng.random(count),
        }
    )


def pixels(uri):
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_a_picture_shows_its_labels_the_right_way_up():
    for task, uri in zip(LABELS, task_pictures(LABELS, BOUNDARY), strict=True):
        shown = pixels(uri)[FRAME + ZOOM // 2 : -FRAME : ZOOM, FRAME + ZOOM // 2 : -FRAME : ZOOM]
        positive = (shown == ImageColor.getrgb(POSITIVE)).all(2)
        assert (positive | (shown == ImageColor.getrgb(NEGATIVE)).all(2)).all()
        np.testing.assert_array_equal(positive[::-1], task)


def test_frames_darken_with_the_boundary():
    brightness = [pixels(uri)[0, 0].astype(int).sum() for uri in task_pictures(LABELS, BOUNDARY)]
    assert brightness[0] > brightness[1] > brightness[2]
    assert len(task_pictures(LABELS, np.ones(3))) == 3  # all alike


def test_pictures_stand_at_their_points_and_keep_their_proportions():
    found = tasks()
    pictures = task_pictures(LABELS, BOUNDARY)
    figure = toy_map(found, pictures)
    points = figure.data[0]
    assert [image.source for image in figure.layout.images] == pictures
    np.testing.assert_allclose([image.x for image in figure.layout.images], points.x)
    np.testing.assert_allclose([image.y for image in figure.layout.images], points.y)
    assert np.ptp(points.x) == pytest.approx(1)
    assert np.ptp(points.y) / np.ptp(points.x) == pytest.approx(np.ptp(found["y"]) / np.ptp(found["x"]))
    assert not figure.layout.shapes


def test_the_chosen_task_and_its_neighbours_are_ringed():
    figure = toy_map(tasks(), task_pictures(LABELS, BOUNDARY), selected=2, near=[0])
    points, (thin, thick) = figure.data[0], figure.layout.shapes
    assert thick.line.width > thin.line.width
    for ring, row in ((thin, 0), (thick, 2)):
        assert (ring.x0 + ring.x1) / 2 == pytest.approx(points.x[row])
        assert (ring.y0 + ring.y1) / 2 == pytest.approx(points.y[row])


def test_a_click_gives_the_task():
    """Numeric arrays travel packed, and a selection then returns them without order: it must be lists."""
    pictures = task_pictures(LABELS, BOUNDARY)
    near = pd.DataFrame({"task": [3, 1], "clusters": [5, 3], "distance": [0.1, 0.2]})
    for figure, ids in (
        (toy_map(tasks(), pictures), [1, 2, 3]),
        (toy_task(LABELS[1], LABELS[1] / 2, 0.8, near, pictures[:2]), [3, 1]),
    ):
        (points,) = (trace for trace in figure.to_dict()["data"] if "customdata" in trace)
        assert [row[0] for row in points["customdata"]] == ids
        assert all(type(row) is list for row in points["customdata"])


def test_the_closer_look_shows_labels_decision_and_boundary():
    decision = np.linspace(0, 1, 16).reshape(4, 4)
    pictures = task_pictures(LABELS, BOUNDARY)
    near = pd.DataFrame({"task": [3, 1], "clusters": [5, 3], "distance": [0.123, 0.2]})
    figure = toy_task(LABELS[0], decision, 0.83, near, [pictures[2], pictures[0]])
    task, head, line, neighbours = figure.data
    np.testing.assert_array_equal(task.z, LABELS[0])
    np.testing.assert_allclose(head.z, decision, atol=1e-3)
    assert task.dy > 0  # the first row is the lowest
    assert task.x0 + 3 * task.dx < head.x0
    assert (line.x0, line.dx, line.y0, line.dy) == (head.x0, head.dx, head.y0, head.dy)
    assert line.contours.start == line.contours.end == 0.5
    assert [image.source for image in figure.layout.images] == [pictures[2], pictures[0]]
    np.testing.assert_allclose([image.x for image in figure.layout.images], neighbours.x)
    texts = {a.text for a in figure.layout.annotations}
    assert {"its head, right on 83%", "0.12", "0.20"} <= texts


def test_one_task_is_a_map_too():
    figure = toy_map(tasks(1), task_pictures(LABELS[:1], BOUNDARY[:1]), selected=0)
    assert list(figure.data[0].x) == [0]


def test_sixty_four_noisy_tasks_stay_light():
    labels = np.random.default_rng(0).integers(0, 2, (64, 24, 24))
    figure = toy_map(tasks(64), task_pictures(labels, np.arange(64.0)))
    assert len(figure.to_json()) < 1e5
