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

    Clearly: the interval of the difference on the same images does not reach 0 (``experts.compare.paired_gain``).

    Args:
        ranking: rows of a result's ``ranking``, nearest first: ``expert_id, name, rank`` and ``fitted``, which is None
            or holds ``accuracy, low, high`` and ``over_nearest`` and ``over_generic``, each ``gain, low, high``. A
            result of an earlier version lacks the two; there intervals must not overlap.
        generic: the generic network's ``fitted`` part; None where no head was fitted on it.
    """
    first = ranking[0]
    fitted = [row for row in ranking if row["fitted"]]
    if not fitted:
        return Advice(first["expert_id"], first["name"], False, "")
    top = max(fitted, key=lambda row: row["fitted"]["accuracy"])
    best, nearest = top["fitted"], first["fitted"]
    over_generic = _gain(best, "over_generic", generic) if generic else None
    if generic and over_generic and over_generic["high"] < 0:
        sentence = (
            f"On your own images a head on the generic network, without any fine-tuning, gets {_shares(generic)} "
            f"right, on the best expert compared {_shares(best)}: start from the generic network."
        )
        return Advice(GENERIC, "the generic network", True, sentence)
    doubt = ""
    if over_generic and over_generic["low"] <= 0:
        doubt = f" No expert is clearly better than the generic network: the best one by {_points(over_generic)}."
    elif over_generic:
        doubt = f" The best one is clearly ahead of the generic network: {_points(over_generic)}."
    if nearest and top is not first and _gain(best, "over_nearest", nearest)["low"] > 0:
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


def _gain(best: Mapping[str, Any], name: str, other: Mapping[str, Any]) -> Mapping[str, float]:
    """The paired difference, or what two intervals allow."""
    apart = {key: best[key] - other[against] for key, against in (("low", "high"), ("high", "low"))}
    return best.get(name) or {"gain": best["accuracy"] - other["accuracy"], **apart}


def _shares(fitted: Mapping[str, Any]) -> str:
    return f"{fitted['accuracy']:.0%} [{fitted['low']:.0%}, {fitted['high']:.0%}]"


def _points(gain: Mapping[str, float]) -> str:
    return f"{100 * gain['gain']:+.0f} points [{100 * gain['low']:.0f}, {100 * gain['high']:.0f}] on the same images"
