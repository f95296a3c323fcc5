"""Filling the error matrix: by real processes, killed and side by side, and from a person's own images."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import delete, select

from t2v_core import filling
from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import ErrorEntry
from t2v_core.cli import main
from t2v_core.errors import InputError
from t2v_core.experts.errors import DRAWN, PROTOCOL
from t2v_core.filling import FillOptions, fill, fill_errors
from tests.conftest import write_folder

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
QUICKLY = """
import sys, time
from t2v_core.bank import claims
from t2v_core import filling
from t2v_core.cli import main
claims.EXPIRY_SECONDS, claims.BEAT_SECONDS, claims.POLL_SECONDS = 1.5, 0.3, 0.1
measure = filling.task_errors
def slowly(*given):
    time.sleep(0.4)  # long enough to be killed in
    return measure(*given)
filling.task_errors = slowly
sys.exit(main(sys.argv[1:]))
"""


def quiet(*_) -> None:
    pass


def clear(bank: Bank, *tasks: str) -> None:
    with bank.engine.begin() as connection:
        cells = delete(schema.error)
        connection.execute(cells.where(schema.error.c.task_id.in_(tasks)) if tasks else cells)


def start(bank_path: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-c", QUICKLY, "errors", "fill", "--bank", str(bank_path), "--json", *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows(bank: Bank) -> set[str]:
    with bank.engine.connect() as connection:
        return set(connection.execute(select(schema.error.c.task_id).distinct()).scalars())


@pytest.mark.slow
def test_a_killed_fill_goes_on_where_it_stopped(bank, bank_path):
    """Nothing that was finished is measured again, and every number comes out as it was built."""
    before = bank.errors()
    clear(bank)
    killed = start(bank_path)
    limit = time.monotonic() + 60
    while len(rows(bank)) < 3 and time.monotonic() < limit:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    finished = rows(bank)
    assert 3 <= len(finished) < len(before)
    marked = sorted(finished)[0]
    bank.save_errors([ErrorEntry(marked, "generic", 12.5, 1, "marked")])  # a second measurement would overwrite it
    resumed = start(bank_path)
    out, err = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, err
    assert json.loads(out)["measured"] == (len(before) - len(finished)) * 4
    assert json.loads(out)["missing"] == 0
    after = bank.errors()
    assert after.loc[marked, "generic"] == 12.5
    after.loc[marked, "generic"] = before.loc[marked, "generic"]
    np.testing.assert_allclose(after.to_numpy(), before.to_numpy(), atol=0.5)


@pytest.mark.slow
def test_two_processes_share_a_fill(bank, bank_path):
    before = bank.errors()
    clear(bank)
    both = [start(bank_path), start(bank_path)]
    measured = []
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        measured.append(json.loads(out)["measured"])
    assert sum(measured) == before.size  # none twice
    assert min(measured) > 0
    np.testing.assert_allclose(bank.errors().to_numpy(), before.to_numpy(), atol=0.5)
    with bank.engine.connect() as connection:
        assert connection.execute(select(schema.claim)).all() == []


def test_features_are_computed_once(bank, worlds, monkeypatch):
    tasks = {name: worlds[name].decoded for name in ("digits", "digits-parity")}  # the same images
    seen = []
    compute = filling.features_of
    monkeypatch.setattr(filling, "features_of", lambda expert, *more: seen.append(expert.id) or compute(expert, *more))
    for file in (bank.files / "features").iterdir():
        file.unlink()
    clear(bank, *tasks)
    assert fill_errors(bank, tasks, bank.experts(), CPU, quiet) == 8
    assert sorted(seen) == sorted(e.id for e in bank.experts())
    clear(bank, *tasks)
    assert fill_errors(bank, tasks, bank.experts(), CPU, quiet) == 8
    assert len(seen) == 4
    assert fill_errors(bank, tasks, bank.experts(), CPU, quiet) == 0


def test_a_cache_too_small_for_anything_costs_time_alone(bank, worlds):
    from t2v_core.bank.feature_cache import FeatureCache

    before = bank.errors().loc["stripes"]
    clear(bank, "stripes")
    cache = FeatureCache(bank.files / "small", limit=1)
    fill_errors(bank, {"stripes": worlds["stripes"].decoded}, bank.experts(), CPU, quiet, cache)
    np.testing.assert_allclose(bank.errors().loc["stripes"], before, atol=0.5)
    assert len(list((bank.files / "small").iterdir())) == 1


def test_a_persons_own_task_is_filled_from_its_folder(capsys, bank, bank_path, shapes, tmp_path):
    folder = write_folder(tmp_path / "mine", shapes, 12)
    assert main(["embed", str(folder), "--save", "--bank", str(bank_path)]) == 0
    task = next(t.id for t in bank.tasks() if t.name == "mine")
    capsys.readouterr()
    moved = folder.rename(tmp_path / "elsewhere")
    assert main(["errors", "fill", str(moved), "--bank", str(bank_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tasks": 1, "experts": 4, "measured": 4, "missing": 0}
    cells = [c for c in bank.error_entries() if c.task_id == task]
    assert {c.protocol for c in cells} == {PROTOCOL + DRAWN}
    assert {c.n for c in cells} == {20}  # 30 % of 12 images of each of 5 shapes
    assert all(len(c.protocol) <= 200 for c in cells)


def test_a_sample_taken_without_its_labels_is_found_again(capsys, bank, bank_path, shapes, tmp_path):
    folder = write_folder(tmp_path / "mine", shapes, 12)
    few = ["--max-images", "25", "--bank", str(bank_path)]
    assert main(["embed", str(folder), "--method", "pseudotask", "--save", *few]) == 0
    capsys.readouterr()
    assert main(["errors", "fill", str(folder), *few, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"] == 4


def test_coverage_is_told(capsys, bank, bank_path):
    clear(bank, "stripes")
    assert main(["errors", "--bank", str(bank_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tasks": 8, "experts": 4, "measured": 28, "missing": 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (FillOptions(tasks=("nothing",)), "'nothing' are not at hand"),
        (FillOptions(experts=("nobody",)), "no expert 'nobody'"),
        (FillOptions(paths=("nowhere",)), "does not exist"),
        (FillOptions(seed=5, tasks=("shapes",)), "'shapes' are not at hand"),  # other images
    ],
)
def test_what_cannot_be_filled_is_named(bank, options, message):
    with pytest.raises(InputError, match=message):
        fill(bank, options, quiet)


def test_foreign_images_are_told_from_the_banks(bank, shapes_folder):
    with pytest.raises(InputError, match="no task of the bank"):
        fill(bank, FillOptions(paths=(str(shapes_folder),)), quiet)


def test_other_weights_under_the_same_id_void_what_was_measured(bank):
    from dataclasses import replace

    experts = {e.id: e for e in bank.experts()}
    bank.save_expert(experts["expert-digits"])
    assert bank.errors()["expert-digits"].notna().all()
    bank.save_expert(replace(experts["expert-digits"], weights_sha256="0" * 64))
    assert "expert-digits" not in bank.errors()
    assert bank.errors()["generic"].notna().all()


def test_other_images_under_the_same_id_void_what_was_measured(bank):
    from dataclasses import replace

    record = next(t for t in bank.tasks() if t.id == "stripes")
    info = next(iter(bank.probes().values()))
    bank.save_task(record, ["ab" * 32], [], info)
    assert "stripes" in bank.errors().index
    bank.save_task(replace(record, content_hash="0" * 64), ["ab" * 32], [], info)
    assert "stripes" not in bank.errors().index
    assert "shapes" in bank.errors().index
