"""Exported banks as untrusted input: what would unpack without end or not be read back changes nothing."""

from __future__ import annotations

import io
import json
import zipfile
import zlib

import numpy as np
import pandas as pd
import pytest

from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import MethodRecord, keep_method, kept_methods
from t2v_core.bank.transfer import export_bank, import_bank
from t2v_core.errors import InputError
from t2v_core.task.archives import ArchiveLimits
from tests.selection.metas import make_bank

BOMB = {"bomb": np.zeros(30 * 2**20, np.uint8)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small bank without experts, and a method measured on it: its manifest and arrays."""
    folder = tmp_path_factory.mktemp("exported")
    bank = make_bank(folder / "bank")
    with bank.engine.begin() as connection:
        connection.execute(schema.error.delete())
        connection.execute(schema.expert.delete())
    square = pd.DataFrame(np.zeros((2, 2)), index=["a-cats", "a-dogs"], columns=["a-cats", "a-dogs"])
    keep_method(bank, MethodRecord("made", "made up", True, False, {}, 1.0, 1.0, distances=square))
    export_bank(bank, folder / "bank.zip")
    with zipfile.ZipFile(folder / "bank.zip") as archive:
        return json.loads(archive.read("bank.json")), dict(np.load(io.BytesIO(archive.read("arrays.npz"))))


def npz(arrays, save=np.savez) -> bytes:
    save(buffer := io.BytesIO(), **arrays)
    return buffer.getvalue()


def as_array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def changed(arrays, name, **changes) -> np.ndarray:
    """A method's npz with other arrays inside."""
    inside = dict(np.load(io.BytesIO(arrays[name].tobytes()))) | changes
    return as_array(npz(inside, np.savez_compressed))


def write(path, manifest, packed: bytes):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bank.json", json.dumps(manifest))
        archive.writestr("arrays.npz", packed)
    return path


def declares_too_little(data: bytes) -> bytes:
    """An npz whose table of contents gives its only member 10 bytes."""
    data, place = bytearray(data), data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(data)


def refused(tmp_path, file, message) -> None:
    other = Bank(tmp_path / "other")
    with pytest.raises(InputError, match=message):
        import_bank(other, file)
    assert other.version() == 0
    assert other.tasks() == []
    assert kept_methods(other) == {}
    assert not other.weights.exists()


def test_the_small_bank_itself_is_taken(exported, tmp_path):
    manifest, arrays = exported
    import_bank(bank := Bank(tmp_path / "other"), write(tmp_path / "b.zip", manifest, npz(arrays)))
    assert len(bank.tasks()) == 9
    assert list(kept_methods(bank)) == ["made"]


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (lambda arrays: npz(arrays | BOMB, np.savez_compressed), "'arrays.npz' cannot be unpacked .*200 times"),
        (lambda _: b"no zip", "'arrays.npz' cannot be unpacked .*not a zip"),
        (lambda _: declares_too_little(npz(BOMB, np.savez_compressed)), "damaged"),
        (lambda arrays: npz(arrays)[:-30], "no exported bank|cannot be unpacked"),
    ],
    ids=["bomb", "no zip", "declares too little", "cut short"],
)
def test_arrays_are_judged_before_they_are_unpacked(exported, tmp_path, packed, message):
    manifest, arrays = exported
    refused(tmp_path, write(tmp_path / "bad.zip", manifest, packed(arrays)), message)


METHOD = "method/made"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, a: a.update({METHOD: as_array(npz(BOMB, np.savez_compressed))}), "'made' cannot be unpacked"),
        (lambda m, a: a.update({METHOD: as_array(b"garbage")}), "'made' cannot be unpacked"),
        (lambda m, a: a.update({METHOD: changed(a, METHOD, distances=np.zeros(5, np.float16))}), "do not fit 2 tasks"),
        (lambda m, a: a.update({METHOD: changed(a, METHOD, scores=np.zeros((2, 2)))}), "'made' cannot be read"),
        (lambda m, a: m["methods"][0].update(about={}), "'made' cannot be read"),
        (lambda m, a: m["methods"][0].update(facts=7), "'made' cannot be read"),
        (lambda m, a: m["methods"][0].update(seconds="long"), "'made' cannot be read"),
    ],
    ids=["bomb", "garbage", "distances", "scores", "about", "facts", "seconds"],
)
def test_what_a_method_left_must_be_readable(exported, tmp_path, change, message):
    manifest, arrays = json.loads(json.dumps(exported[0])), dict(exported[1])
    change(manifest, arrays)
    refused(tmp_path, write(tmp_path / "bad.zip", manifest, npz(arrays)), message)


def embedding_arrays(vector, chunks: int = 2) -> dict[str, np.ndarray]:
    """The binary parts of an embedding whose chunks are all its vector."""
    ratios = zlib.compress(np.ones((chunks, len(vector)), "<f2").tobytes())
    weights = np.full(chunks, 1 / chunks, "<f8")
    parts = {"vector": np.asarray(vector, "<f4").tobytes(), "chunk_ratios": ratios, "chunk_weights": weights.tobytes()}
    return {name: as_array(data) for name, data in parts.items()}


@pytest.mark.parametrize(
    ("method", "vector", "chunks", "message"),
    [
        ("task2vec", np.ones(9), 2, "has 9 numbers where its probe has 8"),
        ("domain", np.ones(8), 2, "has 8 numbers where its probe has 3"),
        ("task2vec", np.array([1, 1, 1, 1, 1, 1, 1, np.nan]), 2, "not finite"),
        ("domain", np.array([1, 1, np.inf]), 2, "not finite"),
        ("task2vec", np.array([1, 1, 1, 1, 1, 1, 1, -1]), 2, "negative"),
        ("other", np.ones(8000), 2000, "'chunks' cannot be unpacked"),
    ],
    ids=["too long", "no feature", "nan", "inf", "negative", "bomb"],
)
def test_embeddings_must_fit_their_probe(exported, tmp_path, method, vector, chunks, message):
    manifest, arrays = json.loads(json.dumps(exported[0])), dict(exported[1])
    number = next(n for n, row in enumerate(manifest["embeddings"]) if row["method"] in (method, "task2vec"))
    manifest["embeddings"][number]["method"] = method
    arrays.update({f"{name}/{number}": data for name, data in embedding_arrays(vector, chunks).items()})
    refused(tmp_path, write(tmp_path / "bad.zip", manifest, npz(arrays)), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["embeddings"][0].update(samples=-5), "made of -5 images"),
        (lambda m: m["embeddings"][0].update(samples="many"), "made of 'many' images"),
        (lambda m: m["probes"][0].update(prior_precision=[-1.0]), "no positive prior for each of its layers"),
        (lambda m: m["probes"][0].update(prior_precision=[]), "no positive prior for each of its layers"),
    ],
)
def test_numbers_that_would_spoil_distances_are_refused(exported, tmp_path, change, message):
    manifest = json.loads(json.dumps(exported[0]))
    change(manifest)
    refused(tmp_path, write(tmp_path / "bad.zip", manifest, npz(exported[1])), message)


def test_what_the_bank_knows_of_a_probe_stays_as_it_is(exported, tmp_path):
    manifest, arrays = json.loads(json.dumps(exported[0])), exported[1]
    import_bank(bank := Bank(tmp_path / "other"), write(tmp_path / "b.zip", manifest, npz(arrays)))
    before = bank.probes()
    manifest["probes"][0].update(title="another", prior_precision=[77.0])
    import_bank(bank, write(tmp_path / "b.zip", manifest, npz(arrays)))
    assert bank.probes() == before


def test_a_bank_too_large_to_be_taken_in_is_not_handed_out(exported, tmp_path, monkeypatch):
    import_bank(bank := Bank(tmp_path / "other"), write(tmp_path / "b.zip", exported[0], npz(exported[1])))
    monkeypatch.setattr("t2v_core.bank.transfer.LIMITS", ArchiveLimits(max_archive_bytes=100))
    with pytest.raises(InputError, match="copy the bank's folder instead"):
        export_bank(bank, tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()
    with pytest.raises(InputError, match="copy the bank's folder instead"):
        import_bank(bank, tmp_path / "b.zip")


def test_too_little_memory_is_said_in_words(exported, tmp_path, monkeypatch):
    def too_much(*_):
        raise MemoryError

    file = write(tmp_path / "b.zip", exported[0], npz(exported[1]))
    monkeypatch.setattr("t2v_core.bank.transfer.read_member", too_much)
    refused(tmp_path, file, "more memory than there is")
