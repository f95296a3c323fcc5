"""Which cells of the error matrix are missing, and what of a bank its people have added."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, func, select

from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import ExpertRecord
from t2v_core.errors import InputError


def missing_cells(bank: Bank) -> dict[str, int]:
    """Under how many experts the error of each task was not measured, by task id; tasks without labels have none."""
    cell = schema.error.c
    with bank.engine.connect() as connection:
        experts = int(connection.execute(select(func.count()).select_from(schema.expert)).scalar_one())
        counted = connection.execute(select(cell.task_id, func.count()).group_by(cell.task_id)).all()
    measured = {task: int(count) for task, count in counted}
    return {t.id: experts - measured.get(t.id, 0) for t in bank.tasks() if len(t.classes) > 1}


def added_by_people(bank: Bank, uploads: Collection[str]) -> list[ExpertRecord]:
    """The experts that did not come with the bank: those brought along, and those trained on a person's images.

    Args:
        bank: the bank.
        uploads: ids of the tasks that are people's own.
    """
    return [
        expert
        for expert in bank.experts()
        if expert.task_id in uploads or ("from" in expert.training and "settings" not in expert.training)
    ]


def delete_expert(bank: Bank, expert_id: str) -> None:
    """Remove an expert with its errors and trials, and its weights where no other expert has the same.

    Raises:
        InputError: there is no such expert.
    """
    c = schema.expert.c
    with bank._change() as connection:
        file = connection.execute(select(c.weights_file).where(c.id == expert_id)).scalar()
        if file is None:
            raise InputError(f"there is no expert {expert_id!r} in the bank at {bank.location}")
        for measured in (schema.error, schema.trial):
            connection.execute(delete(measured).where(measured.c.expert_id == expert_id))
        connection.execute(delete(schema.expert).where(c.id == expert_id))
        shared = connection.execute(select(c.id).where(c.weights_file == file)).first() is not None
    if not shared:
        (bank.weights / file).unlink(missing_ok=True)
