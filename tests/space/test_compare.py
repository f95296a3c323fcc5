"""Comparing tasks: parts that add up, differences with honest errors, neighbours by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from t2v_core.errors import InputError
from t2v_core.space.compare import (
    compare_pair,
    distances_with_spread,
    notable_pairs,
    own_neighbours,
    shared_neighbours,
)
from t2v_core.space.distances import symmetric
from tests.oracles import symmetric_distance
from tests.space.conftest import INFO, embedding


def pair(noise: float = 0.1):
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.normal(size=(2, 8)))
    return embedding(a, noise, 1), embedding(b, noise, 2)


def test_the_parts_add_up_to_the_distance():
    a, b = pair()
    found = compare_pair(a, b, INFO.layers)
    assert found.distance == pytest.approx(symmetric_distance(a.vector, b.vector), abs=1e-6)
    assert found.layers["contribution"].sum() == pytest.approx(found.distance, abs=1e-6)
    assert found.layers["share"].sum() == pytest.approx(1)
    np.testing.assert_allclose(
        found.filters.groupby("layer", sort=False)["contribution"].sum(), found.layers["contribution"]
    )
    assert (found.filters["contribution"] >= 0).all()
    assert found.filters["filter"].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert found.layers["layer"].tolist() == ["early", "late"]


def test_a_layer_that_differs_is_found():
    rng = np.random.default_rng(0)
    base = np.exp(rng.normal(size=8))
    other = base.copy()
    other[3:] *= np.array([9, 1, 9, 1, 9])
    found = compare_pair(embedding(base, 0.01), embedding(other, 0.01, 1), INFO.layers).layers.set_index("layer")
    assert found.loc["late", "share"] > 0.8
    assert found.loc["late", "difference"] < -0.3
    assert abs(found.loc["early", "difference"]) < 4 * found.loc["early", "error"]


def test_differences_by_hand_with_dead_filters():
    a, b = embedding([3, 1, 0, 2, 0, 0, 0, 0], 0.0), embedding([1, 1, 0, 2, 0, 0, 0, 0], 0.0)
    found = compare_pair(a, b, INFO.layers)
    np.testing.assert_allclose(found.filters["difference"], [0.5, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(found.layers["difference"], [2 / 6, 0])
    np.testing.assert_allclose(found.layers["error"], 0, atol=1e-6)
    assert found.spread == pytest.approx(0, abs=1e-6)


def test_the_error_is_that_of_repeated_experiments():
    def relative(x, y):
        return (x - y) / (x + y)

    a, b = np.full(8, 2.0), np.full(8, 1.0)
    repeated = [
        relative(embedding(a, 0.3, s).vector[3:].sum(), embedding(b, 0.3, 900 + s).vector[3:].sum()) for s in range(300)
    ]
    errors = [
        compare_pair(embedding(a, 0.3, s), embedding(b, 0.3, 50 + s), INFO.layers).layers["error"][1] for s in range(30)
    ]
    assert np.mean(errors) == pytest.approx(np.std(repeated), rel=0.2)


def test_a_task_with_itself():
    a, _ = pair()
    found = compare_pair(a, a, INFO.layers)
    assert found.distance == 0
    assert (found.layers["share"] == 0).all()


def test_what_cannot_be_compared_is_refused():
    a, b = pair()
    with pytest.raises(InputError, match="cannot be compared"):
        compare_pair(a, replace(b, weights_hash="other"), INFO.layers)
    with pytest.raises(InputError, match="wholly zero"):
        compare_pair(a, embedding(np.zeros(8)), INFO.layers)
    with pytest.raises(ValueError, match="5 filters"):
        compare_pair(a, b, INFO.layers[1:])
    with pytest.raises(InputError, match="two tasks"):
        distances_with_spread({"a": a})


def test_distances_of_several_tasks_with_their_spread():
    a, b = pair()
    quiet = embedding(a.vector * np.linspace(1, 3, 8), 0.001, 3)
    found = distances_with_spread({"a": a, "b": b, "q": quiet}, rounds=100).set_index(["a", "b"])
    assert list(found.index) == [("a", "b"), ("a", "q"), ("b", "q")]
    assert found.loc[("a", "q"), "distance"] == symmetric(a.vector, quiet.vector)[0, 0]
    assert (found["low"] < found["high"]).all()
    assert (found["spread"] > 0).all()
    again = distances_with_spread({"a": a, "b": b, "q": quiet}, rounds=100).set_index(["a", "b"])
    pd.testing.assert_frame_equal(found, again)
    rng = np.random.default_rng(0)
    one, two = a.bootstrap(2000, rng), b.bootstrap(2000, rng)
    slow = [symmetric_distance(x, y) for x, y in zip(one, two, strict=True)]
    assert found.loc[("a", "b"), "spread"] == pytest.approx(np.std(slow), rel=0.25)


def test_shared_neighbours_of_a_line():
    at = np.array([0.0, 1, 2, 3, 10, 11])
    ids = list("abcdef")
    d = pd.DataFrame(np.abs(np.subtract.outer(at, at)), index=ids, columns=ids)
    found = shared_neighbours(d, ["a", "d"], k=2)
    # Nearest two of a: b, c; of d: c, b. a and d are not neighbours of each other here.
    assert found.index.tolist() == ["b", "c"]
    assert found["of"].tolist() == [2, 2]
    np.testing.assert_allclose(found["mean"], [1.5, 1.5])
    np.testing.assert_allclose(found.loc["b", ["a", "d"]].astype(float), [1, 2])
    assert shared_neighbours(d, ["a", "f"], k=1).empty


def line(at: list[float], ids: str) -> pd.DataFrame:
    """Distances of tasks on a line."""
    return pd.DataFrame(np.abs(np.subtract.outer(at, at)), index=list(ids), columns=list(ids))


def test_own_neighbours_are_those_of_no_other():
    found = own_neighbours(line([0.0, 1, 2, 3, 4.5, 11], "abcdef"), ["a", "d"], k=2)
    # Nearest two of a: b, c; of d: c, e.
    assert found["a"].to_dict() == {"b": 1}
    assert found["d"].to_dict() == {"e": 1.5}


def test_notable_pairs_by_hand():
    distance = line([0.0, 1, 3, 3.5, 9], "abcde")
    groups = ["x", "x", "x", "y", "y"]
    assert notable_pairs(distance, groups) == {"nearest": ("c", "d"), "across": ("c", "d"), "within": ("d", "e")}
    assert notable_pairs(distance, groups, "a") == {"nearest": ("a", "b"), "across": ("a", "d"), "within": ("a", "c")}
    assert notable_pairs(distance, ["x"] * 5, "e") == {"nearest": ("e", "d"), "within": ("e", "a")}
    assert notable_pairs(distance.loc[["a"], ["a"]], ["x"]) == {}
    distance.loc["a", "b"] = distance.loc["b", "a"] = np.nan  # a missing distance is no small one
    assert notable_pairs(distance, groups, "a")["nearest"] == ("a", "c")
