"""Jobs with real worker processes: results, errors, cancelling, sudden death, resuming, taking turns."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from t2v_core.bank.schema import job as table
from t2v_core.cli import main
from t2v_core.errors import Cancelled
from t2v_core.jobs import store as store_module
from t2v_core.jobs.store import CANCELLED, DONE, FAILED, INTERRUPTED, QUEUED, RUNNING, JobStore


def wait_for(store: JobStore, job_id: str, done=lambda job: not job.active, seconds: float = 120):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        job = store.get(job_id)
        if done(job):
            return job
        time.sleep(0.1)
    raise AssertionError(f"still {job.state}: {job.stage} {job.message}")


def worker_of(job_id: str) -> psutil.Process | None:
    for process in psutil.process_iter(["cmdline"]):
        if job_id in (process.info["cmdline"] or []):
            return process
    return None


@pytest.fixture
def store(bank) -> JobStore:
    return JobStore(bank)


def test_a_job_runs_outside_and_leaves_its_result(store, shapes_folder):
    arguments = {"path": str(shapes_folder), "name": "my shapes", "fit": "top", "top": 2}
    submitted = store.submit("recommend", "my shapes", arguments)
    assert submitted.active
    job = wait_for(store, submitted.id)
    assert job.state == DONE, job.message
    assert job.result["task"]["name"] == "my shapes"
    assert len(job.result["ranking"]) == 3
    out = store.folder(job.id) / "out"
    assert (out / "result.json").is_file()
    assert {f.name for f in out.glob("*.zip")} == {
        "generic.zip",
        *(f"{r['expert_id']}.zip" for r in job.result["ranking"] if r["fitted"]),
    }
    store.remove(job.id)
    assert not store.folder(job.id).exists()
    assert store.list() == []


def test_bad_input_fails_with_its_sentence(store, tmp_path):
    (tmp_path / "empty").mkdir()
    job = store.submit("recommend", "empty", {"path": str(tmp_path / "empty")})
    job = wait_for(store, job.id)
    assert job.state == FAILED
    assert "'empty' is empty" in job.message


def test_a_job_can_be_cancelled_and_resumed(store, shapes_folder, monkeypatch):
    monkeypatch.setenv("T2V_JOBS", "1")
    blocker = _pretend_running(store)
    job = store.submit("recommend", "shapes", {"path": str(shapes_folder)})
    assert store.get(job.id).state == QUEUED  # one at a time
    store.cancel(job.id)
    assert wait_for(store, job.id).state == CANCELLED
    store.finish(blocker, DONE)
    store.resume(job.id)
    assert wait_for(store, job.id).state == DONE


def test_a_killed_worker_is_noticed_and_its_job_resumed(store, shapes_folder, monkeypatch):
    monkeypatch.setattr(store_module, "STALE_SECONDS", 1.0)
    monkeypatch.setattr("t2v_core.jobs.worker.BEAT_SECONDS", 0.2)
    blocker = _pretend_running(store)
    job = store.submit("recommend", "shapes", {"path": str(shapes_folder)})
    limit = time.monotonic() + 30
    while worker_of(job.id) is None and time.monotonic() < limit:
        time.sleep(0.05)
    os.kill(worker_of(job.id).pid, signal.SIGKILL)
    found = wait_for(store, job.id, lambda j: j.state == INTERRUPTED, 60)
    assert "cut off" in found.message
    monkeypatch.setattr(store_module, "STALE_SECONDS", 30.0)
    store.finish(blocker, DONE)
    store.resume(job.id)
    assert wait_for(store, job.id).state == DONE


def test_turns_are_taken_in_order_and_never_shared(store):
    ids = [_row(store, created=float(n)) for n in range(3)]
    assert not store.take_turn(ids[1], limit=2)  # an older one waits
    assert store.take_turn(ids[0], limit=2)
    assert store.take_turn(ids[1], limit=2)
    assert not store.take_turn(ids[2], limit=2)
    store.finish(ids[0], DONE)
    assert store.take_turn(ids[2], limit=2)


def test_progress_and_results_do_not_touch_a_finished_job(store):
    job_id = _row(store)
    assert store.take_turn(job_id, 1)
    store.progress(job_id, "reading", 3, 10, "fast")
    assert (store.get(job_id).stage, store.get(job_id).done) == ("reading", 3)
    store.finish(job_id, DONE, result={"a": 1})
    store.progress(job_id, "late", 9, 10, "")
    store.finish(job_id, FAILED, "late")
    job = store.get(job_id)
    assert (job.state, job.stage, job.result) == (DONE, "reading", {"a": 1})


def _row(store: JobStore, created: float | None = None) -> str:
    """A job without a worker process."""
    original, store._start = store._start, lambda job_id: None
    job_id = store.submit("recommend", "by hand", {}).id
    store._start = original
    if created is not None:
        with store.bank.engine.begin() as connection:
            connection.execute(update(table).where(table.c.id == job_id).values(created=created))
    return job_id


def _pretend_running(store: JobStore) -> str:
    job_id = _row(store, created=0.0)
    with store.bank.engine.begin() as connection:
        values = {"state": RUNNING, "started": time.time(), "beat": time.time() + 300}
        connection.execute(update(table).where(table.c.id == job_id).values(**values))
    return job_id


def test_job_files_stay_inside_the_bank(store):
    folder = store.folder(store.new_id())
    assert Path(store.bank.files) in folder.parents


@pytest.mark.slow
def test_training_and_filling_go_on_in_the_background(capsys, store, bank_path, shapes_folder):
    """Each is started by its command, ends as a job, and the filling covers what the training added."""
    background = ["--bank", str(bank_path), "--background", "--json"]
    train = ["experts", "train", str(shapes_folder), "--name", "mine", "--epochs", "1", "--images-per-epoch", "64"]
    assert main([*train, *background]) == 0
    job = wait_for(store, json.loads(capsys.readouterr().out)["job"])
    assert job.state == DONE, job.message
    expert = job.result["id"]
    assert expert in {e.id for e in store.bank.experts()}
    assert main(["errors", "fill", "--tasks", "stripes", "--experts", expert, *background]) == 0
    job = wait_for(store, json.loads(capsys.readouterr().out)["job"])
    assert job.state == DONE, job.message
    assert job.result["measured"] == 1
    assert 0 <= store.bank.errors().loc["stripes", expert] <= 100


@pytest.mark.slow
def test_experiments_run_as_jobs(store):
    """The smallest of each: one expert on one task with one seed, a blink of training."""
    tiny = {"tasks": ["stripes"], "repeats": 1, "epochs": 1, "images_per_epoch": 64}
    moved = store.submit("transfer", "transfer", tiny | {"sources": ["expert-digits"]})
    efficient = store.submit("efficiency", "efficiency", tiny | {"sizes": [2]})
    job = wait_for(store, moved.id)
    assert job.state == DONE, job.message
    (row,) = job.result["rows"]
    assert (row["source"], row["target"], row["repeats"]) == ("expert-digits", "stripes", 1)
    job = wait_for(store, efficient.id)
    assert job.state == DONE, job.message
    assert {row["role"] for row in job.result["rows"]} == {"picked", "generic", "best"}
    failed = wait_for(store, store.submit("transfer", "none", tiny | {"sources": ["nobody"]}).id)
    assert failed.state == FAILED
    assert "'nobody' is no expert" in failed.message


def test_a_cancelled_filling_leaves_its_claims_free(store, worlds):
    """What a job's report raises stops the work between two pieces; what is finished stays."""
    from sqlalchemy import delete, select

    from t2v_core.bank.schema import claim, error
    from t2v_core.filling import FillOptions, fill

    def stop(stage: str, done: int, total: int, message: str) -> None:
        if done == 5:  # the features under four experts, and the first row
            raise Cancelled

    with store.bank.engine.begin() as connection:
        connection.execute(delete(error).where(error.c.task_id.in_(("digits", "digits-parity"))))
    with pytest.raises(Cancelled):
        fill(store.bank, FillOptions(tasks=("digits", "digits-parity")), stop)
    with store.bank.engine.connect() as connection:
        assert connection.execute(select(claim)).all() == []
    assert fill(store.bank, FillOptions(tasks=("digits", "digits-parity")), lambda *_: None)["measured"] == 4
