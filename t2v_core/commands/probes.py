"""The command ``probes``: which are at hand, and training the bundled one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_core.commands.arguments import target
from t2v_core.commands.output import Reporter, show_facts, show_rows
from t2v_core.errors import InputError


def add_probes(command: Callable[..., argparse.ArgumentParser], commands: Any) -> None:
    """Add the command and its action to the parser.

    Args:
        command: adds one command with the options that all of them have.
        commands: where.
    """
    listed = command(commands, "probes", _probes, show_rows, "List the probes; or train the bundled one.")
    trained = listed.add_subparsers(metavar="ACTION")
    action = command(trained, "train-bundled", _train_bundled, show_facts, "Train the bundled probe on CIFAR-10.")
    action.add_argument("--data", type=Path, required=True, help="CIFAR-10 as train/<class>/* and test/<class>/*")
    action.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: into the package)")
    action.add_argument("--parts", type=Path, metavar="DIR", help="keep each finished part here, and go on from them")
    action.add_argument("--epochs", type=int, help="of each part at most (default: 200, 60, 60 and 60)")


def _probes(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.probe.weights import statuses

    return {"rows": [{"id": s.id, "title": s.title, "note": s.note} for s in statuses()]}


def _train_bundled(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.probe.bundled import SPEC, WEIGHTS
    from t2v_core.probe.bundled_training import RECIPE, train_bundled
    from t2v_core.probe.probe import pick_device
    from t2v_core.task.decoding import decode
    from t2v_core.task.reading import scan

    report = Reporter()
    task = scan(o.data, trusted=True).tasks[0]
    decoded = decode(task, SPEC, progress=lambda *p: report("reading CIFAR-10", *p))
    train, test = decoded.take(~decoded.task.held_out), decoded.take(decoded.task.held_out)
    if len(train.task.classes) != 10 or not len(test):
        raise InputError(f"{o.data} is not CIFAR-10 with train/<class>/ and test/<class>/ of ten classes")
    folder = target(o.out, folder=True) if o.out else WEIGHTS.parent
    folder.mkdir(parents=True, exist_ok=True)
    recipe = RECIPE.varied(o.seed, o.epochs)
    card = train_bundled(train, test, recipe, pick_device(o.device), folder, o.parts, report)
    shown = {name: card[name] for name in ("test_accuracy", "test_accuracy_float32")}
    return {**shown, "folder": str(folder)}
