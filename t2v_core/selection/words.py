"""An audit in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from t2v_core.errors import printable
from t2v_core.selection.regret import Estimate

SHOWN = 3

LONGEST = 60
"""Letters shown of a name."""


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more."""
    more = len(names) - SHOWN
    return ", ".join(quoted(n) for n in names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def quoted(name: str) -> str:
    """A name that comes from a person's file, fit for a line on a terminal."""
    plain = printable(name[: LONGEST + 1])
    return f"'{plain}'" if len(plain) <= LONGEST else f"'{plain[:LONGEST]}…'"


def counted(number: int, thing: str, things: str | None = None) -> str:
    """How many there are: ``1 task``, ``2,000 tasks``."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def interval(e: Estimate, digits: int = 1) -> str:
    """`` [low, high]`` with a leading space; nothing where no interval is defined."""
    return "" if np.isnan(e.low) else f" [{_number(e.low, digits)}, {_number(e.high, digits)}]"


def verdict(increase: Estimate, gains: Mapping[str, Estimate], all_equal: bool) -> str:
    """What a selector is worth, in one sentence; static, the one to beat, is named first.

    Args:
        increase: its relative error increase in %.
        gains: per reference, in percentage points; positive where the selector is better.
        all_equal: on every task all candidates do equally well.
    """
    if all_equal:
        return "All candidates do equally well on every task: there is nothing to select."
    if not increase.tasks:
        return "It names no candidate on any task."
    order = sorted(gains, key=lambda name: name != "static")
    compared = [_compared(name, gains[name]) for name in order if gains[name].tasks]
    cost = f"{_number(increase.mean)} %{interval(increase)}"
    return f"Loses {cost} against the best expert; {'; '.join(compared)}." if compared else f"Loses {cost}."


def _compared(reference: str, gain: Estimate) -> str:
    size = f"{_number(abs(gain.mean))} points"
    if gain.tasks == 1:
        return (
            f"{size} {'better' if gain.mean >= 0 else 'worse'} than {reference} on the only task, which proves nothing"
        )
    if gain.low > 0:
        return f"beats {reference} by {size}{interval(gain)}"
    if gain.high < 0:
        return f"loses to {reference} by {size}{interval(Estimate(-gain.mean, -gain.high, -gain.low, gain.tasks))}"
    return f"cannot be told apart from {reference} ({_number(gain.mean)} points better{interval(gain)})"


def _number(value: float, digits: int = 1) -> str:
    return f"{round(value, digits) + 0:.{digits}f}"  # + 0: no "-0.0"
