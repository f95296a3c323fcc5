"""The clustered matrix: the right cell in the right place, and light enough for 1,500 tasks."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from t2v_core.figures.similarity import MOST_TASKS, similarity_matrix
from t2v_core.space.clustering import cluster

IDS = list("abcdef")
AT = np.array([0.0, 9, 1, 10, 2.5, 30])
DISTANCE = pd.DataFrame(np.abs(np.subtract.outer(AT, AT)) / 40, index=IDS, columns=IDS)
GROUPS = ["near", "far", "near", "far", "near", "alone"]
NAMES = [f"task {i}" for i in IDS]


def drawn(distance=DISTANCE, **options):
    tree = cluster(DISTANCE.to_numpy())
    return tree, similarity_matrix(distance, tree.leaves, NAMES, GROUPS, **options)


def test_cells_follow_the_leaves():
    tree, figure = drawn()
    order = [IDS[i] for i in tree.leaves]
    np.testing.assert_allclose(figure.data[0].z, DISTANCE.loc[order, order], atol=1e-7)
    assert figure.layout.meta["ids"] == order
    assert figure.layout.xaxis.labelalias["0"] == f"task {order[0]}"
    assert list(figure.layout.yaxis.range) == [5.5, -0.5]  # the first task on top


def test_an_asymmetric_matrix_is_drawn_as_it_is():
    uneven = DISTANCE - 0.1 * np.arange(6)
    tree, figure = drawn(uneven, asymmetric=True)
    order = [IDS[i] for i in tree.leaves]
    np.testing.assert_allclose(figure.data[0].z, uneven.loc[order, order], atol=1e-7)
    assert not np.allclose(figure.data[0].z, figure.data[0].z.T)
    assert (figure.layout.yaxis.title.text, figure.layout.xaxis.title.text) == ("target", "source")


def test_colour_bars_carry_the_ids_at_their_places():
    tree, figure = drawn()
    for bars, place in (("y2", "x"), ("x2", "y")):
        found = {}
        for trace in figure.data:
            if trace.type == "bar" and bars in (trace.yaxis, trace.xaxis):
                found |= {c[0]: (p, trace.name) for c, p in zip(trace.customdata, trace[place], strict=True)}
        assert {i: p for i, (p, _) in found.items()} == {IDS[leaf]: n for n, leaf in enumerate(tree.leaves)}
        assert {i: g for i, (_, g) in found.items()} == dict(zip(IDS, GROUPS, strict=True))


def test_more_than_ten_groups_become_ten_and_other():
    n = 14
    D = pd.DataFrame(np.ones((n, n)), index=range(n), columns=range(n))
    figure = similarity_matrix(D, np.arange(n), [str(i) for i in range(n)], [f"g{i}" for i in range(n)])
    assert len({t.name for t in figure.data if t.type == "bar"}) == 11


def test_frames_stand_around_clusters_and_the_tree_above():
    tree = cluster(DISTANCE.to_numpy())
    labels = tree.cut(clusters=3)
    _, figure = drawn(brackets=tree.lines(), clusters=labels, cut=0.2)
    lines = {t.yaxis or "y": t for t in figure.data if t.type == "scatter"}
    sizes = np.diff(np.reshape(lines["y"].x, (-1, 6))[:, :2]).ravel()
    assert sorted(sizes) == sorted(np.bincount(labels)[1:])
    assert np.nanmax(lines["y3"].y) == pytest.approx(tree.merges[-1, 2])
    assert len(lines["y3"].x) == 5 * len(tree.merges)
    assert figure.layout.shapes[0].y0 == 0.2


def test_long_names_are_cut_and_few_tasks_are_enough():
    one = DISTANCE.iloc[:1, :1]
    figure = similarity_matrix(one, np.array([0]), ["x" * 90], ["g"])
    assert len(figure.layout.xaxis.labelalias["0"]) < 40
    assert len(similarity_matrix(one.iloc[:0, :0], np.arange(0), [], []).layout.meta["ids"]) == 0


def test_fifteen_hundred_tasks_stay_below_eight_megabytes():
    n = 1500
    D = np.random.default_rng(0).random((n, n)).astype(np.float32)
    ids = [f"task-{i}" for i in range(n)]
    figure = similarity_matrix(
        pd.DataFrame(D, index=ids, columns=ids), np.arange(n), ids, [f"g{i % 12}" for i in range(n)]
    )
    text = figure.to_json()
    assert len(text) < 8e6
    np.testing.assert_allclose(figure.data[0].z / 1e4, D, atol=5.1e-5)
    assert json.loads(text)["layout"]["meta"]["ids"] == ids


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="missing"):
        drawn(DISTANCE.where(DISTANCE > 0))
    with pytest.raises(ValueError, match="too large"):
        similarity_matrix(DISTANCE, np.zeros(MOST_TASKS + 1, dtype=np.int64), NAMES, GROUPS)


def test_chosen_tasks_are_marked_at_their_places():
    tree, figure = drawn(selected=["b", "e", "gone"])
    marks = [t for t in figure.data if t.name == "chosen"]
    places = sorted(tree.leaves.tolist().index(IDS.index(i)) for i in "be")
    assert [sorted(marks[0].x), sorted(marks[1].y)] == [places, places]
    assert len(drawn()[1].data) == len(figure.data) - 2


def test_no_place_between_two_tasks_bears_a_name():
    tree, figure = drawn()
    names = figure.layout.xaxis.labelalias
    assert [names[str(n)] for n in range(6)] == [f"task {IDS[leaf]}" for leaf in tree.leaves]
    assert {names[f"{n / 10:.1f}"] for n in range(60) if n % 10} == {" "}
