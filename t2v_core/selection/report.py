"""An audit as JSON and as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError
from t2v_core.selection.audit import Audit, audit, audit_table
from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.meta_task import from_bank
from t2v_core.selection.regret import Estimate, best_first, picked
from t2v_core.selection.tables import meta_task_from_csv, scores_from_csv
from t2v_core.selection.words import interval


def audit_files(
    errors: Path,
    scores: Path,
    *,
    larger_is_better: bool = False,
    generic: str | None = None,
    offset: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge a person's scores by a person's error matrix.

    Args:
        errors, scores: CSV files (see ``tables``).
        larger_is_better: the scores are similarities.
        generic: label of the expert that was not fine-tuned, where there is one.
        offset: added to the denominator of the relative increase, in %.
        seed: of the bootstrap.

    Returns:
        ``optimal`` (mean error of the best candidate, %); ``chance, static, generic, selected`` (relative
        error increase, %); each ``mean, low, high, tasks``. ``differences`` (points by which the selector is
        better than each of them), ``kendall``, ``top_k`` (0..1), ``verdict``, ``per_task``, ``missing``,
        ``notes``, ``offset``, ``seed``. What is not defined is None.

    Raises:
        InputError: the files cannot be audited.
    """
    meta = meta_task_from_csv(errors, generic)
    selector, notes = scores_from_csv(meta, scores, larger_is_better=larger_is_better)
    found = audit(meta, [selector], offset=offset, seed=seed)
    mine = found.judged[selector.name]
    return {
        "optimal": found.optimal.as_json(),
        **{name: j.increase.as_json() for name, j in found.judged.items()},
        "differences": {name: gain.as_json() for name, gain in mine.gains.items()},
        "kendall": mine.tau.as_json(),
        "top_k": {str(k): hit.as_json() for k, hit in mine.hits.items()},
        "verdict": mine.verdict,
        "per_task": _per_task(found, selector.name),
        "missing": found.missing,
        "notes": [*notes, *found.notes, *mine.notes],
        "offset": offset,
        "seed": seed,
    }


def audit_rows(bank: Bank, seed: int = 0, over: Sequence[str] = ("static", "asymmetric")) -> dict[str, Any]:
    """The audit of all selectors of a bank as ``rows``, one a kind of target and rule (see ``audit_table``); and
    ``why_static`` by kind (see ``Audit``).

    Args:
        bank: the bank.
        seed: of the bootstrap.
        over: rules to give the paired difference to.

    Raises:
        InputError: there is no such rule.
    """
    audits = audit_bank(bank, from_bank(bank), learned=True, seed=seed)
    rules = {name for found in audits.values() for name in found.judged}
    for rule in over if audits else ():
        if rule not in rules:
            raise InputError(f"there is no rule {rule!r} in the bank at {bank.location}; choose among {sorted(rules)}")
    table = audit_table(audits, over=over)
    why = {kind: found.why_static for kind, found in audits.items() if found.why_static}
    rows = json.loads(table.to_json(orient="records"))
    return {"bank": bank.location, "rows": rows, "why_static": why, "seed": seed}


def audit_text(result: dict[str, Any]) -> str:
    """The result of ``audit_files`` or ``audit_rows`` for people."""
    if "rows" in result:
        table = pd.DataFrame(result["rows"])
        if table.empty:
            return "no measured errors"
        shown = table.drop(columns="verdict").round(2).to_string(index=False)
        return "\n\n".join([shown, *(f"{kind}: {why}" for kind, why in result["why_static"].items())])
    lines = [f"note: {note}" for note in result["notes"]]
    lines += ["", f"best possible expert: {_cell(result['optimal'])} % error", ""]
    lines.append(f"{'rule':<10} {'error increase over the best, %':<34} tasks")
    for name in ("chance", "generic", "static", "selected"):
        if name in result:
            lines.append(f"{name:<10} {_cell(result[name]):<34} {result[name]['tasks']}")
    lines += ["", result["verdict"], f"weighted Kendall tau with the errors: {_cell(result['kendall'], 2)}"]
    for k, hit in result["top_k"].items():
        lines.append(f"the best expert is among the first {k}: {_cell(hit, 2)} of tasks")
    return "\n".join(lines).lstrip("\n")


def _per_task(found: Audit, name: str) -> list[dict[str, Any]]:
    """One entry a task: what was selected and what would have been best; None where there is neither."""
    meta, judged = found.meta, found.judged[name]
    errors, lowest = meta.candidate_errors, meta.best
    tied = picked(errors, judged.scores).sum(1)
    first, best = best_first(errors, judged.scores)[:, 0], best_first(errors, errors)[:, 0]
    return [
        {
            "task": meta.task_names[t],
            "selected": meta.expert_names[first[t]] if tied[t] else None,
            "selected_error": _defined(judged.error[t]),
            "tied": int(tied[t]),
            "best": meta.expert_names[best[t]] if np.isfinite(lowest[t]) else None,
            "best_error": _defined(lowest[t]),
            "increase": _defined(judged.regret[t]),
        }
        for t in range(len(meta.tasks))
    ]


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cell(e: dict[str, Any], digits: int = 1) -> str:
    mean, low, high = (np.nan if e[name] is None else e[name] for name in ("mean", "low", "high"))
    found = Estimate(mean, low, high, e["tasks"])
    return f"{found.mean:.{digits}f}{interval(found, digits)}" if found.tasks else "-"
