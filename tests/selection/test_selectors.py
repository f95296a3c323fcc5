"""Every selector behind the one interface: what it names, what it costs, what it may not look at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from t2v_core.embedding.record import TASK2VEC
from t2v_core.selection.model2vec import Model2Vec
from t2v_core.selection.nearest import METRICS, Nearest, distances, tune_alpha
from t2v_core.selection.regret import best_error, relative_increase
from t2v_core.selection.selectors import Chance, Generic, Given, Oracle, Selector, Static, TwoStage
from tests.selection.metas import embedded_meta, make_meta

EVERY: list[Selector] = [
    Chance(),
    Generic(),
    Static(),
    Oracle(),
    *(Nearest(metric) for metric in METRICS),
    Model2Vec(epochs=2),
    TwoStage(Nearest()),
]
META = embedded_meta()


def error(selector: Selector, meta) -> np.ndarray:
    return selector.error(meta, selector.scores(meta))


@pytest.mark.parametrize("selector", EVERY, ids=lambda s: s.name)
def test_the_interface(selector):
    scores = selector.scores(META)
    assert scores.shape == META.errors.shape
    assert selector.error(META, scores).shape == (len(META.tasks),)
    assert selector.title
    assert selector.heads(META) >= 0


@pytest.mark.parametrize(
    "selector", [s for s in EVERY if s.name != "oracle" and "heads" not in s.name], ids=lambda s: s.name
)
def test_a_selector_never_sees_the_errors_of_the_task_it_scores(selector):
    other = META.errors.copy()
    other[3] = other[3, ::-1]
    changed = selector.scores(replace(META, errors=other))
    np.testing.assert_allclose(selector.scores(META)[3], changed[3], rtol=1e-12)


@pytest.mark.parametrize("selector", EVERY, ids=lambda s: s.name)
def test_permuting_the_experts_permutes_the_scores(selector):
    order = np.random.default_rng(0).permutation(len(META.experts))
    v = META.vectors
    permuted = replace(
        META,
        errors=META.errors[:, order],
        vectors=replace(v, sources={m: s[order] for m, s in v.sources.items()}, samples=v.samples[order]),
    )
    # MODEL2VEC sums in another order, in float32.
    np.testing.assert_allclose(selector.scores(permuted), selector.scores(META)[:, order], atol=2e-4)


def test_names_are_different():
    assert len({s.name for s in EVERY}) == len(EVERY)


def test_references_by_hand():
    meta = make_meta([[10, 20, 60], [30, 10, 50]], generic=np.array([40.0, 15]))
    np.testing.assert_allclose(error(Chance(), meta), [30, 30])
    np.testing.assert_allclose(error(Generic(), meta), [40, 15])
    np.testing.assert_allclose(error(Static(), meta), [20, 30])
    assert np.isnan(error(Generic(), replace(meta, generic=None))).all()
    assert (TwoStage(Static(), 2).heads(meta), Static().heads(meta)) == (2, 0)
    np.testing.assert_allclose(error(Oracle(), meta), [10, 10])
    assert Oracle().heads(meta) == 3


def test_two_stages_take_the_best_of_the_shortlist_and_rank_the_rest_after_it():
    meta = make_meta([[50, 20, 30, 10]])
    first = Given("first", "", np.array([[1.0, 2, 3, 4]]))
    np.testing.assert_allclose([error(TwoStage(first, k), meta)[0] for k in (1, 2, 3, 4, 9)], [50, 20, 20, 10, 10])
    assert TwoStage(first, 2).scores(meta)[0].argsort().tolist() == [1, 0, 2, 3]
    blind = Given("first", "", np.array([[np.nan, 2, np.nan, np.nan]]))
    assert np.isfinite(TwoStage(blind, 3).scores(meta)).tolist() == [[False, True, False, False]]


def test_without_embeddings_distances_say_nothing():
    assert np.isnan(Nearest().scores(make_meta([[1, 2]]))).all()
    assert np.isnan(Model2Vec().scores(make_meta([[1, 2]]))).all()


def test_alpha_is_tuned_on_the_other_tasks():
    """Against a loop: for each task, the alpha with the least mean regret on the others."""
    alphas = (0.0, 0.15, 0.5, 2.0)
    meta = embedded_meta(tasks=10, experts=5, seed=4)
    v = meta.vectors
    samples = np.array([1e-3, 1e-5, 1e-4, 1e-6, 1e-2])  # so few that complexities differ
    meta = replace(meta, vectors=replace(v, samples=samples))
    regret = {}
    for alpha in alphas:
        d = distances(v.targets[TASK2VEC], v.sources[TASK2VEC], samples, v.info, "asymmetric", alpha)
        regret[alpha] = relative_increase(meta.errors[np.arange(10), d.argmin(1)], best_error(meta.errors))
    assert len({tuple(r) for r in regret.values()}) > 1, "alpha must matter for this test to say anything"
    held_out = []
    for t in range(10):
        means = {a: np.delete(regret[a], t).mean() for a in alphas}
        least = min(means.values())
        held_out.append(regret[min((a for a in alphas if means[a] <= least + 1e-9), key=lambda a: abs(a - 0.15))][t])
    found = tune_alpha(meta, alphas)
    assert found.mean == pytest.approx(np.mean(held_out))
    assert found.low <= found.mean <= found.high
    np.testing.assert_allclose(found.table["mean"], [regret[a].mean() for a in alphas])
    assert found.table["alpha"].tolist() == list(alphas)
    assert regret[found.alpha].mean() == pytest.approx(min(r.mean() for r in regret.values()))


def test_of_equal_alphas_the_default_is_kept():
    meta = make_meta([[10, 20], [20, 10]], vectors=embedded_meta(2, 2).vectors)
    meta = replace(meta, errors=np.array([[5.0, 5], [5, 5]]))
    assert tune_alpha(meta).alpha == 0.15


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        replace(make_meta([[1, 2]]), errors=np.zeros((2, 2)))
