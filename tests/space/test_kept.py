"""Maps and trees are computed once."""

from __future__ import annotations

import numpy as np
import pytest

from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError
from t2v_core.space import kept
from t2v_core.space.clustering import cluster
from t2v_core.space.matrix import task_distances
from t2v_core.space.projection import tsne
from t2v_core.space.tables import map_table, task_table
from tests.space.conftest import put


def test_a_map_and_a_tree_are_made_once_for_each_setting(plain_bank, monkeypatch):
    d = task_distances(plain_bank)
    calls = []
    monkeypatch.setattr(kept, "tsne", lambda *a: calls.append(a[1:]) or tsne(*a))
    monkeypatch.setattr(kept, "cluster", lambda *a: calls.append(a[1:]) or cluster(*a))
    for _ in range(2):
        np.testing.assert_array_equal(kept.kept_map(plain_bank, d), tsne(d.to_numpy()))
        kept.kept_map(plain_bank, d, perplexity=2.0)
        found = kept.kept_clustering(plain_bank, d, "average")
        np.testing.assert_array_equal(found.merges, cluster(d.to_numpy(), "average").merges)
        assert found.ordered
    assert calls == [(15.0, 0), (2.0, 0), ("average",)]
    kept.kept_map(plain_bank, d.iloc[1:, 1:])
    assert len(calls) == 4


def test_one_task_makes_a_tree_too(plain_bank):
    d = task_distances(plain_bank).iloc[:1, :1]
    for _ in range(2):
        assert kept.kept_clustering(plain_bank, d).leaves.tolist() == [0]
    with pytest.raises(InputError, match="ward"):
        kept.kept_clustering(plain_bank, d, "ward")


def places(bank, anew=False):
    """Where every task lies on the map."""
    tasks = task_table(bank)
    if anew:
        kept.map_base(bank, tasks["id"].tolist(), anew=True)
    return map_table(bank, tasks, task_distances(bank), 2.0)


def test_new_tasks_leave_the_others_where_they_were(plain_bank):
    before = places(plain_bank)
    assert not before["placed"].any()
    put(plain_bank, "a0", 7)  # sorts before all others
    after = places(plain_bank)
    assert after.index[after["placed"]].tolist() == ["a0"]
    np.testing.assert_array_equal(after.loc[before.index, ["x", "y"]], before[["x", "y"]])
    assert np.isfinite(after.loc["a0", ["x", "y"]].to_numpy(float)).all()

    anew = places(plain_bank, anew=True)
    assert not anew["placed"].any()
    np.testing.assert_array_equal(anew[["x", "y"]], tsne(task_distances(plain_bank).to_numpy(), 2.0))

    put(plain_bank, "t8", 8)
    assert places(plain_bank)["placed"].sum() == 1
    put(plain_bank, "t9", 9)  # two to seven: more than a quarter
    assert not places(plain_bank)["placed"].any()


def test_a_bank_of_uploads_alone_has_a_map_of_its_own(tmp_path):
    bank = Bank(tmp_path / "uploads")
    for seed in range(3):
        put(bank, f"u{seed}", seed, kind="upload")
    found = places(bank)
    assert found["upload"].all()
    assert not found["placed"].any()
