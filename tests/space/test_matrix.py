"""The kept matrix: right, grown by what is new, and never mistaken for another's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from t2v_core.bank.bank import Bank
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.errors import InputError
from t2v_core.space import matrix
from t2v_core.space.distances import asymmetric, cosine, symmetric, to_trivial
from t2v_core.space.matrix import nearest_pairs, task_distances
from tests.space.conftest import INFO, embedding, put, record


def direct(bank: Bank, metric: str) -> pd.DataFrame:
    """The same matrix without a store."""
    found = bank.embeddings(DOMAIN if metric == "domain" else TASK2VEC)
    F = np.stack([e.vector for e in found.values()])
    d = cosine(F, F) if metric == "domain" else symmetric(F, F)
    if metric == "asymmetric":
        d = asymmetric(d, to_trivial(F, np.array([e.samples for e in found.values()]), INFO.filter_prior))
    return pd.DataFrame(d, index=list(found), columns=list(found))


def test_the_nearest_pairs_are_named_once_unless_directions_differ():
    table = pd.DataFrame([[0, 3, 2.0], [3, 0, np.nan], [2, np.nan, 0]], index=list("abc"), columns=list("abc"))
    assert nearest_pairs(table, 9) == [("a", "c", 2.0), ("a", "b", 3.0)]
    table.loc["c", "a"] = 1.0
    assert nearest_pairs(table, 2) == [("c", "a", 1.0), ("a", "c", 2.0)]


@pytest.fixture
def measured(monkeypatch) -> list[tuple[int, int]]:
    """Sizes of the blocks that were measured by d_sym."""
    seen = []

    def watched(a, b):
        seen.append((len(a), len(b)))
        return symmetric(a, b)

    watched.__name__ = "symmetric"
    monkeypatch.setattr(matrix, "symmetric", watched)
    return seen


@pytest.mark.parametrize("metric", matrix.METRICS)
def test_agrees_with_the_distances_measured_directly_and_stays(plain_bank, metric):
    first = task_distances(plain_bank, metric)
    pd.testing.assert_frame_equal(first, direct(plain_bank, metric), check_dtype=False, atol=1e-6)
    pd.testing.assert_frame_equal(task_distances(plain_bank, metric), first)
    again = Bank(plain_bank.location)
    pd.testing.assert_frame_equal(task_distances(again, metric), first)


@pytest.mark.parametrize("metric", ["symmetric", "domain"])
def test_is_symmetric_to_the_last_digit_with_a_zero_diagonal(plain_bank, metric):
    for _ in range(2):  # measured, then kept
        found = task_distances(plain_bank, metric).to_numpy()
        np.testing.assert_array_equal(found, found.T)
        np.testing.assert_array_equal(np.diag(found), 0)


def test_what_is_kept_is_not_measured_again(plain_bank, measured):
    task_distances(plain_bank)
    assert measured == [(6, 6)]
    task_distances(plain_bank)
    task_distances(plain_bank, "asymmetric")
    assert measured == [(6, 6)]


def test_a_new_task_costs_one_row(plain_bank, measured, tmp_path):
    task_distances(plain_bank)
    put(plain_bank, "t2b", 7)  # sorts between others
    grown = task_distances(plain_bank)
    assert measured[1:] == [(1, 1), (1, 6)]
    pd.testing.assert_frame_equal(grown, direct(plain_bank, "symmetric").astype(np.float32))
    pd.testing.assert_frame_equal(task_distances(plain_bank), grown)


def test_removed_changed_and_renamed_tasks(plain_bank, measured):
    task_distances(plain_bank)
    plain_bank.delete_task("t1")
    put(plain_bank, "t3", 33)  # another vector under the same id
    put(plain_bank, "a-t5", 5)  # the vector of t5 under another id: nothing to measure
    found = task_distances(plain_bank)
    assert measured[1:] == [(1, 1), (1, 5)]
    pd.testing.assert_frame_equal(found, direct(plain_bank, "symmetric").astype(np.float32))
    assert found.loc["a-t5", "t5"] == 0
    plain_bank.delete_task("t3")
    task_distances(plain_bank)
    assert len(measured) == 3


def test_many_new_tasks_are_measured_in_parts(plain_bank, measured, monkeypatch):
    monkeypatch.setattr(matrix, "ROWS", 4)
    found = task_distances(plain_bank)
    assert measured == [(4, 4), (4, 2), (2, 2)]
    pd.testing.assert_frame_equal(found, direct(plain_bank, "symmetric").astype(np.float32))


def test_the_weight_of_the_source_is_free_and_samples_matter(plain_bank, monkeypatch):
    seen = []
    monkeypatch.setattr(matrix, "to_trivial", lambda *a: seen.append(a[1].tolist()) or to_trivial(*a))
    d = task_distances(plain_bank)
    pd.testing.assert_frame_equal(task_distances(plain_bank, "asymmetric", alpha=0), d)
    twice = task_distances(plain_bank, "asymmetric", alpha=0.3) - d
    pd.testing.assert_frame_equal(twice, 2 * (task_distances(plain_bank, "asymmetric", alpha=0.15) - d), atol=1e-6)
    put(plain_bank, "t0", 0, samples=7)  # the same vector from fewer images
    task_distances(plain_bank, "asymmetric")
    assert seen == [[100] * 6, [7] + [100] * 5]
    pd.testing.assert_frame_equal(task_distances(plain_bank), d)


def test_a_missing_vector_stays_missing_once_kept(plain_bank):
    plain_bank.save_task(record("zero"), np.array([9], dtype=np.uint64), [embedding(np.zeros(8))], INFO)
    for _ in range(2):
        found = task_distances(plain_bank)
        assert found["zero"].isna().all()
        assert found.loc["zero"].isna().all()
        assert found.drop(index="zero", columns="zero").notna().all(axis=None)


def test_vectors_come_without_chunks(plain_bank):
    full, light = plain_bank.embeddings(TASK2VEC), plain_bank.embeddings(TASK2VEC, "w", chunks=False)
    assert list(full) == list(light)
    for task_id, e in light.items():
        np.testing.assert_array_equal(e.vector, full[task_id].vector)
        assert e.chunk_means.shape == (0, INFO.dimension)
        assert e.space == full[task_id].space


def test_empty_banks_and_unknown_metrics(tmp_path):
    assert task_distances(Bank(tmp_path / "empty")).empty
    with pytest.raises(InputError, match="no metric 'psychic'"):
        task_distances(Bank(tmp_path / "empty"), "psychic")
