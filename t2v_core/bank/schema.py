"""The bank's tables, their version, and how an older bank is brought up to date."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    DDL,
    JSON,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    inspect,
    select,
)

from t2v_core.errors import InputError

VERSION = 3

metadata = MetaData()

meta = Table("meta", metadata, Column("key", String(64), primary_key=True), Column("value", JSON))

changes = Table(
    "changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("count", Integer, nullable=False),
)

probe = Table(
    "probe",
    metadata,
    Column("weights_hash", String(64), primary_key=True),
    Column("info", JSON, nullable=False),
)

image_set = Table(
    "image_set",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("digests", LargeBinary, nullable=False),
)

task = Table(
    "task",
    metadata,
    Column("id", String(120), primary_key=True),
    Column("name", String(400), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("origin", String(200), nullable=False),
    Column("classes", JSON, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("taxonomy", JSON, nullable=False),
    Column("held_out", Integer, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("image_set", String(64), ForeignKey("image_set.id")),
    Column("created", Float, nullable=False),
)

embedding = Table(
    "embedding",
    metadata,
    Column("task_id", String(120), ForeignKey("task.id", ondelete="CASCADE"), primary_key=True),
    Column("space", String(16), primary_key=True),
    Column("method", String(40), nullable=False),
    Column("probe_id", String(120), nullable=False),
    Column("weights_hash", String(64), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("chunk_ratios", LargeBinary, nullable=False),
    Column("chunk_weights", LargeBinary, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("device", String(40), nullable=False),
    Column("facts", JSON, nullable=False),
)

expert = Table(
    "expert",
    metadata,
    Column("id", String(120), primary_key=True),
    Column("name", String(400), nullable=False),
    Column("architecture", String(120), nullable=False),
    Column("weights_file", String(200), nullable=False),
    Column("weights_sha256", String(64), nullable=False),
    Column("task_id", String(120), ForeignKey("task.id")),
    Column("training", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("spec", JSON),
)

thumbnail = Table(
    "thumbnail",
    metadata,
    Column("task_id", String(120), ForeignKey("task.id", ondelete="CASCADE"), primary_key=True),
    Column("strip", LargeBinary, nullable=False),
)

error = Table(
    "error",
    metadata,
    Column("task_id", String(120), ForeignKey("task.id", ondelete="CASCADE"), primary_key=True),
    Column("expert_id", String(120), ForeignKey("expert.id", ondelete="CASCADE"), primary_key=True),
    Column("error", Float, nullable=False),
    Column("n", Integer, nullable=False),
    Column("protocol", String(200), nullable=False),
)

trial = Table(
    "trial",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("task_id", String(120), ForeignKey("task.id", ondelete="CASCADE"), nullable=False),
    Column("expert_id", String(120), ForeignKey("expert.id", ondelete="CASCADE"), nullable=False),
    Column("mode", String(20), nullable=False),
    Column("schedule", String(40), nullable=False),
    Column("per_class", Integer, nullable=False),
    Column("images", Integer, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("error", Float, nullable=False),
    Column("n", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
)

claim = Table(
    "claim",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("beat", Float, nullable=False),
)

derived = Table(
    "derived",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

method = Table(
    "method",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("about", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("once", Float, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("arrays", LargeBinary, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("title", String(400), nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("stage", String(80), nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("message", String(1000), nullable=False),
    Column("result", JSON),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("beat", Float, nullable=False),
    Column("ended", Float),
)


def _add_transforms_trials_and_claims(connection: Connection) -> None:
    metadata.create_all(connection)  # the tables that are not there yet
    connection.execute(DDL("ALTER TABLE expert ADD COLUMN spec JSON"))


def _add_thumbnails(connection: Connection) -> None:
    thumbnail.create(connection, checkfirst=True)


MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: _add_transforms_trials_and_claims, 2: _add_thumbnails}
"""``MIGRATIONS[v]`` turns a bank of version v into one of version v + 1."""


def prepare(engine: Engine, location: str) -> None:
    """Create the tables of a new bank, or migrate an older one.

    Raises:
        InputError: the bank was written by a newer version of this program.
    """
    with engine.connect() as connection:
        if _version(connection) == VERSION:
            return  # without waiting for whoever is writing
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # The write lock first: of several that open a new bank or an older one at once, one does what follows.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        if not _version(connection):
            metadata.create_all(connection)
            connection.execute(meta.insert().values(key="schema", value=VERSION))
            connection.execute(changes.insert().values(id=1, count=0))
        if _version(connection) == VERSION:
            return
        # A write before the version is read: here other databases wait for another process that may be migrating.
        connection.execute(changes.update().values(count=changes.c.count + 1))
        found = _version(connection)
        if found > VERSION:
            raise InputError(
                f"the bank at {location} has schema {found}, newer than the {VERSION} known here; update the program"
            )
        for version in range(found, VERSION):
            MIGRATIONS[version](connection)
        connection.execute(meta.update().where(meta.c.key == "schema").values(value=VERSION))


def _version(connection: Connection) -> int:
    """The version of the tables; 0 where there are none yet."""
    if not inspect(connection).has_table("meta"):
        return 0
    return int(connection.execute(select(meta.c.value).where(meta.c.key == "schema")).scalar_one())
