"""The noise of the head: refits leave the vector as it is, and widen what it might have been."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from t2v_core.embedding import refits
from t2v_core.embedding.pseudotask import PseudoTaskSettings, embed_pseudotask
from t2v_core.embedding.record import Embedding
from t2v_core.embedding.refits import DEAR_IMAGES, IMAGES, REFITS
from t2v_core.embedding.task2vec import Task2VecSettings, embed_task
from t2v_core.errors import Cancelled
from t2v_core.fisher.variational import VariationalSettings

QUICK = {"total_draws": 60, "chunks": 4}


def by_task2vec(task, probe, **how) -> Embedding:
    return embed_task(task, probe, Task2VecSettings(**QUICK), **how).fisher


def by_pseudotask(task, probe, **how) -> Embedding:
    return embed_pseudotask(task, probe, PseudoTaskSettings(**QUICK), **how)


@pytest.mark.parametrize("embed", [by_task2vec, by_pseudotask])
def test_refits_change_no_vector_and_repeat(shapes, bundled, embed, monkeypatch):
    monkeypatch.setattr(refits, "REFITS", 3)
    plain, found, again = embed(shapes, bundled), *(embed(shapes, bundled, refits=True) for _ in range(2))
    assert plain.refits is None
    assert found.refits.shape == (3, len(found.vector))
    np.testing.assert_array_equal(found.vector, plain.vector)
    np.testing.assert_array_equal(found.refits, again.refits)
    assert (found.refits.std(0) > 0).mean() > 0.9  # the heads do differ, and the filters with them
    assert found.space == plain.space


def test_refits_tell_how_far_they_are_and_can_be_stopped(shapes, bundled, monkeypatch):
    monkeypatch.setattr(refits, "REFITS", 3)
    seen = []
    embed_task(shapes, bundled, Task2VecSettings(**QUICK), refits=True, progress=lambda *step: seen.append(step))
    heads = [(done, total) for done, total, text in seen if text == "other heads"]
    assert heads == sorted(heads) and heads[-1] == (3 * IMAGES, 3 * IMAGES)

    def stop(done: int, total: int, text: str) -> None:
        if text == "other heads":
            raise Cancelled

    with pytest.raises(Cancelled):
        embed_task(shapes, bundled, Task2VecSettings(**QUICK), refits=True, progress=stop)


def test_a_large_probe_looks_at_fewer_images_under_other_heads(shapes, bundled):
    """A quarter of the passes, whose wait is as long as that for the vector itself."""
    large = replace(bundled, info=replace(bundled.info, id="resnet34"))
    seen = []
    embed_task(shapes, large, Task2VecSettings(**QUICK), refits=True, progress=lambda *step: seen.append(step))
    assert seen[-1] == (REFITS * DEAR_IMAGES, REFITS * DEAR_IMAGES, "other heads")


def test_the_spread_is_that_of_chunks_and_of_heads():
    """Logarithms of resampled vectors vary as those of the refits do, on top of the chunks'."""
    rng = np.random.default_rng(0)
    vector = np.array([1.0, 2.0, 3.0], np.float32)
    one = Embedding(vector, "task2vec", "p", "w", {}, 9, vector[None].repeat(4, 0), np.full(4, 0.25))
    logs = rng.normal(0, [0.1, 0.3, 0.0], (6, 3))
    refits = np.exp(logs).astype(np.float32) * 7  # of other images: their size says nothing, their spread does
    drawn = np.log(replace(one, refits=refits).bootstrap(20_000, rng) / vector)
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.01)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(logs.T), atol=0.004)
    chunks = vector * np.exp(rng.normal(0, 0.2, (4, 3))).astype(np.float32)
    spread = replace(one, chunk_means=chunks)
    same = replace(spread, refits=np.ones((6, 3), np.float32))
    a, b = (e.bootstrap(50, np.random.default_rng(1)) for e in (spread, same))
    np.testing.assert_array_equal(a, b)


def test_a_filter_that_no_head_reaches_stays_at_zero():
    vector = np.array([0.0, 1.0], np.float32)
    refits = np.array([[0, 1], [0, 2], [0, 3]], np.float32)
    one = Embedding(vector, "task2vec", "p", "w", {}, 9, vector[None], np.ones(1), refits=refits)
    drawn = one.bootstrap(20, np.random.default_rng(0))
    assert (drawn[:, 0] == 0).all() and np.isfinite(drawn).all() and drawn[:, 1].std() > 0


def test_a_filter_that_some_heads_do_not_reach_stays_finite():
    vector = np.array([1.0, 2.0], np.float32)
    refits = np.array([[1.0, 2.0]] * 7 + [[0.0, 2.0]], np.float32)
    one = Embedding(vector, "task2vec", "p", "w", {}, 9, vector[None], np.ones(1), refits=refits)
    drawn = one.bootstrap(2000, np.random.default_rng(0))
    assert np.isfinite(drawn).all()
    assert drawn[:, 0].std() > 0
    np.testing.assert_allclose(drawn[:, 1], 2)


def test_the_variational_form_has_none(shapes, bundled):
    short = VariationalSettings(epochs=1, epoch_size=16, batch_size=8)
    settings = Task2VecSettings(estimator="variational", variational=short)
    assert embed_task(shapes, bundled, settings, refits=True).fisher.refits is None
