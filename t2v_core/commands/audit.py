"""The command ``audit``: how much a selector loses, by a person's error matrix or by the bank's."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError


def add_audit(command: Callable[..., argparse.ArgumentParser], commands: Any) -> None:
    """Add the command to the parser.

    Args:
        command: adds one command with the options that all of them have.
        commands: where.
    """
    about = "Judge scores by an error matrix, beside chance and static; without files, the bank's own selectors."
    added = command(commands, "audit", _run, _show, about)
    added.add_argument("--errors", type=Path, metavar="E.csv", help="errors in %%: tasks down, experts across")
    added.add_argument("--scores", type=Path, metavar="S.csv", help="scores by the same labels; the lowest is picked")
    added.add_argument("--larger-is-better", action="store_true", help="the highest score is picked")
    added.add_argument(
        "--denominator-offset",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="added to the best error that an increase is relative to; 1 where a best error is 0",
    )
    added.add_argument("--generic", metavar="LABEL", help="the expert that was not fine-tuned: compared, never picked")
    added.add_argument(
        "--over",
        nargs="+",
        default=["static", "asymmetric"],
        metavar="RULE",
        help="without files: the rules of the bank to give paired differences to (default: static asymmetric)",
    )


def _run(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.selection.report import audit_files, audit_rows

    if (o.errors is None) != (o.scores is None):
        raise InputError("an audit of files needs both --errors and --scores; without both it is of the bank")
    if o.errors is None:
        return audit_rows(Bank(o.bank, demo=True), o.seed, o.over)
    return audit_files(
        o.errors,
        o.scores,
        larger_is_better=o.larger_is_better,
        generic=o.generic,
        offset=o.denominator_offset,
        seed=o.seed,
    )


def _show(result: dict[str, Any]) -> None:
    from t2v_core.selection.report import audit_text

    print(audit_text(result))
