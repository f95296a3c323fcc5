"""Statements that several parts of the bank make, on any database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, func, insert, select, update

from t2v_core.bank import schema
from t2v_core.bank.records import ErrorEntry
from t2v_core.bank.rows import embedding_row
from t2v_core.embedding.record import Embedding


def upsert(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Insert a row or replace the one with the same primary key."""
    keys = [column.name for column in table.primary_key.columns]
    match = [table.c[key] == row[key] for key in keys]
    rest = {key: value for key, value in row.items() if key not in keys}
    if connection.execute(select(table.c[keys[0]]).where(*match)).first() is None:
        connection.execute(insert(table).values(**row))
    elif rest:
        connection.execute(update(table).where(*match).values(**rest))


def put_embedding(connection: Connection, task_id: str, embedding: Embedding) -> None:
    """Keep a task's embedding in place of any by the same method and probe: with other settings it is outdated."""
    row, column = embedding_row(task_id, embedding), schema.embedding.c
    same = [column[name] == row[name] for name in ("task_id", "method", "weights_hash")]
    connection.execute(delete(schema.embedding).where(*same, column.space != row["space"]))
    upsert(connection, schema.embedding, row)


def without_chunks() -> Select[Any]:
    """All embeddings, of their chunks nothing but whether there are any (see ``rows.embedding_from_row``)."""
    columns = schema.embedding.c
    has_ratios = (func.length(columns.chunk_ratios) > 0).label("has_ratios")
    return select(*[column for column in columns if column is not columns.chunk_ratios], has_ratios)


def forget_measured(connection: Connection, table: Table, owner: str, **identity: Any) -> None:
    """Remove what belongs to the former content of a task or an expert that is about to become another.

    Args:
        connection: of the transaction that replaces it.
        table: of tasks or of experts.
        owner: its id.
        identity: the columns that identify its content, with the new values as the table gives them back.
    """
    row = connection.execute(select(*(table.c[name] for name in identity)).where(table.c.id == owner)).first()
    if row is None or tuple(row) == tuple(identity.values()):
        return
    for kept in (schema.error, schema.trial, *([schema.embedding, schema.thumbnail] if table is schema.task else [])):
        connection.execute(delete(kept).where(kept.c[f"{table.name}_id"] == owner))


def still_true(
    connection: Connection, entries: Iterable[ErrorEntry], measured_with: Mapping[str, str]
) -> list[ErrorEntry]:
    """Errors whose expert still has the weights they were measured with, and whose task is still there.

    Args:
        connection: of the transaction that writes them.
        entries: the errors.
        measured_with: SHA-256 of the weights by expert id.
    """
    c = schema.expert.c
    now = {row.id: row.weights_sha256 for row in connection.execute(select(c.id, c.weights_sha256))}
    tasks = set(connection.execute(select(schema.task.c.id)).scalars())
    return [e for e in entries if now.get(e.expert_id) == measured_with[e.expert_id] and e.task_id in tasks]
