"""Jobs with real worker processes: results, errors, cancelling, sudden death, sleep, resuming, taking turns."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from t2v_core.bank.schema import job as table
from t2v_core.cli import main
from t2v_core.errors import Cancelled
from t2v_core.jobs import store as store_module
from t2v_core.jobs import worker
from t2v_core.jobs.store import CANCELLED, DONE, FAILED, INTERRUPTED, QUEUED, RUNNING, Job, JobStore


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


def started_worker_of(job_id: str, seconds: float = 30) -> psutil.Process:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if process := worker_of(job_id):
            return process
        time.sleep(0.05)
    raise AssertionError("no worker was started")


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
    # The bank's expert on shapes has seen these very images, stored here anew.
    assert {row["expert_id"] for row in job.result["ranking"]} == {"expert-textures", "expert-digits"}
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
    store.finish(store.get(blocker), DONE)
    store.resume(job.id)
    assert wait_for(store, job.id).state == DONE


def test_a_killed_worker_is_noticed_and_its_job_resumed(store, shapes_folder, monkeypatch):
    monkeypatch.setattr(store_module, "STALE_SECONDS", 1.0)
    monkeypatch.setattr("t2v_core.jobs.worker.BEAT_SECONDS", 0.2)
    blocker = _pretend_running(store)
    job = store.submit("recommend", "shapes", {"path": str(shapes_folder)})
    os.kill(started_worker_of(job.id).pid, signal.SIGKILL)
    found = wait_for(store, job.id, lambda j: j.state == INTERRUPTED, 60)
    assert "cut off" in found.message
    monkeypatch.setattr(store_module, "STALE_SECONDS", 30.0)
    store.finish(store.get(blocker), DONE)
    store.resume(job.id)
    assert wait_for(store, job.id).state == DONE


def test_turns_are_taken_in_order_and_never_shared(store):
    first, second, third = (store.get(_row(store, created=float(n))) for n in range(3))
    assert not store.take_turn(second, limit=2)  # an older one waits
    assert store.take_turn(first, limit=2)
    assert store.take_turn(second, limit=2)
    assert not store.take_turn(third, limit=2)
    store.finish(first, DONE)
    assert store.take_turn(third, limit=2)


def test_progress_and_results_do_not_touch_a_finished_job(store):
    job = store.get(_row(store))
    assert store.take_turn(job, 1)
    store.progress(job, "reading", 3, 10, "fast")
    assert (store.get(job.id).stage, store.get(job.id).done) == ("reading", 3)
    store.finish(job, DONE, result={"a": 1})
    store.progress(job, "late", 9, 10, "")
    store.finish(job, FAILED, "late")
    found = store.get(job.id)
    assert (found.state, found.stage, found.result) == (DONE, "reading", {"a": 1})


# ---- workers that were taken for dead ----------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_that_slept_takes_its_place_again(store, shapes_folder, monkeypatch):
    monkeypatch.setenv("T2V_JOBS", "1")
    blocker = _pretend_running(store)
    job = store.submit("recommend", "shapes", {"path": str(shapes_folder)})
    process = started_worker_of(job.id)
    process.suspend()
    _fall_silent(store, job.id)
    assert store.get(job.id).state == INTERRUPTED
    process.resume()
    assert wait_for(store, job.id, lambda j: j.state == QUEUED).ended is None
    store.finish(store.get(blocker), DONE)
    assert wait_for(store, job.id).state == DONE


def test_work_goes_on_and_counts_after_a_sleep(store):
    job = _running(store)
    _fall_silent(store, job.id)
    assert store.get(job.id).state == INTERRUPTED
    worker._reporter(store, job)("reading", 3, 10, "fast")
    found = store.get(job.id)
    assert (found.state, found.stage, found.message, found.ended) == (RUNNING, "reading", "fast", None)
    _fall_silent(store, job.id)
    assert store.get(job.id).state == INTERRUPTED
    store.finish(job, DONE, result={"a": 1})
    assert (store.get(job.id).state, store.get(job.id).result) == (DONE, {"a": 1})


def test_a_worker_that_was_replaced_stops_and_writes_nothing(store, monkeypatch):
    old = _running(store)
    _fall_silent(store, old.id)
    monkeypatch.setattr(store, "_start", lambda *_: None)
    store.get(old.id)
    store.resume(old.id)
    new = store.get(old.id)
    assert not store.take_turn(old, 1)
    assert store.take_turn(new, 1)
    with pytest.raises(Cancelled):
        worker._reporter(store, old)("reading", 3, 10, "fast")
    store.finish(old, CANCELLED)
    store.beat(old)
    found = store.get(old.id)
    assert (found.state, found.stage) == (RUNNING, "waiting to start")
    store.finish(new, DONE)
    assert store.get(old.id).state == DONE


def test_a_worker_that_starts_after_its_successor_does_nothing(store, monkeypatch):
    job = store.get(_row(store))
    monkeypatch.setattr(worker, "_run", lambda *_: {"by": "the old one"})
    worker.main(store.bank.location, job.id, repr(job.started - 1))
    assert store.get(job.id).state == QUEUED
    worker.main(store.bank.location, job.id, repr(job.started))
    assert store.get(job.id).state == DONE


def test_a_worker_that_slept_over_the_wish_to_stop_obeys_it(store):
    job = _running(store)
    store.cancel(job.id)
    _fall_silent(store, job.id)
    assert store.get(job.id).state == CANCELLED
    with pytest.raises(Cancelled):
        worker._reporter(store, job)("reading", 3, 10, "fast")
    store.remove(job.id)
    with pytest.raises(Cancelled):
        worker._reporter(store, job)("reading", 3, 10, "fast")


def test_a_database_that_is_busy_once_does_not_end_the_heartbeat(store, monkeypatch):
    calls, stop = [], threading.Event()

    def beat(job: Job) -> None:
        calls.append(job)
        if len(calls) == 1:
            raise OperationalError("update", {}, Exception("database is locked"))
        stop.set()

    monkeypatch.setattr(store, "beat", beat)
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.01)
    worker._beat(store, store.get(_row(store)), stop)
    assert len(calls) == 2


def _running(store: JobStore) -> Job:
    job = store.get(_row(store))
    assert store.take_turn(job, 1)
    return job


def _fall_silent(store: JobStore, job_id: str) -> None:
    with store.bank.engine.begin() as connection:
        connection.execute(update(table).where(table.c.id == job_id).values(beat=time.time() - 60))


def _row(store: JobStore, created: float | None = None) -> str:
    """A job without a worker process."""
    original, store._start = store._start, lambda *_: None
    job_id = store.submit("recommend", "by hand", {}).id
    store._start = original
    if created is not None:
        with store.bank.engine.begin() as connection:
            connection.execute(update(table).where(table.c.id == job_id).values(created=created))
    return job_id


def _pretend_running(store: JobStore) -> str:
    job_id = _row(store, created=0.0)
    with store.bank.engine.begin() as connection:
        values = {"state": RUNNING, "beat": time.time() + 300}
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
