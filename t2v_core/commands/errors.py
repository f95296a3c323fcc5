"""The command ``errors``: how much of the error matrix is measured, and measuring the rest."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_core.bank.bank import Bank
from t2v_core.commands.experts import add_background, submit
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


def add_images(to: argparse.ArgumentParser) -> None:
    """The options by which a person gives the images of the bank's tasks."""
    to.add_argument("paths", nargs="*", metavar="PATH", help="folders or zips, one a task, as they were embedded")
    to.add_argument("--data", type=Path, help="CIFAR-100, of which the demo tasks are made")
    to.add_argument("--tasks", nargs="+", metavar="ID", help="these tasks alone")
    to.add_argument("--attribute", help="which attribute column of labels.csv")
    to.add_argument("--max-images", type=int, default=2000, metavar="M", help="as they were embedded")


def image_arguments(o: argparse.Namespace) -> dict[str, Any]:
    """What ``add_images`` asked for, as JSON."""
    return {
        "paths": [str(Path(path).resolve()) for path in o.paths],
        "data": str(o.data.resolve()) if o.data else None,
        "tasks": o.tasks,
        "attribute": o.attribute,
        "max_images": o.max_images,
        "seed": o.seed,
        "device": o.device,
    }


def _errors(o: argparse.Namespace) -> dict[str, Any]:
    bank = Bank(o.bank, demo=True)
    counts = bank.counts()
    cells = counts["tasks"] * counts["experts"]
    return {
        "tasks": counts["tasks"],
        "experts": counts["experts"],
        "measured": counts["errors"],
        "missing": cells - counts["errors"],
    }


def _fill(o: argparse.Namespace) -> dict[str, Any]:
    bank = Bank(o.bank, demo=True)
    arguments = image_arguments(o) | {"experts": o.experts}
    if o.background:
        return submit(bank, "fill", "error matrix", arguments)
    from t2v_core.filling import FillOptions, fill

    return fill(bank, FillOptions(**arguments), Reporter())
