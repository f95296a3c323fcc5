"""Maps and trees are computed once."""

from __future__ import annotations

import numpy as np
import pytest

from t2v_core.errors import InputError
from t2v_core.space import kept
from t2v_core.space.clustering import cluster
from t2v_core.space.matrix import task_distances
from t2v_core.space.projection import tsne


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
