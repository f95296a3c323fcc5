"""Jobs as rows of the bank, so that they outlive the page, the tab and the server that started them.

Every start of a worker has its own time, ``Job.started``. A worker that was silent for long, its machine asleep,
knows by it whether it is still the one: it then goes on, and otherwise writes nothing more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, insert, select, update

from t2v_core.bank.bank import Bank
from t2v_core.bank.schema import job as table
from t2v_core.errors import InputError

QUEUED, RUNNING, CANCELLING = "queued", "running", "cancelling"
DONE, FAILED, CANCELLED, INTERRUPTED = "done", "failed", "cancelled", "interrupted"
ACTIVE = (QUEUED, RUNNING, CANCELLING)
STOPPED = "stopped on request"

WAITING_THREADS = {"GOMP_SPINCOUNT": "1000"}
"""Threads of a worker that wait for one another soon leave the processor to others. By default they spin, and two
workers at once (of two banks, say) took 39 to 155 s for what one does in 13; so they take 23, and one alone no more."""

STALE_SECONDS = 30.0
"""A worker beats every few seconds; one silent for this long is taken for dead."""


@dataclass(frozen=True)
class Job:
    """One piece of long work.

    Attributes:
        id: identifier.
        kind: what the worker runs: ``"recommend"``, ``"train"``, ``"add"``, ``"fill"``, ``"transfer"`` or
            ``"efficiency"``.
        title: what a person calls it.
        arguments: everything the worker needs, as JSON.
        state: ``queued, running, cancelling, done, failed, cancelled`` or ``interrupted``.
        stage: what it is doing.
        done, total: progress within the stage.
        message: speed and time left, or the error as one sentence.
        result: what came out, as JSON.
        created, beat, ended: seconds since the epoch.
        started: when its worker was last started, likewise; it tells that worker from any before it.
    """

    id: str
    kind: str
    title: str
    arguments: dict[str, Any]
    state: str
    stage: str
    done: int
    total: int
    message: str
    result: dict[str, Any] | None
    created: float
    started: float | None
    beat: float
    ended: float | None

    @property
    def active(self) -> bool:
        """Whether it is waiting or running."""
        return self.state in ACTIVE


class JobStore:
    """Submit, watch, cancel and resume jobs of one bank."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    def folder(self, job_id: str) -> Path:
        """Where a job's inputs and outputs lie."""
        return self.bank.files / "jobs" / job_id

    def submit(self, kind: str, title: str, arguments: dict[str, Any], job_id: str | None = None) -> Job:
        """Record a job and start its worker process.

        Args:
            kind: what to run.
            title: for people.
            arguments: as JSON.
            job_id: an id from ``new_id``, where files were put into its folder beforehand.
        """
        job_id = job_id or self.new_id()
        now = time.time()
        row = {
            "id": job_id,
            "kind": kind,
            "title": title,
            "arguments": arguments,
            "state": QUEUED,
            "stage": "waiting to start",
            "done": 0,
            "total": 0,
            "message": "",
            "created": now,
            "started": now,
            "beat": now,
        }
        with self.bank.engine.begin() as connection:
            connection.execute(insert(table).values(**row))
        self._start(job_id, now)
        return self.get(job_id)

    @staticmethod
    def new_id() -> str:
        """A fresh job id."""
        return uuid.uuid4().hex

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            InputError: there is none of this id.
        """
        self._bury_the_dead()
        with self.bank.engine.connect() as connection:
            row = connection.execute(select(table).where(table.c.id == job_id)).mappings().first()
        if row is None:
            raise InputError(f"there is no job {job_id!r} in this bank; it may have been removed")
        return Job(**row)

    def list(self) -> list[Job]:
        """All jobs, newest first."""
        self._bury_the_dead()
        with self.bank.engine.connect() as connection:
            return [Job(**row) for row in connection.execute(select(table).order_by(table.c.created.desc())).mappings()]

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop; its worker does so at the next step."""
        self._write(table.c.id == job_id, {"state": CANCELLING, "message": "stopping"}, only_in=(QUEUED, RUNNING))

    def resume(self, job_id: str) -> None:
        """Start a job again that was cut off, cancelled or failed.

        Work of many pieces (errors, experiments) goes on where it was; a recommendation or a training begins anew.

        A worker that it had before, should it still live, stops at its next report.
        """
        now = time.time()
        fresh = {"state": QUEUED, "stage": "waiting to start", "message": "", "started": now, "beat": now}
        if self._write(table.c.id == job_id, fresh, only_in=(INTERRUPTED, CANCELLED, FAILED)):
            self._start(job_id, now)

    def remove(self, job_id: str) -> None:
        """Forget a job that is not active, with its files.

        Raises:
            InputError: it is still active.
        """
        if self.get(job_id).active:
            raise InputError("this job is still running; cancel it first")
        with self.bank.engine.begin() as connection:
            connection.execute(delete(table).where(table.c.id == job_id))
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    # ---- called by the worker, for the job as it was when the worker started ---------------------

    def take_turn(self, job: Job, limit: int) -> bool:
        """Become running if fewer than ``limit`` jobs run and no older one waits.

        The check and the change are one statement, so two workers never take the same place.
        """
        self._bury_the_dead()
        other = table.alias()
        running = select(other.c.id).where(other.c.state.in_((RUNNING, CANCELLING))).subquery()
        earlier = select(other.c.id).where(other.c.state == QUEUED, other.c.created < job.created).exists()
        count = select(func.count()).select_from(running).scalar_subquery()
        statement = (
            update(table)
            .where(_own(job), table.c.state == QUEUED, count < limit, ~earlier)
            .values(state=RUNNING, beat=time.time())
        )
        with self.bank.engine.begin() as connection:
            return connection.execute(statement).rowcount == 1

    def state(self, job: Job) -> str | None:
        """The state as it stands; None where the job was started again or removed, so that this worker has none."""
        with self.bank.engine.connect() as connection:
            return connection.execute(select(table.c.state).where(_own(job))).scalar()

    def beat(self, job: Job) -> None:
        """Show that the worker lives."""
        self._write(_own(job), {"beat": time.time()})

    def revive(self, job: Job, state: str) -> None:
        """Be queued or running again after having been taken for dead."""
        values = {"state": state, "message": "", "beat": time.time(), "ended": None}
        self._write(_own(job), values, only_in=(INTERRUPTED,))

    def progress(self, job: Job, stage: str, done: int, total: int, message: str) -> None:
        """Record how far the work is."""
        values = {"stage": stage, "done": done, "total": total, "message": message[:1000], "beat": time.time()}
        self._write(_own(job), values, only_in=(RUNNING,))

    def finish(self, job: Job, state: str, message: str = "", result: dict[str, Any] | None = None) -> None:
        """Record how the work ended; that of a worker taken for dead counts, unless another was started."""
        values = {"state": state, "message": message[:1000], "result": result, "ended": time.time()}
        self._write(_own(job), values, only_in=(*ACTIVE, INTERRUPTED))

    # ---- inside ---------------------------------------------------------------------------------

    def _write(self, which: ColumnElement[bool], values: dict[str, Any], only_in: Iterable[str] | None = None) -> bool:
        statement = update(table).where(which).values(**values)
        if only_in is not None:
            statement = statement.where(table.c.state.in_(tuple(only_in)))
        with self.bank.engine.begin() as connection:
            return connection.execute(statement).rowcount == 1

    def _bury_the_dead(self) -> None:
        """Mark jobs whose worker has fallen silent: cut off, or stopped where a person had asked for that."""
        silent = (table.c.beat < time.time() - STALE_SECONDS) & table.c.state.in_(ACTIVE)
        with self.bank.engine.connect() as connection:
            found = connection.execute(select(table.c.id).where(silent)).first()
        if found is None:  # the usual case takes no write lock
            return
        asked = table.c.state == CANCELLING
        values = {
            "state": case((asked, CANCELLED), else_=INTERRUPTED),
            "message": case((asked, STOPPED), else_="cut off: the process or the machine was stopped"),
            "ended": time.time(),
        }
        with self.bank.engine.begin() as connection:
            connection.execute(update(table).where(silent).values(**values))

    def _start(self, job_id: str, started: float) -> None:
        folder = self.folder(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        environment = WAITING_THREADS | os.environ | {"T2V_FILES": str(self.bank.files)}
        with (folder / "log.txt").open("ab") as log:
            # A session of its own: the worker goes on when the server that started it is stopped.
            subprocess.Popen(
                [sys.executable, "-m", "t2v_core.jobs.worker", self.bank.location, job_id, repr(started)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )


def _own(job: Job) -> ColumnElement[bool]:
    """The row of a job, as long as the worker that started then is still its worker."""
    return (table.c.id == job.id) & (table.c.started == job.started)
