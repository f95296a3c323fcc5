"""The cache of features: what was put comes back, within its bounds, under names that lead nowhere else."""

from __future__ import annotations

import os

import numpy as np
import pytest

from t2v_core.bank.feature_cache import FeatureCache

A, B, C = "a" * 64, "b" * 64, "c" * 64
FEATURES = np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32)


def test_features_come_back_in_half_precision(tmp_path):
    cache = FeatureCache(tmp_path / "features")
    assert cache.get(A) is None
    assert not cache.has(A)
    cache.put(A, FEATURES)
    assert cache.has(A)
    assert cache.get(A).dtype == np.float32
    np.testing.assert_allclose(cache.get(A), FEATURES, rtol=1e-3, atol=1e-6)


def test_features_too_large_for_half_precision_come_back_as_they_were(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put(A, FEATURES * 1e5)
    np.testing.assert_array_equal(cache.get(A), FEATURES * np.float32(1e5))


def test_making_room_leaves_what_others_are_writing(tmp_path):
    unfinished = tmp_path / f".{B}.1"
    unfinished.write_bytes(bytes(5000))
    os.utime(unfinished, (1e9, 1e9))
    cache = FeatureCache(tmp_path, limit=2500)
    cache.put(A, FEATURES)
    cache.put(C, FEATURES)
    assert unfinished.exists()
    assert cache.has(A)


def test_those_not_used_for_longest_make_room(tmp_path):
    cache = FeatureCache(tmp_path, limit=2500)  # two arrays of 1,000 bytes and their headers
    cache.put(A, FEATURES)
    cache.put(B, FEATURES)
    for age, key in ((300, A), (200, B)):
        os.utime(tmp_path / f"{key}.npy", (1e9 - age, 1e9 - age))
    cache.get(A)
    cache.put(C, FEATURES)
    assert (cache.has(A), cache.has(B), cache.has(C)) == (True, False, True)
    tiny = FeatureCache(tmp_path / "tiny", limit=10)
    tiny.put(A, FEATURES)
    assert tiny.has(A)  # what was just asked for stays


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array"])
def test_a_damaged_file_is_as_good_as_none(tmp_path, content):
    cache = FeatureCache(tmp_path)
    (tmp_path / f"{A}.npy").write_bytes(content)
    assert cache.get(A) is None


def test_a_key_cannot_leave_the_folder(tmp_path):
    with pytest.raises(ValueError, match="hex digest"):
        FeatureCache(tmp_path).put("../evil", FEATURES)


def test_the_limit_is_a_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("T2V_FEATURES_GIB", "0.5")
    assert FeatureCache(tmp_path).limit == 2**29
