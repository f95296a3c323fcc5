"""What the bank's trials say: how far experts are from tasks by transfer, and how many images a task takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import FROZEN, TUNED, TrialEntry, called
from t2v_core.selection.meta_task import GENERIC, from_bank
from t2v_core.selection.nearest import Nearest

PICKED, GENERIC_ROLE, BEST = "picked", "generic", "best"
ROLES = (PICKED, GENERIC_ROLE, BEST)
MODES = (FROZEN, TUNED)
COLUMNS = ["task", "task_name", "role", "expert", "expert_name", "mode", "schedule"]
COLUMNS += ["per_class", "images", "seed", "error", "n"]


def roles(bank: Bank) -> dict[str, dict[str, str]]:
    """For each task, by id, the expert in each role: the asymmetric rule's pick, the generic one, the best one.

    Tasks that lack one of them (no distance, no measured error) are left out.
    """
    meta = from_bank(bank)
    if meta.generic is None or not meta.experts:
        return {}
    scores = np.where(meta.allowed, Nearest().scores(meta), np.nan)
    errors = meta.candidate_errors
    usable = np.isfinite(scores).any(1) & np.isfinite(errors).any(1)
    return {
        meta.tasks[t]: {
            PICKED: meta.experts[int(np.nanargmin(scores[t]))],
            GENERIC_ROLE: GENERIC,
            BEST: meta.experts[int(np.nanargmin(errors[t]))],
        }
        for t in np.flatnonzero(usable)
    }


def efficiency_table(bank: Bank) -> pd.DataFrame:
    """Every trial on a sample of a task's images, once for each role its expert has today.

    Returns:
        ``COLUMNS``, named as in ``TrialEntry``.
    """
    trials = [t for t in bank.trials() if t.per_class]
    chosen = roles(bank) if trials else {}
    tasks, experts = called(bank.tasks()), called(bank.experts())
    rows = [
        asdict(t) | {"role": role, "task_name": tasks[t.task_id], "expert_name": experts[t.expert_id]}
        for t in trials
        for role, expert in chosen.get(t.task_id, {}).items()
        if expert == t.expert_id
    ]
    return pd.DataFrame(rows).rename(columns={"task_id": "task", "expert_id": "expert"}).reindex(columns=COLUMNS)


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """The trials of tasks that were tried with every role in every mode.

    Args:
        table: as from ``efficiency_table``, of one schedule.
    """
    ways = table.drop_duplicates(["task", "role", "mode"])["task"].value_counts()
    return table[table["task"].isin(ways.index[ways == len(ROLES) * len(MODES)])]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """The mean error over tasks of each role, mode and size, with its spread over repeats.

    A task counts that is ``complete``, a size where all those tasks have it: so all lines are of the same tasks, from
    one end to the other.

    Args:
        table: as from ``efficiency_table``, of one schedule.

    Returns:
        ``role, mode, per_class, mean, spread, repeats, tasks``: errors in %; ``spread`` is the standard deviation
        over seeds of the mean over tasks, NaN where there is one seed.
    """
    columns = ["role", "mode", "per_class", "mean", "spread", "repeats", "tasks"]
    table = complete(table)
    if table.empty:
        return pd.DataFrame(columns=columns)
    wide = table.pivot_table(index=["per_class", "seed"], columns=["role", "mode", "task"], values="error")
    by_seed = wide.dropna().T.groupby(["role", "mode"]).mean().T
    tasks = table["task"].nunique()
    rows = [
        (role, mode, int(size), float(e.mean()), float(e.std()), len(e), tasks)
        for (role, mode), column in by_seed.items()
        for size, e in column.groupby("per_class")
    ]
    return pd.DataFrame(rows, columns=columns)


def transfer_rows(trials: Sequence[TrialEntry], experts: Sequence[str]) -> list[dict[str, Any]]:
    """D_ft(a -> b) = (E[l_ab] - E[l_b]) / E[l_b] (method section 4) of every expert a and task b.

    Args:
        trials: fine-tuned ones on all images, of ``experts`` and of the generic network, of the same seeds.
        experts: ids.

    Returns:
        A row a pair: ``source, target, d_ft``, its standard deviation ``spread`` over ``repeats`` (pairs of
        trainings of one seed; None for a single one), and both mean errors in %. Negative is a gain; ``d_ft`` is None
        where the generic network makes no error, and no gain can be measured.
    """
    errors: dict[tuple[str, str], dict[int, float]] = {}
    for t in trials:
        errors.setdefault((t.task_id, t.expert_id), {})[t.seed] = t.error
    rows = []
    for target in dict.fromkeys(t.task_id for t in trials):
        base = errors[target, GENERIC]
        for expert in experts:
            own = errors[target, expert]
            seeds = sorted(base.keys() & own.keys())
            e_b, e_ab = (np.array([of[s] for s in seeds]) for of in (base, own))
            gains = (e_ab - e_b) / e_b.mean() if e_b.mean() > 0 else None
            rows.append(
                {
                    "source": expert,
                    "target": target,
                    "d_ft": None if gains is None else float(gains.mean()),
                    "spread": None if gains is None or len(seeds) < 2 else float(gains.std(ddof=1)),
                    "repeats": len(seeds),
                    "error": float(e_ab.mean()),
                    "generic_error": float(e_b.mean()),
                }
            )
    return rows
