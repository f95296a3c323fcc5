"""The curve and the rank correlation against hand-computed cases and slow twins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from t2v_core.errors import InputError
from t2v_core.space import agreement as module
from t2v_core.space.agreement import agreement, candidate_curves, neighbour_curve
from t2v_core.space.taxonomy import taxonomic_distance

# Four tasks on a line at 0, 1, 3, 7; the taxonomy has {0, 1} and {3, 7} as groups.
LINE = np.abs(np.subtract.outer([0.0, 1, 3, 7], [0.0, 1, 3, 7]))
GROUPS = taxonomic_distance([(("a", "x"),), (("a", "y"),), (("b", "z"),), (("b", "w"),)])


def random_case(n: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A distance that follows a taxonomy of three levels, with noise; not symmetric."""
    rng = np.random.default_rng(seed)
    T = taxonomic_distance([((f"k{i % 2}", f"c{i % 4}", f"o{i % 12}"),) for i in range(n)])
    return T + rng.normal(scale=1.5, size=T.shape), T


def frame(distance: np.ndarray) -> pd.DataFrame:
    ids = [f"t{i}" for i in range(len(distance))]
    return pd.DataFrame(distance, index=ids, columns=ids)


def curve_by_hand(D: np.ndarray, T: np.ndarray) -> np.ndarray:
    """One task, one k at a time; no ties."""
    n = len(D)
    means = np.zeros((n, n - 1))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        nearest = sorted(others, key=lambda j, i=i: D[i, j])
        for k in range(1, n):
            means[i, k - 1] = np.mean([T[i, j] for j in nearest[:k]])
    return means.mean(0)


def test_the_curve_of_a_hand_case():
    found = neighbour_curve(LINE, GROUPS)
    # Nearest: 0->1 (1), 1->0 (1), 3->1 (2), 7->3 (1); then 0->3, 1->3, 3->0 (2), 7->1 (2).
    np.testing.assert_array_equal(found.k, [1, 2, 3])
    np.testing.assert_allclose(found.mean, [5 / 4, (3 / 2 + 3 / 2 + 4 / 2 + 3 / 2) / 4, 5 / 3])
    np.testing.assert_allclose(found.ideal, [1, 1.5, 5 / 3])
    assert found.chance == pytest.approx(5 / 3)
    assert found.tasks == 4


@given(st.integers(0, 50))
def test_the_curve_agrees_with_the_slow_one(seed):
    D, T = random_case(9, seed)
    found = neighbour_curve(D, T, rounds=20)
    np.testing.assert_allclose(found.mean, curve_by_hand(D, T))
    assert (found.ideal <= found.mean + 1e-12).all()
    assert found.mean[-1] == pytest.approx(found.chance)


def test_tasks_equally_far_away_count_with_their_mean():
    # The order of the tasks must not decide: all distances are equal, so every k gives chance.
    found = neighbour_curve(np.ones((4, 4)), GROUPS)
    np.testing.assert_allclose(found.mean, found.chance)
    np.testing.assert_allclose(neighbour_curve(GROUPS, GROUPS).mean, found.ideal)


@given(st.integers(0, 50), st.integers(0, 8))
def test_the_curve_of_one_task_is_its_row_and_those_of_all_average_to_the_whole(seed, task):
    D, T = random_case(9, seed)
    alone = neighbour_curve(D, T, rounds=20, of=np.arange(9) == task)
    nearest = sorted((j for j in range(9) if j != task), key=lambda j: D[task, j])
    np.testing.assert_allclose(alone.mean, [np.mean([T[task, j] for j in nearest[:k]]) for k in range(1, 9)])
    assert alone.tasks == 1
    each = [neighbour_curve(D, T, rounds=20, of=np.arange(9) == i).mean for i in range(9)]
    np.testing.assert_allclose(np.mean(each, 0), neighbour_curve(D, T, rounds=20).mean)


def test_the_curve_of_tasks_without_a_place_is_refused():
    D, T = random_case(6)
    T[2] = T[:, 2] = np.nan
    with pytest.raises(InputError, match="none of the tasks asked for"):
        neighbour_curve(D, T, of=np.arange(6) == 2)


def test_the_curve_of_rules_by_hand():
    apart = np.array([[0.0, 1, 2], [2, 0, 1]])
    scores = {"good": np.array([[1.0, 2, 3], [9, 1, 5]]), "tied": np.ones((2, 3)), "bad": -apart}
    found = candidate_curves(scores, apart)
    np.testing.assert_array_equal(found["good"].k, [1, 2, 3])
    np.testing.assert_allclose(found["good"].mean, [0, 0.5, 1])
    np.testing.assert_allclose(found["tied"].mean, [1, 1, 1])
    np.testing.assert_allclose(found["bad"].mean, [2, 1.5, 1])
    for curve in found.values():
        np.testing.assert_allclose(curve.ideal, [0, 0.5, 1])
        assert (curve.chance, curve.tasks) == (1, 2)


@given(st.integers(0, 50))
def test_the_curve_of_rules_agrees_with_the_slow_one(seed):
    rng = np.random.default_rng(seed)
    apart = rng.integers(0, 4, (7, 9)).astype(np.float32)
    scores = {name: rng.normal(size=apart.shape) for name in "ab"}
    scores["a"][rng.random(apart.shape) < 0.1] = np.nan
    apart[rng.random(apart.shape) < 0.1] = np.nan
    apart[3] = np.nan  # a target without a place
    may = [[e for e in range(9) if np.isfinite([apart[t, e], scores["a"][t, e]]).all()] for t in range(7)]
    rows = [t for t in range(7) if len(may[t]) > 1]
    most = min(len(may[t]) for t in rows)
    for name, curve in candidate_curves(scores, apart, rounds=20).items():
        order = {t: sorted(may[t], key=lambda e, t=t: scores[name][t, e]) for t in rows}
        slow = [np.mean([apart[t, order[t][:k]].mean() for t in rows]) for k in range(1, most + 1)]
        np.testing.assert_allclose(curve.mean, slow, rtol=1e-6)
        assert (curve.ideal <= curve.mean + 1e-9).all()
        assert curve.tasks == len(rows)


def test_rules_without_common_candidates_are_refused():
    never = np.full((3, 4), np.nan)
    with pytest.raises(InputError, match="only 0 of 3 targets have two candidates"):
        candidate_curves({"one": np.zeros((3, 4)), "other": never}, np.ones((3, 4)))


def test_the_curve_in_parts_and_at_fewer_sizes(monkeypatch):
    D, T = random_case(40)
    whole = neighbour_curve(D, T)
    monkeypatch.setattr(module, "ROWS", 7)
    np.testing.assert_allclose(neighbour_curve(D, T).mean, whole.mean)
    monkeypatch.setattr(module, "FINE", 5)
    monkeypatch.setattr(module, "POINTS", 12)
    few = neighbour_curve(D, T)
    assert few.k[0] == 1
    assert few.k[-1] == 39
    assert len(few.k) <= 12
    np.testing.assert_allclose(few.mean, whole.mean[few.k - 1])


def test_the_interval_holds_the_mean_repeats_and_shrinks_with_more_tasks():
    D, T = random_case(24)
    found, again = neighbour_curve(D, T, seed=1), neighbour_curve(D, T, seed=1)
    np.testing.assert_array_equal(found.low, again.low)
    assert ((found.low <= found.mean) & (found.mean <= found.high)).all()
    large = neighbour_curve(*random_case(240))
    assert (large.high - large.low)[0] < 0.6 * (found.high - found.low)[0]


def test_tasks_without_embedding_or_place_are_left_out():
    D, T = random_case(12)
    D[3] = D[:, 3] = np.nan
    D[3, 3] = 0
    T[5] = T[:, 5] = np.nan
    kept = [i for i in range(12) if i not in (3, 5)]
    found, expected = neighbour_curve(D, T), neighbour_curve(D[np.ix_(kept, kept)], T[np.ix_(kept, kept)])
    np.testing.assert_array_equal(found.mean, expected.mean)
    assert found.tasks == 10
    a = agreement(frame(D), T)
    assert set(a.tasks.index) == {f"t{i}" for i in kept}
    assert a.rho == pytest.approx(agreement(frame(D[np.ix_(kept, kept)]), T[np.ix_(kept, kept)]).rho)


def test_too_few_tasks_and_holes_are_refused():
    D, T = random_case(6)
    with pytest.raises(InputError, match="only 0 of 6 tasks"):
        neighbour_curve(D, np.full_like(T, np.nan))
    with pytest.raises(InputError, match="only 2 of 2 tasks"):
        agreement(frame(D[:2, :2]), T[:2, :2])
    D[1, 2] = np.nan
    with pytest.raises(InputError, match="between some tasks are missing"):
        neighbour_curve(D, T)


@pytest.mark.parametrize("both_ways", [False, True])
def test_rank_correlation_agrees_with_scipy(both_ways):
    D, T = random_case(15)
    if not both_ways:
        D = D + D.T
    pairs = ~np.eye(15, dtype=bool) if both_ways else np.triu(np.ones((15, 15), dtype=bool), 1)
    found = agreement(frame(D), T)
    assert found.rho == pytest.approx(spearmanr(D[pairs], T[pairs])[0])
    assert found.low < found.rho < found.high
    for i in range(15):
        others = np.arange(15) != i
        assert found.tasks.loc[f"t{i}", "rho"] == pytest.approx(spearmanr(D[i, others], T[i, others])[0])
    assert found.tasks["rho"].is_monotonic_increasing


def test_the_derivative_is_that_of_the_weighted_correlation():
    def weighted(x, y, v):
        def ranks(z):
            return np.array([v @ ((z < s) + 0.5 * (z == s)) for s in z]) / v.sum()

        a, b = ranks(x), ranks(y)
        a, b = a - v @ a / v.sum(), b - v @ b / v.sum()
        return (v * a) @ b / np.sqrt(((v * a) @ a) * ((v * b) @ b))

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 20).astype(float), rng.integers(0, 4, 20).astype(float)
    rho, slopes = module._spearman(module._MidRanks(x), module._MidRanks(y))
    assert rho == pytest.approx(weighted(x, y, np.ones(20)))
    for q in range(20):
        step = 1e-6 * (np.arange(20) == q)
        numeric = (weighted(x, y, 1 + step) - weighted(x, y, 1 - step)) / 2e-6
        assert slopes[q] == pytest.approx(numeric, abs=1e-7)


def test_the_interval_is_that_of_a_bootstrap_over_tasks():
    rng = np.random.default_rng(0)
    n = 50
    points = rng.normal(size=(n, 3))
    moved = points + 0.8 * rng.normal(size=points.shape)
    D, T = (np.linalg.norm(p[:, None] - p[None], axis=2) for p in (points, moved))
    found = agreement(frame(D), np.round(T))
    i, j = np.triu_indices(n, 1)
    rounds = []
    for _ in range(300):
        drawn = rng.integers(0, n, n)
        a, b = drawn[i], drawn[j]
        rounds.append(spearmanr(D[a, b][a != b], np.round(T)[a, b][a != b])[0])
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(rounds), rel=0.25)


def test_perfect_opposite_and_constant():
    order = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0) ** 2))
    same = agreement(frame(order), order)
    assert (same.rho, same.low, same.high) == pytest.approx((1, 1, 1))
    assert agreement(frame(-order), order).rho == pytest.approx(-1)
    assert np.isnan(agreement(frame(order), np.ones((6, 6))).rho)
    assert same.pairs.empty


def test_the_pairs_and_tasks_that_disagree_most():
    # Two groups on a line; task 5 belongs to the first group and stands among the second.
    at = np.array([0.0, 1, 2.1, 10, 11.2, 11])
    D = np.abs(np.subtract.outer(at, at))
    T = taxonomic_distance([((g, str(i)),) for i, g in enumerate("aaabba")])
    found = agreement(frame(D), T, most=2)
    nearer_in_taxonomy, nearer_in_space = found.pairs.iloc[:2], found.pairs.iloc[2:]
    assert {*nearer_in_taxonomy["a"], *nearer_in_taxonomy["b"]} == {"t0", "t1", "t5"}
    assert (nearer_in_taxonomy["difference"] > 0).all()
    assert tuple(nearer_in_space.iloc[0][["a", "b"]]) == ("t4", "t5")
    assert (nearer_in_space["difference"] < 0).all()
    assert nearer_in_space.iloc[0]["distance"] == pytest.approx(0.2)
    assert nearer_in_space.iloc[0]["taxonomic"] == 2
    assert found.tasks.index[0] == "t5"
    assert found.tasks["difference"].idxmax() == "t5"


def test_a_large_space_is_sampled(monkeypatch):
    monkeypatch.setattr(module, "MOST_TASKS", 10)
    D, T = random_case(24)
    found = agreement(frame(D), T, seed=3)
    assert found.sampled
    assert len(found.tasks) == 10
    assert found.rho == agreement(frame(D), T, seed=3).rho
    assert not agreement(frame(D[:10, :10]), T[:10, :10]).sampled
