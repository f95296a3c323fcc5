"""Which expert to start from, once heads fitted on the person's own images have been heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2v_core.selection.meta_task import GENERIC


@dataclass(frozen=True)
class Advice:
    """What to start from.

    Attributes:
        expert_id: of the expert, or of the generic network.
        name: what people call it.
        measured: whether heads on the person's images overruled the order by distance.
        sentence: what the heads say; empty where none was fitted.
    """

    expert_id: str
    name: str
    measured: bool
    sentence: str


def advise(ranking: Sequence[Mapping[str, Any]], generic: Mapping[str, Any] | None) -> Advice:
    """The nearest expert, unless a head fitted on the person's images does clearly better on another network.

    Clearly: their 95 % intervals do not overlap. All were measured on the same images, so that is a cautious rule.

    Args:
        ranking: rows of a result's ``ranking``, nearest first: ``expert_id, name, rank`` and ``fitted``, which is None
            or holds ``accuracy, low, high``.
        generic: the generic network's ``fitted`` part; None where no head was fitted on it.
    """
    first = ranking[0]
    fitted = [row for row in ranking if row["fitted"]]
    if not fitted:
        return Advice(first["expert_id"], first["name"], False, "")
    top = max(fitted, key=lambda row: row["fitted"]["accuracy"])
    best, nearest = top["fitted"], first["fitted"]
    if generic and generic["low"] > best["high"]:
        sentence = (
            f"On your own images a head on the generic network, without any fine-tuning, gets {_shares(generic)} "
            f"right, on the best expert compared {_shares(best)}: start from the generic network."
        )
        return Advice(GENERIC, "the generic network", True, sentence)
    doubt = (
        " No expert is clearly better than the generic network." if generic and generic["high"] >= best["low"] else ""
    )
    if nearest and best["low"] > nearest["high"]:
        sentence = (
            f"On your own images a head on {top['name']} gets {_shares(best)} right, on the nearest expert "
            f"{_shares(nearest)}: start from {top['name']}."
        )
        return Advice(top["expert_id"], top["name"], True, sentence + doubt)
    ahead = (
        "The nearest expert is also the most accurate."
        if top is first
        else f"{top['name']} comes out ahead, but within the noise of the nearest expert."
    )
    return Advice(first["expert_id"], first["name"], False, ahead + doubt)


def _shares(fitted: Mapping[str, Any]) -> str:
    return f"{fitted['accuracy']:.0%} [{fitted['low']:.0%}, {fitted['high']:.0%}]"
