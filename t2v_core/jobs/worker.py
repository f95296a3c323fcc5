"""The process behind one job: ``python -m t2v_core.jobs.worker BANK JOB``."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_core.bank.bank import Bank
from t2v_core.errors import Cancelled, InputError
from t2v_core.jobs.store import CANCELLED, CANCELLING, DONE, FAILED, Job, JobStore

BEAT_SECONDS = 3.0
REPORT_SECONDS = 0.25
POLL_SECONDS = 0.5

Report = Callable[[str, int, int, str], None]


def concurrent_jobs() -> int:
    """How many jobs of a bank may run at once: ``T2V_JOBS``, by default 1, since one uses every core."""
    return max(1, int(os.environ.get("T2V_JOBS", "1")))


def main(location: str, job_id: str) -> None:
    """Wait for a turn, run the job, record how it ended."""
    store = JobStore(Bank(location))
    stop = threading.Event()
    threading.Thread(target=_beat, args=(store, job_id, stop), daemon=True).start()
    try:
        while not store.take_turn(job_id, concurrent_jobs()):
            if store.state(job_id) == CANCELLING:
                raise Cancelled
            time.sleep(POLL_SECONDS)
        job = store.get(job_id)
        result = _run(job, store, _reporter(store, job_id))
        store.finish(job_id, DONE, "", result)
    except Cancelled:
        store.finish(job_id, CANCELLED, "stopped on request")
    except InputError as error:
        store.finish(job_id, FAILED, str(error))
    except MemoryError:
        store.finish(job_id, FAILED, "the machine ran out of memory; give fewer images or a smaller probe")
    except Exception as error:
        logging.getLogger(__name__).exception("job %s failed", job_id)
        store.finish(
            job_id, FAILED, f"an unexpected error stopped the work ({type(error).__name__}); its log has the details"
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


def _reporter(store: JobStore, job_id: str) -> Report:
    last_time, last_stage = 0.0, ""

    def report(stage: str, done: int, total: int, message: str) -> None:
        nonlocal last_time, last_stage
        now = time.monotonic()
        if stage == last_stage and done < total and now - last_time < REPORT_SECONDS:
            return
        last_time, last_stage = now, stage
        if store.state(job_id) == CANCELLING:
            raise Cancelled
        store.progress(job_id, stage, done, total, message)

    return report


def _beat(store: JobStore, job_id: str, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        store.beat(job_id)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    main(*sys.argv[1:])
