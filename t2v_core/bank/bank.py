"""Reading and writing a bank: SQLAlchemy over SQLite in one folder, or any database URL for a team."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, create_engine, delete, func, select, update
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from t2v_core.bank import opening, schema
from t2v_core.bank.records import ErrorEntry, ExpertRecord, TaskRecord, TrialEntry, pack_digests, task_from_row
from t2v_core.bank.rows import embedding_from_row, expert_from_row, probe_from_json
from t2v_core.bank.statements import forget_measured, put_embedding, still_true, upsert, without_chunks
from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError
from t2v_core.probe.record import ProbeInfo, check_transform


def default_location() -> str:
    """The bank in use when none is named: ``T2V_BANK``, else ``bank`` in the working directory."""
    return os.environ.get("T2V_BANK", "bank")


class Bank:
    """Tasks, embeddings, experts, errors and jobs.

    Every write is one transaction; with SQLite in write-ahead mode readers never wait.

    Attributes:
        location: what it was opened by.
        files: folder of everything that is no table: expert weights, job files.
        engine: the database.
    """

    def __init__(self, location: str | Path, *, demo: bool = False) -> None:
        """Open a bank, creating it where there is none.

        Args:
            location: a folder, or a SQLAlchemy URL (its files then lie in ``T2V_FILES``, by default
                ``bank_files`` in the working directory).
            demo: fill a new folder with the demo bank.

        Raises:
            InputError: the place cannot be used as a bank.
        """
        self.location = str(location)
        self._thread = threading.local()
        try:
            if "://" in self.location:
                self.files = Path(os.environ.get("T2V_FILES", "bank_files"))
                self.files.mkdir(parents=True, exist_ok=True)
                self.engine = create_engine(self.location)
            else:
                self.files = Path(location)
                if demo and not opening.holds_bank(self.files) and opening.holds_bank(opening.DEMO):
                    opening.copy_demo(self.files)
                self.files.mkdir(parents=True, exist_ok=True)
                self.engine = opening.sqlite(self.files / opening.DATABASE)
            schema.prepare(self.engine, self.location)
        except (OSError, SQLAlchemyError) as error:
            raise InputError(
                f"cannot open a bank at {self.location!r}: {_first_line(error)}; choose another place"
            ) from error

    @property
    def weights(self) -> Path:
        """Folder of the experts' weights."""
        return self.files / "weights"

    def version(self) -> int:
        """A number that grows with every change of tasks, embeddings, experts or errors: a cache key."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(schema.changes.c.count)).scalar_one())

    # ---- tasks and embeddings -------------------------------------------------------------------

    def save_task(
        self,
        record: TaskRecord,
        digests: Iterable[str] | NDArray[np.uint64],
        embeddings: Iterable[Embedding],
        info: ProbeInfo | None,
        strip: bytes | None = None,
    ) -> None:
        """Write a task with its embeddings, replacing one of the same id.

        What was measured on other images under this id is forgotten, and so are pictures of those.

        Args:
            record: the task; ``image_set`` is set here from ``digests``.
            digests: SHA-256 of every training image, or their packed first 64 bits.
            embeddings: its vectors, by ``info``'s probe or by none.
            info: the probe; None where all of them come from untrained networks.
            strip: a few of its images (see ``task.thumbnails``), which all who use the bank will see; None adds none.
        """
        packed = (digests if isinstance(digests, np.ndarray) else pack_digests(list(digests))).astype("<u8").tobytes()
        key = hashlib.sha256(packed).hexdigest()
        row = asdict(record) | {"image_set": key, "created": record.created or time.time()}
        check_transform(self.probes(), info)
        with self._change() as connection:
            forget_measured(connection, schema.task, record.id, content_hash=record.content_hash)
            if info is not None:
                upsert(connection, schema.probe, {"weights_hash": info.weights_hash, "info": asdict(info)})
            upsert(connection, schema.image_set, {"id": key, "digests": packed})
            upsert(connection, schema.task, row)
            for embedding in embeddings:
                put_embedding(connection, record.id, embedding)
            if strip is not None:
                upsert(connection, schema.thumbnail, {"task_id": record.id, "strip": strip})

    def delete_task(self, task_id: str) -> None:
        """Remove a task with its embeddings, errors and pictures.

        Raises:
            InputError: there is no such task, or an expert was trained on it.
        """
        experts = [e.name for e in self.experts() if e.task_id == task_id]
        if experts:
            raise InputError(f"task {task_id!r} is what expert {experts[0]!r} was trained on; it cannot be removed")
        with self._change() as connection:
            for table in (schema.embedding, schema.error, schema.thumbnail):
                connection.execute(delete(table).where(table.c.task_id == task_id))
            if not connection.execute(delete(schema.task).where(schema.task.c.id == task_id)).rowcount:
                raise InputError(f"there is no task {task_id!r} in the bank at {self.location}")

    def tasks(self) -> list[TaskRecord]:
        """All tasks, in the order of their ids."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(schema.task).order_by(schema.task.c.id)).mappings()
            return [task_from_row(dict(row)) for row in rows]

    def embeddings(
        self,
        method: str,
        weights_hash: str | None = None,
        tasks: Sequence[str] | None = None,
        *,
        chunks: bool = True,
    ) -> dict[str, Embedding]:
        """Embeddings by task id.

        Args:
            method: of the embedding.
            weights_hash: of the probe; by default any.
            tasks: ids of those wanted; by default all.
            chunks: read what the spread is made of, which takes up to twenty times the memory of the vectors.
        """
        query = select(schema.embedding) if chunks else without_chunks()
        query = query.where(schema.embedding.c.method == method)
        if tasks is not None:
            query = query.where(schema.embedding.c.task_id.in_(tasks))
        if weights_hash is not None:
            query = query.where(schema.embedding.c.weights_hash == weights_hash)
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(schema.embedding.c.task_id)).mappings()
            return {r["task_id"]: embedding_from_row(dict(r)) for r in rows}

    def embedded(self, method: str) -> set[str]:
        """Ids of the tasks with an embedding of a method."""
        query = select(schema.embedding.c.task_id).where(schema.embedding.c.method == method)
        with self.engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def all_embeddings(self) -> list[tuple[str, Embedding]]:
        """Every embedding with its task's id, of whatever method and probe."""
        query = select(schema.embedding).order_by(schema.embedding.c.task_id, schema.embedding.c.space)
        with self.engine.connect() as connection:
            return [(r["task_id"], embedding_from_row(dict(r))) for r in connection.execute(query).mappings()]

    def probes(self) -> dict[str, ProbeInfo]:
        """Probes that the bank's embeddings stem from, by weights hash."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(schema.probe)).mappings()
            return {r["weights_hash"]: probe_from_json(r["info"]) for r in rows}

    def image_sets(self) -> dict[str, NDArray[np.uint64]]:
        """Sorted 64-bit digests of the training images behind each image set."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(schema.image_set)).mappings()
            return {r["id"]: np.frombuffer(r["digests"], "<u8") for r in rows}

    # ---- experts and errors ---------------------------------------------------------------------

    def save_expert(self, record: ExpertRecord) -> None:
        """Write an expert whose weights already lie in ``weights``; what was measured with another is forgotten."""
        with self._change() as connection:
            forget_measured(
                connection,
                schema.expert,
                record.id,
                weights_sha256=record.weights_sha256,
                architecture=record.architecture,
                spec=record.transform,
            )
            upsert(connection, schema.expert, asdict(record) | {"created": record.created or time.time()})

    def experts(self) -> list[ExpertRecord]:
        """All experts, in the order of their ids."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(schema.expert).order_by(schema.expert.c.id)).mappings()
            return [expert_from_row(dict(r)) for r in rows]

    def save_errors(self, entries: Iterable[ErrorEntry], measured_with: Mapping[str, str] | None = None) -> None:
        """Write cells of the error matrix.

        Args:
            entries: the cells.
            measured_with: SHA-256 of the weights by expert id; cells of experts that have others by now, or have gone,
                and of tasks that have gone, are left out.
        """
        with self._change() as connection:
            for entry in entries if measured_with is None else still_true(connection, entries, measured_with):
                upsert(connection, schema.error, asdict(entry))

    def error_entries(self) -> list[ErrorEntry]:
        """Every measured cell of the error matrix."""
        with self.engine.connect() as connection:
            return [ErrorEntry(**row) for row in connection.execute(select(schema.error)).mappings()]

    def experts_measured(self, task_id: str) -> set[str]:
        """Ids of the experts whose error on a task is known."""
        cell = schema.error.c
        with self.engine.connect() as connection:
            return set(connection.execute(select(cell.expert_id).where(cell.task_id == task_id)).scalars())

    def errors(self) -> pd.DataFrame:
        """The error matrix in %, tasks by experts; NaN where a cell was not measured."""
        cells = [(e.task_id, e.expert_id, e.error) for e in self.error_entries()]
        frame = pd.DataFrame(cells, columns=["task", "expert", "error"])
        return frame.pivot(index="task", columns="expert", values="error")

    def save_trial(self, entry: TrialEntry) -> None:
        """Write the outcome of one trial."""
        with self._change() as connection:
            upsert(connection, schema.trial, asdict(entry))

    def has_trial(self, trial_id: str) -> bool:
        """Whether a trial has been made."""
        with self.engine.connect() as connection:
            return (
                connection.execute(select(schema.trial.c.id).where(schema.trial.c.id == trial_id)).first() is not None
            )

    def trials(self) -> list[TrialEntry]:
        """Every trial, in the order of tasks, experts and seeds."""
        c = schema.trial.c
        query = select(schema.trial).order_by(c.task_id, c.expert_id, c.mode, c.per_class, c.seed)
        with self.engine.connect() as connection:
            return [TrialEntry(**row) for row in connection.execute(query).mappings()]

    # ---- derived arrays and facts ---------------------------------------------------------------

    def derived(self, key: str) -> NDArray | None:
        """An array computed earlier from bank contents that ``key`` identifies, or None."""
        with self.engine.connect() as connection:
            value = connection.execute(select(schema.derived.c.value).where(schema.derived.c.key == key)).scalar()
        return None if value is None else np.load(io.BytesIO(value), allow_pickle=False)

    def keep_derived(self, key: str, array: NDArray) -> None:
        """Keep a computed array under a key that identifies all it was computed from."""
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        # Another may keep the same key at this moment: its array is the same.
        with suppress(IntegrityError), self.engine.begin() as connection:
            upsert(connection, schema.derived, {"key": key, "value": buffer.getvalue()})

    def facts(self) -> dict[str, object]:
        """What was recorded when the bank was built: command, seeds, versions, times."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(schema.meta)).mappings()
            return {r["key"]: r["value"] for r in rows if r["key"] != "schema"}

    def record_fact(self, key: str, value: object) -> None:
        """Record something about the bank as a whole."""
        with self.engine.begin() as connection:
            upsert(connection, schema.meta, {"key": key, "value": value})

    def counts(self) -> dict[str, int]:
        """Number of tasks, embeddings, experts and error entries."""
        tables = {
            "tasks": schema.task,
            "embeddings": schema.embedding,
            "experts": schema.expert,
            "errors": schema.error,
        }
        with self.engine.connect() as connection:
            return {
                name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for name, table in tables.items()
            }

    def close(self) -> None:
        """Let go of the database; with SQLite, fold the write-ahead log back into its one file.

        The log stays beside the file while another process, such as a dashboard, has the database open.
        """
        self.engine.dispose()  # SQLite leaves write-ahead mode for the last connection alone
        self.engine.dispose()  # connections that other threads have left open would keep the log
        if self.engine.dialect.name == "sqlite":
            try:
                with self.engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                    connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
            except OperationalError as error:
                if "locked" not in str(error):
                    raise
            self.engine.dispose()

    @contextmanager
    def one_change(self) -> Iterator[None]:
        """Make one transaction of all that this thread saves and deletes within: all of it is written, or nothing."""
        with self._change() as connection:
            self._thread.connection = connection
            try:
                yield
            finally:
                del self._thread.connection

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        """A transaction that also raises the bank's version; within ``one_change`` it is the one of that."""
        outer = getattr(self._thread, "connection", None)
        if outer is not None:
            yield outer
            return
        with self.engine.begin() as connection:
            # Written first: SQLite takes its write lock here, waiting for others, before anything is read.
            connection.execute(update(schema.changes).values(count=schema.changes.c.count + 1))
            yield connection


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def content_key(*parts: object) -> str:
    """A key for ``derived``: the SHA-256 of the JSON of all that a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
