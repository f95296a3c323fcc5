"""The command ``report``: what the pages show, as one HTML file."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_core.bank.bank import Bank
from t2v_core.commands.arguments import target
from t2v_core.commands.output import show_facts
from t2v_core.errors import InputError


def add_report(command: Callable[..., argparse.ArgumentParser], commands: Any) -> None:
    """Add the command to the parser.

    Args:
        command: adds one command with the options that all of them have.
        commands: where.
    """
    about = "Write one HTML file with interactive figures of the bank; it opens anywhere, without a server."
    added = command(commands, "report", _run, show_facts, about)
    added.add_argument("--out", type=Path, required=True, metavar="FILE.html")
    added.add_argument("--task", metavar="ID", help="also rank the experts for this task of the bank, in front")
    more = "tasks of the bank to bring out on the maps; two or more are compared, too"
    added.add_argument("--chosen", metavar="ID", nargs="+", default=[], help=more)


def _run(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.report.bank import bank_report
    from t2v_core.report.ranking import rank_in_bank

    begin, out = time.perf_counter(), target(o.out)
    bank = Bank(o.bank, demo=True)
    chosen = [*([o.task] if o.task else []), *o.chosen]
    if unknown := set(o.chosen) - {task.id for task in bank.tasks()}:
        raise InputError(f"there is no task {min(unknown)!r} in the bank; `bank list` and the page “Bank” show the ids")
    content = bank_report(bank, rank_in_bank(bank, o.task) if o.task else (), chosen)
    out.write_text(content, encoding="utf-8")
    return {"file": str(out), "bytes": out.stat().st_size, "seconds": round(time.perf_counter() - begin, 1)}
