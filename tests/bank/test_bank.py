"""The bank: what is written is read back, writes are whole, newer banks are refused."""

from __future__ import annotations

import json
import os
import shutil
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pytest
from sqlalchemy import select, update

from t2v_core.bank import opening, schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.opening import holds_bank
from t2v_core.bank.records import TrialEntry
from t2v_core.bank.transfer import copy_tasks, export_bank, import_bank
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.errors import InputError
from t2v_core.task.record import InputSpec
from tests.selection.metas import make_bank

TRIAL = TrialEntry("a" * 64, "stripes", "generic", "frozen", "", 2, 8, 0, 40.0, 80, 1.0)


def test_a_folder_may_have_any_name(tmp_path):
    for name in ("what?now", "a b#c", "50%"):
        bank = Bank(tmp_path / name)
        bank.record_fact("name", name)
        bank.close()
        assert holds_bank(tmp_path / name)
        assert Bank(tmp_path / name).facts() == {"name": name}
    assert len(list(tmp_path.iterdir())) == 3


def test_a_built_bank_is_whole(bank, worlds):
    assert {t.id for t in bank.tasks()} == set(worlds)
    assert len(bank.experts()) == 4
    errors = bank.errors()
    assert errors.shape == (len(worlds), 4)
    assert errors.notna().all().all()
    assert ((errors >= 0) & (errors <= 100)).all().all()
    for t in bank.tasks():
        assert t.content_hash == worlds[t.id].decoded.content_hash
        assert len(t.taxonomy) >= 4


def test_embeddings_survive_the_bank(bank, bundled, shapes):
    from t2v_core.embedding.task2vec import Task2VecSettings, embed_task

    stored = bank.embeddings(TASK2VEC)["shapes"]
    again = embed_task(shapes, bundled, Task2VecSettings(**stored.settings)).fisher
    np.testing.assert_allclose(stored.vector, again.vector, rtol=1e-3)
    np.testing.assert_allclose(stored.chunk_means, again.chunk_means, rtol=2e-2, atol=1e-3 * again.vector.max())
    np.testing.assert_allclose(stored.chunk_weights @ stored.chunk_means, stored.vector, rtol=2e-3, atol=1e-8)
    assert stored.space == again.space
    assert stored.relative_error == pytest.approx(again.relative_error, rel=0.02)


def test_the_same_weights_under_another_transform_are_not_mixed_in(bank, bundled):
    record, kept = next(t for t in bank.tasks() if t.id == "shapes"), bank.embeddings(TASK2VEC)["shapes"]
    other = replace(bundled.info, id="port", spec=replace(bundled.info.spec, mean=(0.5, 0.5, 0.5)))
    with pytest.raises(InputError, match="made of other pixels"):
        bank.save_task(replace(record, id="another"), ["ab" * 32], [kept], other)
    assert "another" not in {t.id for t in bank.tasks()}
    assert bank.probes()[bundled.info.weights_hash] == bundled.info


@pytest.mark.parametrize("changed", [False, True])
def test_a_task_of_other_images_keeps_nothing_of_the_former(bank, bundled, changed):
    record = next(t for t in bank.tasks() if t.id == "shapes")
    kept = bank.embeddings(TASK2VEC)["shapes"]
    if changed:
        record = replace(record, content_hash="0" * 64)
    bank.save_task(record, ["ab" * 32], [kept], bundled.info)
    assert ("shapes" in bank.embeddings(DOMAIN)) is not changed
    assert ("shapes" in bank.errors().index) is not changed


def test_building_again_repeats_nothing(bank, worlds, monkeypatch):
    from t2v_core import building, filling
    from tests.conftest import FEW_DRAWS, QUICK

    def fail(*args, **kwargs):
        raise AssertionError("finished work was repeated")

    monkeypatch.setattr(building, "embed_task", fail)
    monkeypatch.setattr(filling, "task_errors", fail)
    kinds = {"shapes": "large", "textures": "large", "digits": "broad"}
    tasks = [replace(t, kind=kinds.get(t.id, t.kind)) for t in worlds.values()]
    before = bank.counts()
    spent = bank.facts()["build"]["seconds"]
    again = building.build_demo(bank, tasks, settings=FEW_DRAWS, training=QUICK, workers=1, report=lambda *_: None)
    assert bank.counts() == before
    built = bank.facts()["build"]
    assert built["seconds"] == again
    assert all(again[stage] >= spent[stage] for stage in ("embed", "train", "errors"))  # the first build's too
    assert built["version"] == building.code_version()


def test_the_code_version_changes_with_the_code(monkeypatch, tmp_path):
    from t2v_core import building

    monkeypatch.setattr(building, "__file__", str(tmp_path / "building.py"))
    found = []
    for text in ("x = 1", "x = 1", "x = 2"):
        (tmp_path / "a.py").write_text(text)
        found.append(building.code_version())
    assert found[0] == found[1] != found[2]


def test_experts_are_trained_anew_on_other_images_and_from_other_weights(bank, worlds):
    from t2v_core.building import _trained_so
    from tests.conftest import QUICK

    expert, item = next(e for e in bank.experts() if e.id == "expert-digits"), worlds["digits"]
    start = expert.training["from_weights"]
    assert _trained_so(expert, item, QUICK, start)
    assert not _trained_so(expert, worlds["shapes"], QUICK, start)
    assert not _trained_so(expert, item, QUICK, "other weights")
    assert not _trained_so(expert, item, replace(QUICK, epochs=2), start)
    assert not _trained_so(None, item, QUICK, start)
    older = {name: value for name, value in expert.training.items() if name != "content"}
    assert _trained_so(replace(expert, training=older), item, QUICK, start)


def test_verify_recomputes_and_notices_a_forgery(bank, worlds):
    from t2v_core.building import verify

    found = verify(bank, list(worlds.values()), "stripes", None, lambda *_: None)
    assert found["verified"]
    assert found["d_sym"] < 1e-4
    assert found["recomputed_error"] == pytest.approx(found["stored_error"], abs=1.0)
    with bank.engine.begin() as connection:
        connection.execute(update(schema.error).values(error=99.0))
    assert not verify(bank, list(worlds.values()), "stripes", None, lambda *_: None)["verified"]
    with pytest.raises(InputError, match="cannot be recomputed"):
        verify(bank, list(worlds.values()), "nothing", None, lambda *_: None)


def test_the_version_grows_with_every_change(bank):
    before = bank.version()
    bank.delete_task("stripes")
    assert bank.version() > before
    assert "stripes" not in {t.id for t in bank.tasks()}
    assert "stripes" not in bank.errors().index
    with pytest.raises(InputError, match="no task 'stripes'"):
        bank.delete_task("stripes")
    with pytest.raises(InputError, match="trained on"):
        bank.delete_task("shapes")


def test_a_failed_write_leaves_nothing(bank):
    record = bank.tasks()[0]
    before = (bank.version(), len(bank.tasks()))

    def broken():
        raise RuntimeError("the disk is on fire")
        yield

    info = next(iter(bank.probes().values()))
    with pytest.raises(RuntimeError):
        bank.save_task(replace(record, id="half"), ["ab" * 32], broken(), info)
    assert (bank.version(), len(bank.tasks())) == before


def test_writers_wait_for_each_other(bank_path):
    def write(number: int) -> None:
        own = Bank(bank_path)
        for step in range(10):
            own.keep_derived(f"{number}-{step}", np.arange(3))
            own.save_errors([])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    before = Bank(bank_path).version()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert Bank(bank_path).version() == before + 40


def at_once(count: int, act) -> None:
    """Call ``act(number)`` in threads that start together."""
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        act(number)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(run, range(count)))


def test_a_new_bank_can_be_opened_by_several_at_once(tmp_path):
    for attempt in range(5):
        at_once(4, lambda _, place=tmp_path / str(attempt): Bank(place))
        assert Bank(tmp_path / str(attempt)).version() == 0


def test_several_may_keep_the_same_derived_array(tmp_path):
    bank = Bank(tmp_path / "bank")
    for attempt in range(20):
        at_once(4, lambda _, key=str(attempt): bank.keep_derived(key, np.arange(3)))
        np.testing.assert_array_equal(bank.derived(str(attempt)), np.arange(3))


@pytest.mark.parametrize("links", [True, False])
def test_a_copy_of_the_demo_never_replaces_what_another_has_opened(tmp_path, monkeypatch, links):
    demo, place, copy = make_bank(tmp_path / "demo"), tmp_path / "bank", shutil.copytree
    demo.weights.mkdir()
    (demo.weights / "file").write_bytes(b"weights")
    demo.close()

    def overtaken(*args, **options):
        (other := Bank(place)).record_fact("opened", "by another")
        other.close()
        return copy(*args, **options)

    def no_links(*_):
        raise PermissionError("no links on this file system")

    monkeypatch.setattr(opening, "DEMO", demo.files)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    assert len(Bank(tmp_path / "alone", demo=True).tasks()) == len(demo.tasks())
    monkeypatch.setattr(shutil, "copytree", overtaken)
    assert Bank(place, demo=True).facts() == {"opened": "by another"}
    assert [f.name for f in place.rglob(".*")] == []
    assert (place / "weights" / "file").read_bytes() == b"weights"


def test_export_and_import_carry_everything(bank, tmp_path):
    export_bank(bank, tmp_path / "out.zip")
    other = Bank(tmp_path / "other")
    assert import_bank(other, tmp_path / "out.zip") == {"tasks": 8, "experts": 4, "errors": 32}
    assert other.tasks() == bank.tasks()
    assert other.experts() == bank.experts()
    assert other.errors().equals(bank.errors())
    for id_, embedding in bank.embeddings(TASK2VEC).items():
        np.testing.assert_array_equal(other.embeddings(TASK2VEC)[id_].vector, embedding.vector)
    for expert in other.experts():
        assert (other.weights / expert.weights_file).read_bytes() == (bank.weights / expert.weights_file).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["experts"][0].update(weights_file="../../evil.safetensors"), "not one named by"),
        (lambda m: m["experts"][0].update(weights_sha256="0" * 64), "not one named by"),
        (lambda m: m["experts"][0].update(weights_file=m["experts"][1]["weights_file"]), "not one named by"),
        (lambda m: m["experts"][0].update(weights_sha256=m["experts"][0]["weights_sha256"][:-1] + "x"), "checksum"),
        (lambda m: m["experts"][0].update(task_id="nobody"), "'nobody', which is none of the tasks"),
        (lambda m: m["embeddings"][0].update(task_id="nobody"), "'nobody', which is none of the tasks"),
        (lambda m: m["errors"][-1].update(task_id="nobody"), "'nobody', which is none of the tasks"),
        (lambda m: m["errors"][-1].update(expert_id="nobody"), "'nobody', which is none of the experts"),
        (lambda m: m["trials"].append(asdict(replace(TRIAL, task_id="nobody"))), "'nobody', which is none of"),
        (lambda m: m["errors"][-1].update(error=float("nan")), "no percentage"),
        (lambda m: m["tasks"][-1].update(image_set="other"), "no exported bank"),
        (lambda m: m["tasks"][-1].update(name=["a", "list"]), "the bank cannot take"),
        (lambda m: m.update(format=99), "newer version"),
        (lambda m: m.pop("tasks"), "no exported bank"),
        (lambda m: m["tasks"][0].update(surprise=1), "no exported bank"),
    ],
)
def test_a_hostile_import_changes_nothing(bank, tmp_path, change, message):
    export_bank(bank, tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "good.zip") as good, zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        for name in good.namelist():
            data = good.read(name)
            if name == "bank.json":
                manifest = json.loads(data)
                change(manifest)
                data = json.dumps(manifest).encode()
            bad.writestr(name, data)
    other = Bank(tmp_path / "other")
    with pytest.raises(InputError, match=message):
        import_bank(other, tmp_path / "bad.zip")
    assert other.counts() == {"tasks": 0, "embeddings": 0, "experts": 0, "errors": 0}
    assert other.version() == 0
    assert message == "the bank cannot take" or not other.weights.exists()


def test_an_image_zip_is_no_bank(tmp_path, shapes_folder):
    shutil.make_archive(str(tmp_path / "images"), "zip", shapes_folder)
    with pytest.raises(InputError, match="no exported bank"):
        import_bank(Bank(tmp_path / "b"), tmp_path / "images.zip")


def test_tasks_can_be_copied_one_by_one(bank, tmp_path):
    other = Bank(tmp_path / "other")
    assert [t.id for t in copy_tasks(bank, other, ["digits"])] == ["digits"]
    assert [t.id for t in other.tasks()] == ["digits"]
    assert set(other.embeddings(TASK2VEC)) == {"digits"}


def test_a_newer_bank_is_refused_and_an_older_one_migrated(bank_path, monkeypatch):
    bank = Bank(bank_path)
    with bank.engine.begin() as connection:
        connection.execute(update(schema.meta).where(schema.meta.c.key == "schema").values(value=schema.VERSION + 1))
    with pytest.raises(InputError, match="newer than"):
        Bank(bank_path)
    migrated = []
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 2)
    monkeypatch.setitem(schema.MIGRATIONS, schema.VERSION - 1, lambda connection: migrated.append(True))
    reopened = Bank(bank_path)
    assert migrated == [True]
    with reopened.engine.connect() as connection:
        found = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "schema")).scalar_one()
    assert found == schema.VERSION


def test_closing_while_another_reads_loses_nothing(tmp_path):
    bank = make_bank(tmp_path / "bank")
    with Bank(bank.files).engine.connect() as reading:
        reading.execute(select(schema.task.c.id)).all()
        bank.close()
        assert len(list((tmp_path / "bank").glob("bank.sqlite-wal"))) == 1
    copied = Bank(shutil.copytree(tmp_path / "bank", tmp_path / "copy"))
    assert [t.id for t in copied.tasks()] == [t.id for t in bank.tasks()]


def test_the_first_version_gets_what_came_later_however_often_it_is_opened(tmp_path):
    """As the second version added it: transforms of experts, trials, claims. Two open it at once, one was cut off."""
    first = Bank(tmp_path / "bank")
    with first.engine.begin() as connection:
        for statement in ("DROP TABLE trial", "DROP TABLE claim", "ALTER TABLE expert DROP COLUMN spec"):
            connection.exec_driver_sql(statement)
        connection.execute(update(schema.meta).where(schema.meta.c.key == "schema").values(value=1))
        old = "INSERT INTO expert VALUES ('e', 'e', 'resnet20', 'f', 's', NULL, '{}', 1.0)"
        connection.exec_driver_sql(old)
    first.close()
    opened: list[Bank] = []
    threads = [threading.Thread(target=lambda: opened.append(Bank(tmp_path / "bank"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    (expert,) = opened[0].experts()
    assert expert.spec is None
    assert opened[0].trials() == []
    spec = InputSpec(73, 64, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), "bicubic")
    opened[0].save_expert(replace(expert, spec=spec))
    assert opened[1].experts()[0].spec == spec


def test_a_place_that_cannot_hold_a_bank_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="cannot open a bank"):
        Bank(tmp_path / "file")


def test_a_task_without_embeddings_is_copied_too(tmp_path):
    bank = make_bank(tmp_path / "bank")
    with bank.engine.begin() as connection:
        connection.execute(schema.embedding.delete().where(schema.embedding.c.task_id == "b-dogs"))
    copied = copy_tasks(bank, other := Bank(tmp_path / "other"), ["b-dogs"])
    assert [t.id for t in copied] == [t.id for t in other.tasks()] == ["b-dogs"]


def test_what_is_one_change_is_written_whole_or_not(tmp_path):
    bank = make_bank(tmp_path / "bank")
    before, doomed = (bank.version(), bank.counts()), RuntimeError("the disk is on fire")
    with pytest.raises(RuntimeError), bank.one_change():
        bank.save_errors([replace(bank.error_entries()[0], error=1.0)])
        bank.delete_task("b-dogs")
        raise doomed
    assert (bank.version(), bank.counts()) == before
    with bank.one_change():
        bank.delete_task("b-dogs")
        bank.delete_task("b-mixed")
    assert bank.version() == before[0] + 1
    bank.save_errors([])


def test_a_database_url_works_too(tmp_path, monkeypatch, bank):
    monkeypatch.setenv("T2V_FILES", str(tmp_path / "files"))
    team = Bank(f"sqlite:///{tmp_path / 'team.sqlite'}")
    copy_tasks(bank, team)
    assert len(team.tasks()) == 8
    assert team.files == tmp_path / "files"
