"""The process behind one job: ``python -m t2v_core.jobs.worker BANK JOB STARTED``."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from t2v_core.bank.bank import Bank
from t2v_core.errors import Cancelled, InputError
from t2v_core.jobs.store import (
    CANCELLED,
    CANCELLING,
    DONE,
    FAILED,
    INTERRUPTED,
    QUEUED,
    RUNNING,
    STOPPED,
    Job,
    JobStore,
)

BEAT_SECONDS = 3.0
REPORT_SECONDS = 0.25
POLL_SECONDS = 0.5

Report = Callable[[str, int, int, str], None]


def concurrent_jobs() -> int:
    """How many jobs of a bank may run at once: ``T2V_JOBS``, by default 1, since one uses every core."""
    return max(1, int(os.environ.get("T2V_JOBS", "1")))


def main(location: str, job_id: str, started: str) -> None:
    """Wait for a turn, run the job, record how it ended.

    Args:
        location: of the bank.
        job_id: the job.
        started: its ``started`` when this worker was; nothing is done where another worker has been started since.
    """
    store = JobStore(Bank(location))
    job = store.get(job_id)
    if job.started != float(started):
        return
    stop = threading.Event()
    threading.Thread(target=_beat, args=(store, job, stop), daemon=True).start()
    try:
        while not store.take_turn(job, concurrent_jobs()):
            _go_on(store, job, QUEUED)
            time.sleep(POLL_SECONDS)
        result = _run(job, store, _reporter(store, job))
        store.finish(job, DONE, "", result)
    except Cancelled:
        store.finish(job, CANCELLED, STOPPED)
    except InputError as error:
        store.finish(job, FAILED, str(error))
    except MemoryError:
        store.finish(job, FAILED, "the machine ran out of memory; give fewer images or a smaller probe")
    except Exception as error:
        logging.getLogger(__name__).exception("job %s failed", job_id)
        store.finish(
            job, FAILED, f"an unexpected error stopped the work ({type(error).__name__}); its log has the details"
        )
    finally:
        stop.set()


def _run(job: Job, store: JobStore, report: Report) -> dict[str, Any]:
    """Dispatch on the job's kind. The pipeline, and torch with it, is loaded here and nowhere before."""
    if job.kind == "recommend":
        from t2v_core.new_experts import training_price
        from t2v_core.pipeline import Options
        from t2v_core.recommendation import recommend

        asked = Options(**job.arguments)
        result = recommend(store.bank, asked, store.folder(job.id) / "out", report)
        if result["task"]["learnable"]:  # the page offers to train on these images
            result["training"] = training_price(asked.device, result["seconds"], report)
        return result
    if job.kind == "train":
        from t2v_core.new_experts import TrainOptions, train_expert

        return train_expert(store.bank, TrainOptions(**job.arguments), report, store.folder(job.id) / "out")
    if job.kind == "add":
        from t2v_core.new_experts import AddOptions, add

        options = AddOptions(**job.arguments)
        result = add(store.bank, options, report)
        # The bank keeps the weights in a form of its own; a file that lies elsewhere is somebody's own.
        if options.file and Path(options.file).is_relative_to(store.folder(job.id)):
            Path(options.file).unlink(missing_ok=True)
        return result
    if job.kind == "fill":
        from t2v_core.filling import FillOptions, fill

        return fill(store.bank, FillOptions(**job.arguments), report)
    if job.kind in ("transfer", "efficiency"):
        from t2v_core.experiments import EXPERIMENTS, TrialOptions

        return EXPERIMENTS[job.kind](store.bank, TrialOptions(**job.arguments), report)
    raise InputError(f"this version knows no job of kind {job.kind!r}")


def _go_on(store: JobStore, job: Job, phase: str) -> None:
    """Stop where a person asked for it or another worker was started; be in ``phase`` again if taken for dead.

    Raises:
        Cancelled: to stop. What a worker that was replaced then writes has no effect.
    """
    state = store.state(job)
    if state in (None, CANCELLING, CANCELLED):
        raise Cancelled
    if state == INTERRUPTED:
        store.revive(job, phase)


def _reporter(store: JobStore, job: Job) -> Report:
    last_time, last_stage = 0.0, ""

    def report(stage: str, done: int, total: int, message: str) -> None:
        nonlocal last_time, last_stage
        now = time.monotonic()
        if stage == last_stage and done < total and now - last_time < REPORT_SECONDS:
            return
        last_time, last_stage = now, stage
        _go_on(store, job, RUNNING)
        store.progress(job, stage, done, total, message)

    return report


def _beat(store: JobStore, job: Job, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        # A database that is busy for once is asked again: a job outlives many missed beats.
        with suppress(OperationalError):
            store.beat(job)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    main(*sys.argv[1:])
