"""The files behind a bank: its SQLite database, and the demo bank that a new one begins with."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
import uuid
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, event

DEMO = Path(__file__).with_name("demo")
"""The demo bank that ships with the program: read-only, copied into place on a first start."""

DATABASE = "bank.sqlite"

TIMEOUT = 30
"""Seconds that SQLite waits for another's write."""


def holds_bank(folder: Path) -> bool:
    """Whether there is a bank's database in a folder."""
    return (folder / DATABASE).exists()


def sqlite(path: Path) -> Engine:
    """The database in one file, in write-ahead mode and with foreign keys."""
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": TIMEOUT})

    @event.listens_for(engine, "connect")
    def _configure(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        _use_write_ahead(cursor)
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine


def _use_write_ahead(cursor: sqlite3.Cursor) -> None:
    """Set the journal's mode; while another sets it in a new file, SQLite fails at once whatever the timeout."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def copy_demo(target: Path) -> None:
    """Put the demo bank at ``target``; the database comes last, so that a broken copy is not mistaken for a bank.

    Of several that do so at once the quickest gives the database, and none takes away what it has opened.
    """
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(DEMO / "weights", target / "weights", dirs_exist_ok=True, copy_function=_copy_whole)
    database = target / DATABASE
    temporary = beside(database)
    shutil.copyfile(DEMO / DATABASE, temporary)
    try:
        os.link(temporary, database)  # unlike a replacement it fails where there is one by now
    except OSError:
        if not database.exists():  # a file system without links
            temporary.replace(database)
    temporary.unlink(missing_ok=True)


def _copy_whole(source: str, target: str) -> None:
    """Copy a file so that a reader of ``target`` sees all of it, whoever else is copying."""
    temporary = beside(Path(target))
    shutil.copyfile(source, temporary)
    temporary.replace(target)


def beside(file: Path) -> Path:
    """A new name in the same folder. Not by process: threads would share it, and with it what has been published."""
    return file.with_name(f".{file.name}.{uuid.uuid4().hex}")
