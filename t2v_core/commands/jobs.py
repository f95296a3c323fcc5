"""Commands that can go on in the background, as a job of the bank."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from t2v_core.bank.bank import Bank
from t2v_core.commands.output import show_facts


def add_background(to: argparse.ArgumentParser) -> None:
    """The option that makes a job of a command."""
    to.add_argument("--background", action="store_true", help="as a job, which the page Bank shows, stops and resumes")


def or_job(show: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Show a result, or which job was started to get it."""
    return lambda result: show_facts(result) if "job" in result else show(result)


def submit(bank: Bank, kind: str, title: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Start a job and say which."""
    from t2v_core.jobs.store import JobStore

    return {"job": JobStore(bank).submit(kind, title, arguments).id, "title": title}
