"""All methods side by side (WLF Table 1): what each loses on every kind of target, what it needs, what it costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from t2v_core.bank.methods import MethodRecord
from t2v_core.selection.audit import Audit
from t2v_core.selection.measured import NORM
from t2v_core.selection.regret import estimates, relative_increase
from t2v_core.selection.selectors import Oracle

SAME_WORK = {
    "asymmetric": "task2vec",
    "symmetric": "task2vec",
    "asymmetric + 3 heads": "task2vec",
    "model2vec": "task2vec",
}
"""Rules whose scores come out of another's work on the target's images."""

NOTHING = ("chance", "generic", "static")
"""Rules that do not look at the target."""

ORACLE = Oracle()


def method_table(audits: Mapping[str, Audit], records: Mapping[str, MethodRecord]) -> pd.DataFrame:
    """One row a rule, the oracle first.

    Args:
        audits: by kind of target, from ``audit_bank``.
        records: of the methods measured on the bank, by name.

    Returns:
        By rule: ``title, needs`` (words); ``target`` (processor seconds for one target and all experts, heads to be
        fitted included; NaN where it was not measured), ``seconds`` (its share for one expert), ``once`` (for one
        expert, when the bank is built); for every kind ``<kind>, <kind>_low, <kind>_high`` (mean relative error
        increase in % with its 95 % interval).
    """
    rows: dict[str, dict[str, object]] = {ORACLE.name: {"title": ORACLE.title}}
    for found in audits.values():
        for name, judged in found.judged.items():
            rows.setdefault(name, {"title": judged.title})
    for name, row in rows.items():
        row |= {"needs": _needs(name, records), **_cost(name, audits, records)}
        for kind, found in audits.items():
            measured = found.judged[name].increase if name in found.judged else None
            mean, low, high = (measured.mean, measured.low, measured.high) if measured else (0.0, 0.0, 0.0)
            row |= {kind: mean, f"{kind}_low": low, f"{kind}_high": high}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")


def networks_table(audit: Audit, record: MethodRecord) -> pd.DataFrame:
    """WLF Figure 7: ``networks, batches, mean, low, high``, the loss in % of few networks with many batches each.

    Args:
        audit: of the twin targets.
        record: of the run, whose facts hold the experts picked; those that have come since had no chance.
    """
    meta, facts = audit.meta, record.facts
    errors = pd.DataFrame(meta.candidate_errors, meta.tasks, meta.experts).reindex(columns=facts["experts"])
    errors["none"] = np.nan  # the last column: of what is not found
    here = [i for i, task in enumerate(facts["targets"]) if task in errors.index]
    chosen = errors.loc[[facts["targets"][i] for i in here]]
    values, best = chosen.to_numpy(), chosen.min(axis=1).to_numpy()
    picked = [errors.columns.get_indexer([picks[i] for i in here]) for picks in facts["picks"].values()]
    losses = np.column_stack([relative_increase(values[range(len(here)), p], best, audit.offset) for p in picked])
    found = [e.within(0) for e in estimates(losses)]
    rows = [
        (int(count), facts["budget"] // int(count), e.mean, e.low, e.high)
        for count, e in zip(facts["picks"], found, strict=True)
    ]
    return pd.DataFrame(rows, columns=["networks", "batches", "mean", "low", "high"])


def _record(name: str, records: Mapping[str, MethodRecord]) -> MethodRecord | None:
    """The method whose work a rule's scores come out of: credit for norms costs nothing."""
    return records.get(SAME_WORK.get(name, name)) or records.get(name.removesuffix(NORM))


def _needs(name: str, records: Mapping[str, MethodRecord]) -> str:
    """What of a target a rule has to be given."""
    if name in NOTHING:
        return "nothing"
    record = _record(name, records)
    if record is None:
        return "not measured"
    parts = ["images", *(["labels"] if record.labels else []), *(["every expert"] if record.every_expert else [])]
    return ", ".join(parts)


def _cost(name: str, audits: Mapping[str, Audit], records: Mapping[str, MethodRecord]) -> dict[str, float]:
    """Seconds for one target and all experts, the share of one expert, and once for one expert."""
    if name in NOTHING:
        return {"target": 0.0, "seconds": 0.0, "once": 0.0}
    record, oracle = _record(name, records), records.get(ORACLE.name)
    if record is None:
        return {"target": np.nan, "seconds": np.nan, "once": np.nan}
    audit = next(iter(audits.values()))
    experts = len(audit.meta.experts)
    heads = audit.judged[name].heads if name in audit.judged else 0
    target = record.target + experts * record.seconds
    if heads:
        target += heads * oracle.seconds if oracle else np.nan
    return {"target": target, "seconds": target / experts, "once": record.once}
