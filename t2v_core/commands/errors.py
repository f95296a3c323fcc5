"""The command ``errors``: how much of the error matrix is measured, and measuring the rest."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from t2v_core.bank.bank import Bank
from t2v_core.bank.coverage import missing_cells
from t2v_core.commands.images import add_images, image_arguments
from t2v_core.commands.jobs import add_background, submit
from t2v_core.commands.output import Reporter, show_facts


def add_errors(command: Callable[..., argparse.ArgumentParser], commands: Any) -> None:
    """Add the command and its action to the parser.

    Args:
        command: adds one command with the options that all of them have.
        commands: where.
    """
    shown = command(commands, "errors", _errors, show_facts, "How much of the error matrix is measured; fill it.")
    actions = shown.add_subparsers(metavar="ACTION")
    about = "Measure the missing errors of tasks whose images are given. Start it twice to use two processes."
    fill = command(actions, "fill", _fill, show_facts, about)
    add_images(fill)
    fill.add_argument("--experts", nargs="+", metavar="ID", help="under these experts alone")
    add_background(fill)


def _errors(o: argparse.Namespace) -> dict[str, Any]:
    bank = Bank(o.bank, demo=True)
    counts = bank.counts()
    return {
        "tasks": counts["tasks"],
        "experts": counts["experts"],
        "measured": counts["errors"],
        "missing": sum(missing_cells(bank).values()),
    }


def _fill(o: argparse.Namespace) -> dict[str, Any]:
    bank = Bank(o.bank, demo=True)
    arguments = image_arguments(o) | {"experts": o.experts}
    if o.background:
        return submit(bank, "fill", "error matrix", arguments)
    from t2v_core.filling import FillOptions, fill

    return fill(bank, FillOptions(**arguments), Reporter())
