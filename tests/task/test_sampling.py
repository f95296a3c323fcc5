from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from t2v_core.task.reading import scan
from t2v_core.task.record import Task
from t2v_core.task.sampling import quotas, stratified_split, subsample
from t2v_core.task.sources import ArraySource, FolderSource
from tests.conftest import zip_folder

COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=8)


def make_task(counts, held=(), order_seed=None):
    """A task of that many images a class; ``held`` likewise for the held-out ones."""
    held = [*held, *[0] * (len(counts) - len(held))]
    rows = [(k, i, False) for k, n in enumerate(counts) for i in range(n)]
    rows += [(k, i, True) for k, n in enumerate(held) for i in range(n)]
    if order_seed is not None:
        rows = [rows[i] for i in np.random.default_rng(order_seed).permutation(len(rows))]
    names = [f"{'test' if h else 'train'}/{k}/{i}.png" for k, i, h in rows]
    labels = np.array([k for k, _, _ in rows], dtype=np.int64)
    held_out = np.array([h for _, _, h in rows], dtype=bool)
    pixels = np.array(rows, np.uint8).reshape(len(rows), 1, 1, 3)  # each image another one
    source = ArraySource(pixels, names)
    return Task("t", tuple(f"class {k}" for k in range(len(counts))), source, np.arange(len(rows)), labels, held_out)


@given(COUNTS, st.integers(0, 200))
def test_quotas_are_as_even_as_the_classes_allow(counts, budget):
    counts = np.array(counts)
    taken = quotas(counts, budget)
    assert taken.sum() == min(budget, counts.sum())
    assert (taken <= counts).all() and (taken >= 0).all()
    not_exhausted = taken[taken < counts]
    if len(not_exhausted):  # a class that could give more gives as much as any other, but for rounding
        assert taken.max() - not_exhausted.min() <= 1


@given(COUNTS, COUNTS, st.integers(1, 60), st.integers(0, 5))
def test_subsample_never_exceeds_and_keeps_the_parts_apart(counts, held, max_images, seed):
    task = make_task(counts, held[: len(counts)])
    small = subsample(task, max_images, seed)
    for part in (False, True):
        there = int((task.held_out == part).sum())
        assert int((small.held_out == part).sum()) == min(max_images, there)
    assert set(small.names) <= set(task.names) and len(set(small.names)) == len(small)
    kept = np.bincount(small.labels[~small.held_out], minlength=len(counts))
    np.testing.assert_array_equal(kept, quotas(np.array(counts), max_images))


@given(COUNTS, st.integers(1, 60), st.integers(0, 5), st.integers(0, 5))
def test_subsample_depends_on_the_seed_alone_not_on_the_order(counts, max_images, seed, order):
    chosen = subsample(make_task(counts), max_images, seed)
    again = subsample(make_task(counts), max_images, seed)
    shuffled = subsample(make_task(counts, order_seed=order), max_images, seed)
    assert chosen.names == again.names
    assert sorted(chosen.names) == sorted(shuffled.names)


def test_another_seed_chooses_otherwise_and_a_larger_sample_contains_the_smaller():
    task = make_task([50, 50])
    twenty = set(subsample(task, 20, 1).names)
    assert twenty != set(subsample(task, 20, 2).names)
    assert twenty < set(subsample(task, 40, 1).names)


def test_the_same_images_are_chosen_whatever_they_are_called_and_wherever_they_lie(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in range(60)]

    def written(folder, name) -> Path:
        for number, pixels in enumerate(images):
            file = folder / ("red", "green")[number % 2] / name(number)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
        return folder

    def chosen(path) -> list[bytes]:
        task = subsample(scan(path).tasks[0], 20, 0)
        assert task.counts.tolist() == [10, 10]
        return sorted(np.asarray(task.source.load(int(i))[0]).tobytes() for i in task.index)

    folder = written(tmp_path / "a", lambda number: f"{number:02d}.png")
    other = written(tmp_path / "elsewhere" / "photos", lambda number: f"photo {59 - number}.png")
    assert chosen(folder) == chosen(other) == chosen(zip_folder(folder, tmp_path / "a.zip"))
    assert chosen(folder) != sorted(pixels.tobytes() for pixels in images[:20])


def test_what_cannot_be_read_is_kept_to_be_told_of(tmp_path):
    names = [f"{i}.png" for i in range(10)]
    for name in names[:9]:
        Image.new("RGB", (2, 2), (int(name[0]), 0, 0)).save(tmp_path / name)
    nothing = np.zeros(10, np.int64)
    task = Task("t", ("",), FolderSource(tmp_path, names), np.arange(10), nothing, nothing.astype(bool))
    assert "9.png" in subsample(task, 3, 0).names


def test_without_a_look_at_the_files_the_choice_is_as_even():
    task = make_task([30, 5])
    small = subsample(task, 12, 0, by_content=False)
    assert small.counts.tolist() == [7, 5]
    assert (
        small.names == subsample(task, 12, 0, by_content=False).names != subsample(task, 12, 1, by_content=False).names
    )


def test_class_numbering_does_not_matter():
    task = make_task([9, 9, 9])
    renumbered = Task("t", task.classes[::-1], task.source, task.index, 2 - task.labels, task.held_out)
    assert subsample(task, 10, 0).names == subsample(renumbered, 10, 0).names


def test_a_small_task_is_returned_itself():
    task = make_task([3, 4], [2, 2])
    assert subsample(task, 7, 0) is task
    assert len(subsample(task, 6, 0)) == 6 + 4
    with pytest.raises(ValueError, match="at least 1, got 0"):
        subsample(task, 0, 0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.floats(0.01, 0.99), st.integers(0, 9))
def test_stratified_split_takes_its_share_of_every_class(counts, share, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    aside = stratified_split(labels, share, seed)
    np.testing.assert_array_equal(aside, stratified_split(labels, share, seed))
    for label, n in enumerate(counts):
        expected = 0 if n == 1 else min(max(round(share * n), 1), n - 1)
        assert aside[labels == label].sum() == expected


def test_stratified_split_is_seeded():
    labels = np.repeat([0, 1], 50)
    assert (stratified_split(labels, 0.5, 0) != stratified_split(labels, 0.5, 1)).any()
    with pytest.raises(ValueError, match="got 1"):
        stratified_split(labels, 1, 0)
