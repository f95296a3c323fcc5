import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.task.record import Task
from t2v_core.task.sampling import quotas, stratified_split, subsample
from t2v_core.task.sources import ArraySource

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
    source = ArraySource(np.zeros((len(rows), 1, 1, 3), np.uint8), names)
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


def test_a_folder_gives_the_same_images_as_its_zip_and_as_a_copy_made_elsewhere():
    """Packed, all names begin with the folder; macOS spells accents in two characters."""

    def chosen(rename) -> list[str]:
        task = make_task([30, 30])
        names = [f"{'Grün' if k else 'Rot'}/{i}.png" for k, i in zip(task.labels, range(60), strict=True)]
        source = ArraySource(np.zeros((60, 1, 1, 3), np.uint8), [rename(name) for name in names])
        return [names[i] for i in subsample(replace(task, source=source), 20, 0).index]

    plain = chosen(lambda name: name)
    assert chosen(lambda name: f"my photos/2026/{name}") == plain
    assert chosen(lambda name: unicodedata.normalize("NFD", name)) == plain
    assert chosen(lambda name: name[::-1]) != plain


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
