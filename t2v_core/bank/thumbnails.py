"""Small pictures of the bank's tasks: the only images a bank keeps, of tasks whose owners wanted them kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, select

from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.statements import upsert
from t2v_core.task.thumbnails import strip_of
from t2v_core.task.worlds import WorldTask


def thumbnails(bank: Bank, tasks: Sequence[str] | None = None) -> dict[str, bytes]:
    """The strips (see ``task.thumbnails``) of the tasks that have one, by id, in the order of ids.

    Args:
        bank: the bank.
        tasks: ids of the only tasks to look for; None looks for all.
    """
    query = select(schema.thumbnail).order_by(schema.thumbnail.c.task_id)
    if tasks is not None:
        query = query.where(schema.thumbnail.c.task_id.in_(tasks))
    with bank.engine.connect() as connection:
        return {row["task_id"]: bytes(row["strip"]) for row in connection.execute(query).mappings()}


def keep_thumbnails(bank: Bank, strips: Mapping[str, bytes]) -> None:
    """Give tasks that the bank holds their strips, by id."""
    with bank._change() as connection:
        for task_id, strip in strips.items():
            upsert(connection, schema.thumbnail, {"task_id": task_id, "strip": strip})


def forget_thumbnails(bank: Bank, task_id: str) -> None:
    """Remove the pictures of a task, which stays."""
    with bank._change() as connection:
        connection.execute(delete(schema.thumbnail).where(schema.thumbnail.c.task_id == task_id))


def add_missing(bank: Bank, worlds: Iterable[WorldTask]) -> list[str]:
    """Give tasks made by code that the bank holds with these very images the pictures they lack.

    Returns:
        The tasks that got them.
    """
    known = {t.id: t.content_hash for t in bank.tasks()}
    present = thumbnails(bank)
    added = {}
    for item in worlds:
        lacking = item.made_here and item.id not in present
        if lacking and known.get(item.id) == item.decoded.content_hash:
            strip = strip_of(item.decoded.task)
            if strip is not None:
                added[item.id] = strip
    if added:
        keep_thumbnails(bank, added)
    return list(added)
