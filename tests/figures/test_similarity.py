"""The clustered matrix: the right cell in the right place, and light enough for 1,500 tasks."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from t2v_core.figures.matrix_picture import block_means
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


def strips(figure):
    """The colour bars above and at the left: ids by place, groups by place, their colours, and the legend's."""
    above = next(t for t in figure.data if t.type == "heatmap" and t.yaxis == "y2")
    left = next(t for t in figure.data if t.type == "heatmap" and t.xaxis == "x2")
    colours = [{t.name: t.marker.color for t in figure.data if t.type == "scatter" and t.mode == "markers"}] * 2
    for bar, places, groups, codes in (
        (above, above.x, above.customdata[0], above.z[0]),
        (left, left.y, left.customdata[:, 0], left.z[:, 0]),
    ):
        steps = [colour for _, colour in bar.colorscale][::2]
        ids = [figure.layout.meta["ids"][place] for place in places]
        yield ids, list(groups), [steps[c] for c in codes], colours.pop()


def test_colour_bars_carry_the_ids_and_colours_at_their_places():
    tree, figure = drawn()
    for ids, groups, colours, legend in strips(figure):
        assert ids == [IDS[leaf] for leaf in tree.leaves]
        assert groups == [GROUPS[leaf] for leaf in tree.leaves]
        assert colours == [legend[group] for group in groups]


def test_more_than_ten_groups_become_ten_and_other():
    n = 14
    D = pd.DataFrame(np.ones((n, n)), index=range(n), columns=range(n))
    figure = similarity_matrix(D, np.arange(n), [str(i) for i in range(n)], [f"g{i}" for i in range(n)])
    assert len({t.name for t in figure.data if t.type == "scatter" and t.mode == "markers"}) == 11


def test_frames_stand_around_clusters_and_the_tree_above():
    tree = cluster(DISTANCE.to_numpy())
    labels = tree.cut(clusters=3)
    _, figure = drawn(dendrogram=tree.outline(), clusters=labels, cut=0.2)
    lines = {t.yaxis or "y": t for t in figure.data if t.type == "scatter" and t.mode == "lines"}
    frames = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert sorted(f.x1 - f.x0 for f in frames) == sorted(np.bincount(labels)[1:])
    assert all((f.y0, f.y1) == (f.x0, f.x1) for f in frames)
    assert np.max(lines["y3"].y) == pytest.approx(tree.merges[-1, 2])
    assert len(lines["y3"].x) == 7 * len(tree.merges)
    assert figure.layout.shapes[0].y0 == 0.2


def test_long_names_are_cut_and_few_tasks_are_enough():
    one = DISTANCE.iloc[:1, :1]
    figure = similarity_matrix(one, np.array([0]), ["x" * 90], ["g"])
    assert len(figure.layout.xaxis.labelalias["0"]) < 40
    assert len(similarity_matrix(one.iloc[:0, :0], np.arange(0), [], []).layout.meta["ids"]) == 0


def large(n=1500, clusters=None, **options):
    D = np.random.default_rng(0).random((n, n)).astype(np.float32)
    ids = [f"task-{i}" for i in range(n)]
    frame, groups = pd.DataFrame(D, index=ids, columns=ids), [f"g{i % 12}" for i in range(n)]
    return D, ids, similarity_matrix(frame, np.arange(n), ids, groups, clusters=clusters, **options)


def pixels(figure) -> tuple[np.ndarray, np.ndarray]:
    """The picture's palette indices and its palette."""
    _, encoded = figure.layout.images[0].source.split(",")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        return np.asarray(image), np.array(image.getpalette()).reshape(-1, 3)


def test_fifteen_hundred_tasks_are_a_picture_of_their_distances_below_four_megabytes():
    D, ids, figure = large()
    text = figure.to_json()
    assert len(text) < 4e6
    assert json.loads(text)["layout"]["meta"]["ids"] == ids
    found, palette = pixels(figure)
    low, high = np.percentile(D[~np.eye(len(D), dtype=bool)], [0.5, 99.5])
    step = (high - low) / (len(palette) - 1)
    np.testing.assert_allclose(low + step * found, np.clip(D, low, high), atol=0.51 * step)
    assert palette[-1].sum() > palette[0].sum()  # dark is near
    image = figure.layout.images[0]
    assert (image.x, image.y, image.sizex, image.sizey) == (-0.5, -0.5, 1500, 1500)


def test_a_picture_is_pointed_at_by_coarse_cells():
    D, _, figure = large(1000)
    coarse = figure.data[0]
    assert coarse.opacity == 0
    size = int(coarse.x[1] - coarse.x[0])
    first, last = slice(0, size), slice(size * (len(coarse.x) - 1), None)
    assert coarse.z[0, 0] == pytest.approx(D[first, first].mean(), abs=1e-6)
    assert coarse.z[-1, 0] == pytest.approx(D[last, first].mean(), abs=1e-6)
    assert all(str(x) in figure.layout.xaxis.labelalias for x in coarse.x)


def test_an_enlarged_cluster_of_a_picture_is_drawn_cell_by_cell():
    labels = np.repeat([1, 2, 3], [700, 100, 100])
    D, _, figure = large(900, labels, enlarged=2)
    cells = next(t for t in figure.data if t.type == "heatmap" and t.opacity is None and t.yaxis is None)
    np.testing.assert_array_equal(cells.z, D[700:800, 700:800])
    assert list(cells.x) == list(range(700, 800))
    assert list(figure.layout.xaxis.range) == [699.5, 799.5]
    assert (cells.zmin, cells.zmax) == (figure.data[0].zmin, figure.data[0].zmax)


def test_pixels_of_a_matrix_larger_than_the_picture_are_means():
    values = np.arange(36.0).reshape(6, 6)
    means, edges = block_means(values, 4)
    np.testing.assert_array_equal(edges, [0, 2, 4, 6])
    np.testing.assert_allclose(means, [[values[i : i + 2, j : j + 2].mean() for j in (0, 2, 4)] for i in (0, 2, 4)])
    means, edges = block_means(values[:5, :5], 3)
    np.testing.assert_array_equal(edges, [0, 2, 4, 5])
    assert means[2, 2] == values[4, 4]


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
    # Beside the bars, which lie between 0 and 1: covered, they could not be read.
    assert min(marks[0].y) > 1
    assert figure.layout.yaxis2.range[1] > max(marks[0].y)
    assert max(marks[1].x) < 0
    assert figure.layout.xaxis2.range[0] < min(marks[1].x)


def test_groups_keep_their_colours_when_tasks_are_left_out():
    whole = [*GROUPS, *"klmnop"]
    (_, _, _, legend), _ = strips(drawn(every=whole)[1])
    part = similarity_matrix(DISTANCE.iloc[[1, 5], [1, 5]], np.arange(2), ["b", "f"], ["far", "alone"], every=whole)
    (_, _, _, found), _ = strips(part)
    assert found == {group: legend[group] for group in ("far", "alone")}


def test_no_place_between_two_tasks_bears_a_name():
    tree, figure = drawn()
    names = figure.layout.xaxis.labelalias
    assert [names[str(n)] for n in range(6)] == [f"task {IDS[leaf]}" for leaf in tree.leaves]
    assert {names[f"{n / 10:.1f}"] for n in range(60) if n % 10} == {" "}
