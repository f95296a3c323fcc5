"""Ranking experts: order, certainty, what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError
from t2v_core.probe.record import ProbeInfo
from t2v_core.selection.ranking import Ranked, certainty, places, rank_experts
from t2v_core.task.record import InputSpec

INFO = ProbeInfo("p", "p", "w", (("a", 3), ("b", 2)), (1.0, 2.0), InputSpec(8, 8, (0, 0, 0), (1, 1, 1)), 2, "")


def embedding(vector, noise: float, seed: int = 0) -> Embedding:
    vector = np.asarray(vector, dtype=np.float32)
    rng = np.random.default_rng(seed)
    means = np.abs(vector * (1 + noise * rng.normal(size=(10, len(vector))))).astype(np.float32)
    return Embedding(means.mean(0), "montecarlo", "p", "w", {"seed": 0}, 100, means, np.full(10, 0.1))


def test_the_nearest_comes_first_and_is_certain_without_noise():
    target = embedding([1, 2, 3, 4, 5], 0.001)
    sources = {"far": embedding([5, 4, 3, 2, 1], 0.001, 1), "near": embedding([1, 2, 3, 4, 5.5], 0.001, 2)}
    for selector in ("symmetric", "asymmetric"):
        ranked = rank_experts(target, sources, INFO, selector)
        assert [r.expert_id for r in ranked] == ["near", "far"]
        assert ranked[0].p_first == 1
        assert ranked[0].distance < ranked[1].distance
    assert certainty(ranked).startswith("Clear")


def test_twins_under_noise_share_the_probability():
    target = embedding([1, 2, 3, 4, 5], 0.5)
    sources = {str(i): embedding([1, 2, 3, 4, 5], 0.5, i + 1) for i in range(4)}
    ranked = rank_experts(target, sources, INFO, "symmetric")
    assert sum(r.p_first for r in ranked) == pytest.approx(1)
    assert max(r.p_first for r in ranked) < 0.9
    assert sum(r.p_top3 for r in ranked) == pytest.approx(3)
    assert all(r.spread > 0 for r in ranked)


def test_a_seed_repeats():
    target, sources = embedding([1, 2, 3, 4, 5], 0.5), {"a": embedding([1, 1, 1, 1, 1], 0.5, 3)}
    assert rank_experts(target, sources, INFO) == rank_experts(target, sources, INFO)


def test_a_source_that_no_distance_reaches_is_left_out():
    target, near = embedding([1, 2, 3, 4, 5], 0.1), embedding([1, 2, 3, 4, 5.5], 0.1, 2)
    zero = replace(near, vector=np.zeros(5, np.float32), chunk_means=np.zeros((10, 5), np.float32))
    far = embedding([5, 4, 3, 2, 1], 0.1, 1)
    for selector in ("symmetric", "asymmetric"):
        ranked = rank_experts(target, {"a": zero, "far": far, "near": near}, INFO, selector)
        assert ranked == rank_experts(target, {"far": far, "near": near}, INFO, selector)
        assert ranked[0].p_first > 0.9
        with pytest.raises(InputError, match="distance to none of their tasks is defined"):
            rank_experts(zero, {"far": far}, INFO, selector)


def test_spaces_are_not_mixed():
    target = embedding([1, 2, 3, 4, 5], 0.1)
    with pytest.raises(InputError, match="cannot be compared"):
        rank_experts(target, {"a": replace(target, weights_hash="other")}, INFO)
    with pytest.raises(InputError, match="cannot be compared"):
        rank_experts(target, {"a": replace(target, settings={"prior": 1})}, INFO)
    assert rank_experts(target, {"a": replace(target, settings={"seed": 1})}, INFO)  # only other noise
    with pytest.raises(InputError, match="no expert"):
        rank_experts(target, {}, INFO)
    with pytest.raises(InputError, match="no selector"):
        rank_experts(target, {"a": target}, INFO, "psychic")


def test_bootstrap_averages_to_the_vector_and_error_shrinks():
    e = embedding([1, 2, 3, 4, 5], 0.3)
    rounds = e.bootstrap(4000, np.random.default_rng(0))
    np.testing.assert_allclose(rounds.mean(0), e.vector, rtol=0.02)
    assert np.linalg.norm(rounds.std(0)) / np.linalg.norm(e.vector) == pytest.approx(e.relative_error, rel=0.1)


def tangent(vectors, seed: int = 0) -> Embedding:
    """Gradients ``[M, P]`` of length 1 as an embedding by M networks."""
    vectors = np.asarray(vectors, dtype=np.float32)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    settings = {"networks": len(vectors), "seed": seed}
    flat = vectors.reshape(-1)
    return Embedding(flat, "tangent", "random-small", "w", settings, 100, flat[None], np.ones(1))


def test_tangent_ranks_by_the_mean_over_networks_and_resamples_networks():
    """Of two experts one agrees with the target under three networks of four; only a draw of the fourth puts the
    other first."""
    one, other = [1.0, 0.0], [0.0, 1.0]
    target = tangent([one] * 4)
    sources = {"mostly": tangent([one, one, one, other]), "once": tangent([other, other, other, one])}
    first, second = rank_experts(target, sources, None, "tangent", rounds=20_000)
    assert (first.expert_id, second.expert_id) == ("mostly", "once")
    assert first.distance == pytest.approx(0.25, abs=1e-3)
    assert second.distance == pytest.approx(0.75, abs=1e-3)
    # k of "mostly" is a mean of four draws of 1 with probability 3/4: its spread is that of a binomial share.
    assert first.spread == pytest.approx(np.sqrt(0.75 * 0.25 / 4), rel=0.05)
    # More than two draws of the fourth network: P(Binomial(4, 1/4) > 2) = 13 / 256; they share the 54 / 256 of a tie.
    assert second.p_first == pytest.approx((13 + 54 / 2) / 256, abs=0.01)


def test_experts_of_one_task_share_its_chances():
    target = embedding([1, 2, 3, 4, 5], 0.5)
    leader, rival = embedding([1, 2, 3, 4, 5], 0.5, 1), embedding([1, 2, 3, 4, 5], 0.5, 3)
    before = {r.expert_id: r for r in rank_experts(target, {"leader": leader, "rival": rival}, INFO, "symmetric")}
    copies = {"leader": leader, **{f"rival {i}": rival for i in range(3)}}
    after = {r.expert_id: r for r in rank_experts(target, copies, INFO, "symmetric")}
    assert 0.1 < before["rival"].p_first < 0.9
    assert after["leader"].p_first == before["leader"].p_first
    for i in range(3):
        assert after[f"rival {i}"].p_first == pytest.approx(before["rival"].p_first / 3)
    assert sum(r.p_top3 for r in after.values()) == pytest.approx(3)
    ranked = list(after.values())
    assert certainty(ranked).startswith("Likely")
    assert certainty(ranked[1:]).startswith("Tied: 3 experts lie at one distance")
    assert places(ranked) == [1, 2, 3, 4]
    assert places(ranked[1:]) == [1, 1, 1]
    assert places(ranked[1:] + ranked[:1]) == [1, 1, 1, 4]
    assert f"first in {before['rival'].p_first:.0%} of cases" in certainty(ranked[1:])


def test_what_is_open_counts_the_first_among_its_rivals():
    ranked = [Ranked(str(i), 0.1 + i, 0.1, p, 1.0) for i, p in enumerate((0.05, 0.5, 0.45))]
    assert "3 experts are within the noise" in certainty(ranked)


def test_tangent_resamples_the_images_where_halves_of_them_came_along():
    """Two experts at right angles; halves of the images lean to either, by as much as their normal draws must."""
    target = tangent([[np.cos(0.75), np.sin(0.75)]] * 4)
    sources = {"near": tangent([[1.0, 0.0]] * 4), "far": tangent([[0.0, 1.0]] * 4)}
    certain = rank_experts(target, sources, None, "tangent")[0]
    assert (certain.p_first, certain.spread) == (1.0, pytest.approx(0, abs=1e-6))
    angles = 0.75 + np.array([-0.1, 0.1, -0.05, 0.05])
    halves = np.stack([np.cos(angles), np.sin(angles)], 1)[:, None].repeat(4, axis=1)  # alike for all networks
    noisy = replace(target, refits=halves.reshape(4, -1).astype(np.float32))
    found = rank_experts(noisy, sources, None, "tangent", rounds=20_000)[0]
    assert found.distance == certain.distance
    assert found.spread == pytest.approx(np.cos(angles).std(ddof=1), rel=0.02)
    apart = np.cos(angles) - np.sin(angles)
    ahead = (np.cos(0.75) - np.sin(0.75)) / apart.std(ddof=1)
    assert found.p_first == pytest.approx(norm.cdf(ahead), abs=0.02)
    # A network that saw no half has no say in it, nor has a half that no network saw.
    halves[0, 1:] = halves[2:, 0] = np.nan
    halves = np.concatenate([halves, np.full_like(halves[:1], np.nan)])
    some = replace(target, refits=halves.reshape(5, -1).astype(np.float32))
    again = rank_experts(some, sources, None, "tangent", rounds=20_000)[0]
    assert again.spread == pytest.approx(found.spread, rel=0.02)


def test_tangent_embeddings_of_other_networks_are_refused():
    target = tangent([[1.0, 0.0]] * 4)
    with pytest.raises(InputError, match="cannot be compared"):
        rank_experts(target, {"a": replace(target, weights_hash="other")}, None, "tangent")


def test_certainty_speaks_of_what_was_resampled_and_of_what_can_be_done():
    target = embedding([1, 2, 3, 4, 5], 0.5)
    ranked = rank_experts(
        target, {str(i): embedding([1, 2, 3, 4, 5], 0.5, i + 1) for i in range(4)}, INFO, "pseudotask"
    )
    assert "Label some images" in certainty(ranked, "pseudotask", learnable=False)
    assert "Label" not in certainty(ranked, "asymmetric")
    assert "The heads fitted on your images tell more." in certainty(ranked, "asymmetric", compared=True)
    clear = rank_experts(
        tangent([[1.0, 0.0]] * 4), {"a": tangent([[1.0, 0.0]] * 4), "b": tangent([[0.0, 1.0]] * 4)}, None, "tangent"
    )
    assert certainty(clear, "tangent").startswith("Likely: with other untrained networks, drawing again among")
    assert "may well put another one first" in certainty(clear, "tangent")


def test_pseudotask_gives_sources_of_large_norm_the_credit_it_is_told():
    target = embedding([1, 2, 3, 4, 5], 0.01)
    sources = {"small": embedding([1, 2, 3, 4, 5.2], 0.01, 1), "large": embedding([3, 6, 8, 13, 14], 0.01, 2)}
    plain = rank_experts(target, sources, INFO, "pseudotask")
    assert [r.distance for r in plain] == [r.distance for r in rank_experts(target, sources, INFO, "symmetric")]
    assert plain[0].expert_id == "small"
    credited = {r.expert_id: r for r in rank_experts(target, sources, INFO, "pseudotask", alpha=0.5)}
    norms = {name: float(source.vector.sum()) for name, source in sources.items()}
    for r in plain:
        expected = r.distance - 0.5 * norms[r.expert_id] / np.mean(list(norms.values()))
        assert credited[r.expert_id].distance == pytest.approx(expected, abs=1e-5)
    assert credited["large"].p_first == 1
