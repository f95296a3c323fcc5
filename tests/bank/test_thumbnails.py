"""Pictures in a bank: kept where wanted, gone with their task, carried by export, checked on import."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.thumbnails import add_missing, forget_thumbnails, keep_thumbnails, thumbnails
from t2v_core.bank.transfer import copy_tasks, export_bank, import_bank
from t2v_core.cli import main
from t2v_core.errors import InputError
from t2v_core.task.thumbnails import MOST_BYTES, SIDE


def size(strip: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(strip)).size


def test_tasks_made_by_code_are_built_with_pictures(bank, worlds):
    found = thumbnails(bank)
    assert set(found) == set(worlds)
    assert all(len(strip) <= MOST_BYTES for strip in found.values())
    assert size(found["shapes"]) == (6 * SIDE, SIDE)
    assert set(thumbnails(bank, ["shapes", "nothing"])) == {"shapes"}


def test_photographs_of_a_data_set_are_never_kept(bank, worlds):
    """Of CIFAR-100's tasks none is made here, and only such tasks are given pictures."""
    from t2v_core.task.worlds import Chosen

    assert Chosen.made_here is False
    forget_thumbnails(bank, "shapes")
    assert add_missing(bank, [replace(worlds["shapes"], made_here=False)]) == []
    assert "shapes" not in thumbnails(bank)


def test_a_bank_of_the_second_version_gets_its_pictures_by_command(bank, bank_path, capsys, monkeypatch):
    from t2v_core.task.worlds import glyphs

    monkeypatch.setattr(glyphs, "tasks", lambda seed: [])  # slow to draw, and none is in this bank
    with bank.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE thumbnail")
        connection.execute(update(schema.meta).where(schema.meta.c.key == "schema").values(value=2))
    bank.close()
    migrated = Bank(bank_path)
    assert thumbnails(migrated) == {}
    assert main(["bank", "pictures", "--bank", str(bank_path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["added"]) == 8
    assert main(["bank", "pictures", "--bank", str(bank_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["added"] == []
    assert len(thumbnails(Bank(bank_path))) == 8


def test_pictures_of_other_images_are_not_added(bank, worlds):
    forget_thumbnails(bank, "shapes")
    other = replace(worlds["shapes"], decoded=worlds["shapes"].decoded.take(np.arange(100)))
    assert add_missing(bank, [other]) == []


def test_pictures_go_with_their_task_and_its_images(bank):
    before = bank.version()
    forget_thumbnails(bank, "sizes")
    assert bank.version() > before
    assert "sizes" not in thumbnails(bank)
    bank.delete_task("stripes")
    assert "stripes" not in thumbnails(bank)
    record = next(t for t in bank.tasks() if t.id == "counts")
    info = next(iter(bank.probes().values()))
    bank.save_task(record, ["ab" * 32], [], info)
    assert "counts" in thumbnails(bank)
    bank.save_task(replace(record, content_hash="0" * 64), ["ab" * 32], [], info)
    assert "counts" not in thumbnails(bank)


def test_copies_take_pictures_along_only_where_asked(bank, tmp_path):
    copy_tasks(bank, without := Bank(tmp_path / "without"), ["digits"])
    copy_tasks(bank, with_ := Bank(tmp_path / "with"), ["digits"], pictures=True)
    assert thumbnails(without) == {}
    assert list(thumbnails(with_)) == ["digits"]


def test_export_and_import_carry_pictures(bank, tmp_path):
    export_bank(bank, tmp_path / "out.zip")
    import_bank(other := Bank(tmp_path / "other"), tmp_path / "out.zip")
    mine, theirs = thumbnails(bank), thumbnails(other)
    assert set(theirs) == set(mine)
    for task in mine:
        a, b = (np.asarray(Image.open(io.BytesIO(s[task])), int) for s in (mine, theirs))
        assert np.abs(a - b).mean() < 8  # packed anew: a little is lost


def forged(good, bad, change_arrays=lambda arrays: None, change=lambda manifest: None) -> None:
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as out:
        for name in source.namelist():
            data = source.read(name)
            if name == "bank.json":
                change(manifest := json.loads(data))
                data = json.dumps(manifest).encode()
            elif name == "arrays.npz":
                arrays = dict(np.load(io.BytesIO(data)))
                change_arrays(arrays)
                np.savez(buffer := io.BytesIO(), **arrays)
                data = buffer.getvalue()
            out.writestr(name, data)


HUGE = io.BytesIO()
Image.new("RGB", (8000, 8000)).save(HUGE, "WEBP")


@pytest.mark.parametrize(
    ("arrays", "manifest", "message"),
    [
        (lambda a: a.update({"thumbnail/0": np.frombuffer(b"<script>", np.uint8)}), lambda m: None, "is not a JPEG"),
        (lambda a: a.update({"thumbnail/0": np.zeros(10**6, np.uint8)}), lambda m: None, "more than the"),
        (
            lambda a: a.update({"thumbnail/0": np.frombuffer(HUGE.getvalue(), np.uint8)}),
            lambda m: None,
            "8000x8000|more than the",
        ),
        (lambda a: None, lambda m: m["thumbnails"].append("nobody"), "'nobody', which is none of the tasks"),
        (lambda a: a.pop("thumbnail/0"), lambda m: None, "no exported bank"),
        (lambda a: None, lambda m: m.update(thumbnails=7), "no exported bank"),
    ],
    ids=["script", "large", "bomb", "no task", "missing", "no list"],
)
def test_hostile_pictures_change_nothing(bank, tmp_path, arrays, manifest, message):
    export_bank(bank, tmp_path / "good.zip")
    forged(tmp_path / "good.zip", tmp_path / "bad.zip", arrays, manifest)
    other = Bank(tmp_path / "other")
    with pytest.raises(InputError, match=message):
        import_bank(other, tmp_path / "bad.zip")
    assert other.tasks() == []
    assert thumbnails(other) == {}


def test_an_export_without_pictures_is_read_as_before(bank, tmp_path):
    export_bank(bank, tmp_path / "new.zip")
    forged(tmp_path / "new.zip", tmp_path / "old.zip", change=lambda m: m.pop("thumbnails"))
    import_bank(other := Bank(tmp_path / "other"), tmp_path / "old.zip")
    assert len(other.tasks()) == 8
    assert thumbnails(other) == {}


def test_embedding_by_command_keeps_pictures_only_where_asked(bank_path, shapes_folder, capsys):
    command = ["embed", str(shapes_folder), "--bank", str(bank_path), "--json"]
    assert main([*command, "--pictures"]) == 2
    assert "give --save too" in capsys.readouterr().err
    assert main([*command, "--save"]) == 0
    task = json.loads(capsys.readouterr().out)["id"]
    assert task not in thumbnails(Bank(bank_path))
    assert main([*command, "--save", "--pictures"]) == 0
    assert size(thumbnails(Bank(bank_path))[task]) == (6 * SIDE, SIDE)


def test_a_strip_can_be_given_later(bank):
    strip = thumbnails(bank)["digits"]
    forget_thumbnails(bank, "digits")
    keep_thumbnails(bank, {"digits": strip})
    assert thumbnails(bank)["digits"] == strip
