"""What methods leave in a bank: read as it was, missing where it changed, small."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text, update

from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import MethodRecord, add_embeddings, keep_method, kept_methods
from t2v_core.bank.rows import embedding_from_row, embedding_row
from t2v_core.bank.transfer import copy_tasks, export_bank, import_bank
from t2v_core.embedding.record import TASK2VEC, Embedding
from t2v_core.errors import InputError
from tests.selection.metas import make_bank

TASKS = ["b-cats", "b-dogs", "b-mixed"]
EXPERTS = ["expert-a-cats", "expert-a-dogs"]


@pytest.fixture
def small_bank(tmp_path) -> Bank:
    return make_bank(tmp_path / "bank")


@pytest.fixture
def record() -> MethodRecord:
    rng = np.random.default_rng(0)
    upper = np.triu(rng.random((3, 3)).astype(np.float16), 1).astype(np.float32)
    scores = rng.normal(size=(3, 2)).astype(np.float32)
    scores[1, 0] = np.nan
    return MethodRecord(
        "made",
        "a made-up method",
        labels=True,
        every_expert=False,
        settings={"seed": 3},
        seconds=0.25,
        once=1.5,
        scores=pd.DataFrame(scores, index=TASKS, columns=EXPERTS),
        distances=pd.DataFrame(upper + upper.T, index=TASKS, columns=TASKS),
        facts={"softness": 0.5},
        target=0.5,
    )


def same(a: MethodRecord, b: MethodRecord) -> None:
    pd.testing.assert_frame_equal(a.scores, b.scores)
    pd.testing.assert_frame_equal(a.distances, b.distances)
    for name in ("name", "title", "labels", "every_expert", "settings", "target", "seconds", "once", "facts"):
        assert getattr(a, name) == getattr(b, name)


def test_what_is_kept_is_read_back(small_bank, record):
    before = small_bank.version()
    assert kept_methods(small_bank) == {}
    keep_method(small_bank, record)
    assert small_bank.version() > before
    same(kept_methods(small_bank)["made"], record)
    keep_method(small_bank, replace(record, seconds=2.0))
    assert kept_methods(Bank(small_bank.location))["made"].seconds == 2.0


def test_a_cost_alone(small_bank, record):
    keep_method(small_bank, replace(record, scores=pd.DataFrame(), distances=pd.DataFrame()))
    found = kept_methods(small_bank)["made"]
    assert found.costs_only
    assert found.distances.empty


def test_what_was_replaced_since_is_missing(small_bank, record):
    keep_method(small_bank, record)
    with small_bank.engine.begin() as connection:
        connection.execute(update(schema.task).where(schema.task.c.id == "b-dogs").values(content_hash="other"))
        connection.execute(
            update(schema.expert).where(schema.expert.c.id == "expert-a-dogs").values(weights_sha256="other")
        )
    found = kept_methods(small_bank)["made"]
    pd.testing.assert_frame_equal(found.scores, record.scores.loc[["b-cats", "b-mixed"], ["expert-a-cats"]])
    pd.testing.assert_frame_equal(found.distances, record.distances.loc[["b-cats", "b-mixed"], ["b-cats", "b-mixed"]])
    small_bank.delete_task("b-mixed")
    assert list(kept_methods(small_bank)["made"].scores.index) == ["b-cats"]


def test_scores_of_strangers_are_refused(small_bank, record):
    with pytest.raises(InputError, match="holds no 'nobody'"):
        keep_method(small_bank, replace(record, scores=record.scores.rename(columns={"expert-a-cats": "nobody"})))
    assert kept_methods(small_bank) == {}


def network_embedding(vector: np.ndarray) -> Embedding:
    return Embedding(vector, "tangent", "random-small", "no probe", {"networks": 2}, 50, vector[None], np.ones(1))


@pytest.mark.parametrize(("values", "bytes_each"), [(np.float16, 2), (np.float32, 4)])
def test_embeddings_without_a_probe(small_bank, values, bytes_each):
    """Those that float16 holds exactly take half of the room; all are read back to the last bit."""
    vector = np.random.default_rng(1).normal(size=64).astype(values).astype(np.float32)
    add_embeddings(small_bank, {"a-cats": network_embedding(vector)})
    found = small_bank.embeddings("tangent")["a-cats"]
    light = small_bank.embeddings("tangent", chunks=False)["a-cats"]
    np.testing.assert_array_equal(light.vector, found.vector)
    assert light.space == found.space
    np.testing.assert_array_equal(found.vector, vector)
    np.testing.assert_array_equal(found.chunk_means, vector[None])
    np.testing.assert_array_equal(found.bootstrap(2, np.random.default_rng(0)), [vector, vector])
    with small_bank.engine.connect() as connection:
        row = (
            connection.execute(schema.embedding.select().where(schema.embedding.c.method == "tangent")).mappings().one()
        )
    assert len(row["vector"]) == bytes_each * 64
    assert bool(row["chunk_ratios"]) == (values == np.float32)
    assert list(small_bank.probes()) == ["w"]


def test_methods_and_embeddings_move_with_the_bank(small_bank, record, tmp_path):
    vector = np.arange(4, dtype=np.float32)
    add_embeddings(small_bank, {"a-cats": network_embedding(vector)})
    keep_method(small_bank, record)
    with small_bank.engine.begin() as connection:
        connection.execute(schema.error.delete())
        connection.execute(schema.expert.delete())  # they came without weights
    record = replace(record, scores=record.scores[[]])
    export_bank(small_bank, tmp_path / "bank.zip")
    other = Bank(tmp_path / "other")
    import_bank(other, tmp_path / "bank.zip")
    np.testing.assert_array_equal(other.embeddings("tangent")["a-cats"].vector, vector)
    pd.testing.assert_frame_equal(kept_methods(other)["made"].distances, record.distances)
    third = Bank(tmp_path / "third")
    copy_tasks(small_bank, third)
    np.testing.assert_array_equal(third.embeddings("tangent")["a-cats"].vector, vector)


def test_a_bank_from_before_gets_the_table(small_bank, record):
    with small_bank.engine.begin() as connection:
        for table in (schema.method, schema.trial, schema.claim):
            table.drop(connection)
        connection.execute(text("ALTER TABLE expert DROP COLUMN spec"))
        connection.execute(schema.meta.update().where(schema.meta.c.key == "schema").values(value=1))
    keep_method(Bank(small_bank.location), record)
    same(kept_methods(small_bank)["made"], record)


def test_an_embedding_with_other_settings_takes_the_place_of_the_former(small_bank):
    former, others = network_embedding(np.ones(8, np.float32)), small_bank.counts()["embeddings"]
    add_embeddings(small_bank, {"a-cats": former})
    later = replace(former, vector=np.zeros(8, np.float32), settings={"networks": 4})
    add_embeddings(small_bank, {"a-cats": later})
    assert small_bank.embeddings("tangent")["a-cats"].settings == {"networks": 4}
    assert small_bank.counts()["embeddings"] == others + 1  # those by other methods stay


@pytest.mark.parametrize("size", range(1, 20))
def test_chunks_of_any_size_are_read_as_they_were(size):
    vector = np.random.default_rng(size).random(size).astype(np.float32)
    stored = Embedding(vector, TASK2VEC, "p", "w", {}, 50, np.stack([vector, vector]), np.full(2, 0.5))
    np.testing.assert_array_equal(embedding_from_row(embedding_row("x", stored)).chunk_means, stored.chunk_means)


def test_chunks_are_kept_compressed_and_read_from_older_banks():
    rng = np.random.default_rng(0)
    vector = rng.random(500).astype(np.float32)
    means = (vector * (1 + 0.01 * rng.standard_normal((16, 500)))).astype(np.float32)
    packed = embedding_row("x", Embedding(vector, TASK2VEC, "p", "w", {}, 50, means, np.full(16, 1 / 16)))
    assert len(packed["chunk_ratios"]) < 2 * 16 * 500
    found = embedding_from_row(packed)
    older = packed | {"chunk_ratios": zlib.decompress(packed["chunk_ratios"])}
    np.testing.assert_array_equal(embedding_from_row(older).chunk_means, found.chunk_means)
    np.testing.assert_allclose(found.chunk_means, means, rtol=1e-3)
    for evil in (zlib.compress(b"0" * 10**6), b"no chunks", packed["chunk_ratios"][:-9]):
        with pytest.raises(ValueError, match="chunks"):
            embedding_from_row(packed | {"chunk_ratios": evil})
