"""What a rule of choice has cost in a bank so far, beside always taking one and the same expert."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from t2v_core.bank.methods import name_by
from t2v_core.embedding.record import PSEUDOTASK
from t2v_core.probe.record import BUNDLED
from t2v_core.selection.audit import Audit
from t2v_core.selection.regret import Estimate, picked
from t2v_core.selection.ways import DEFAULT, Way
from t2v_core.selection.words import interval


@dataclass(frozen=True)
class TrackRecord:
    """A rule's regret and the static rule's, in %.

    Attributes:
        kind: of the targets; ``"all"`` for those of every kind.
        rule: name of the selector.
        increase: its mean relative error increase.
        static: the static rule's, which for every target takes the expert best on the others.
        static_name: the expert that rule took most often.
        with_labels: the default rule's, which reads labels, beside a rule that does not; else None.
        sentence: all of it in words.
    """

    kind: str
    rule: str
    increase: Estimate
    static: Estimate
    static_name: str
    with_labels: Estimate | None
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """By name, ready for JSON."""
        return asdict(self) | {
            "increase": self.increase.as_json(),
            "static": self.static.as_json(),
            "with_labels": None if self.with_labels is None else self.with_labels.as_json(),
        }


def track_records(audits: dict[str, Audit], way: Way, probe_id: str = BUNDLED) -> list[TrackRecord]:
    """The record of one way on every kind of target it was audited on; none if on no kind.

    Args:
        audits: from ``audit_by_kind``.
        way: how experts are ranked.
        probe_id: of the probe that PseudoTask has for a teacher.
    """
    # PseudoTask goes by another name once the weight of its sources' norms is tuned on the bank's targets.
    name = name_by(way.name, probe_id) if way.name == PSEUDOTASK else way.name
    names = (f"{name}-norm", name)
    return [record for kind, found in audits.items() if (record := _record(kind, found, way, names)) is not None]


def _record(kind: str, found: Audit, way: Way, names: tuple[str, ...]) -> TrackRecord | None:
    rule = next((name for name in names if name in found.judged), None)
    if rule is None:
        return None
    mine, static = found.judged[rule], found.judged["static"]
    if not mine.increase.tasks or not static.increase.tasks:
        return None
    with_labels = None if way.labels else found.judged[DEFAULT].increase
    if with_labels and not with_labels.tasks:  # another probe's embeddings, by which no task of the bank is known
        with_labels = None
    often = picked(found.meta.candidate_errors, static.scores).sum(0)
    name = found.meta.expert_names[int(np.argmax(often))]
    same = np.count_nonzero(often) == 1
    always = f"always taking {name}" if same else f"taking the expert best on the other tasks, mostly {name},"
    sentence = (
        f"In {found.meta.name}, this rule loses {_cost(mine.increase)}; "
        + (f"the default rule, which needs labels, loses {_cost(with_labels)}; " if with_labels else "")
        + f"{always} would lose {_cost(static.increase)}."
    )
    return TrackRecord(kind, rule, mine.increase, static.increase, name, with_labels, sentence)


def _cost(e: Estimate) -> str:
    return f"{e.mean:.0f} % on average{interval(e, 0)}"
