"""The command line: the same capabilities without a browser.

Exit codes: 0 done, 1 the work failed, 2 the input is at fault. With ``--json`` standard output holds one
JSON object and nothing else; progress always goes to standard error. torch is loaded only by the commands
that compute.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from t2v_core import __version__
from t2v_core.bank.bank import Bank, default_location
from t2v_core.bank.records import called
from t2v_core.commands.arguments import target
from t2v_core.commands.audit import add_audit
from t2v_core.commands.bank import add_bank
from t2v_core.commands.errors import add_errors
from t2v_core.commands.experts import add_experts_commands
from t2v_core.commands.output import say, tell
from t2v_core.commands.probes import add_probes
from t2v_core.commands.report import add_report
from t2v_core.commands.tasks import add_tasks
from t2v_core.embedding.record import DOMAIN, PSEUDOTASK
from t2v_core.embedding.tangent_kernel import TANGENT
from t2v_core.errors import InputError
from t2v_core.plain_json import as_json

NEAREST = 10
"""Pairs of tasks that ``distances`` names."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    options = _parser().parse_args(arguments)
    try:
        result = options.run(options)
    except InputError as error:
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        say("stopped")
        return 1
    except Exception as error:
        logging.getLogger(__name__).debug("failed", exc_info=True)
        say(f"error: the work failed: {type(error).__name__}: {error}")
        return 1
    try:
        if options.json:
            print(as_json(result))
        else:
            options.show(result)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough; without this Python complains once more as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if fault := result.get("fault"):
        say(f"error: {fault}")
        return 1
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {message}; `{self.prog} --help` tells more")
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    # Without defaults of their own: those of an action would undo what was said before its name.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--bank", help=f"folder or database URL (default: {default_location()})")
    common.add_argument("--device", help="auto (the default), cpu or cuda")
    common.add_argument("--seed", type=_seed, help="of all that is drawn at random (default: 0)")
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object")

    parser = _Parser(prog="python -m t2v_core", description="Which pre-trained expert to start from.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(bank=default_location(), device="auto", seed=0, json=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(where: Any, name: str, run: Any, show: Any, about: str) -> argparse.ArgumentParser:
        added = where.add_parser(name, parents=[common], help=about, description=about)
        added.set_defaults(run=run, show=show)
        return added

    add_tasks(command, commands)
    add_bank(command, commands)
    added = command(commands, "distances", _distances, _show_distances, "Distances between all tasks of the bank.")
    added.add_argument(
        "--metric", default="symmetric", choices=["symmetric", "asymmetric", DOMAIN, PSEUDOTASK, TANGENT]
    )
    added.add_argument("--out", type=Path, metavar="matrix.csv", help="write the whole matrix here")
    add_experts_commands(command, commands)
    add_errors(command, commands)
    add_audit(command, commands)
    add_report(command, commands)
    add_probes(command, commands)
    return parser


def _seed(text: str) -> int:
    """A seed, from 0 up."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 up, got {text!r}")
    return int(text)


def _distances(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.space.matrix import nearest_pairs, task_distances

    out = target(o.out) if o.out else None
    bank = Bank(o.bank, demo=True)
    frame = task_distances(bank, o.metric)
    if frame.empty:
        raise InputError(
            f"the bank at {o.bank} holds no distances of this kind ({o.metric}); see `bank methods --help`"
        )
    if out:
        frame.to_csv(out)
    names = called(bank.tasks())
    nearest = [{"target": names[a], "source": names[b], "distance": d} for a, b, d in nearest_pairs(frame, NEAREST)]
    result = {"metric": o.metric, "tasks": list(frame.index), "nearest": nearest, "file": str(o.out) if o.out else None}
    return result if o.out else result | {"matrix": frame.to_numpy().tolist()}


def _show_distances(r: dict[str, Any]) -> None:
    print(f"{len(r['tasks'])} tasks, {r['metric']} distance; the nearest:")
    for pair in r["nearest"]:
        tell(f"{pair['distance']:9.5f}  {pair['target']} – {pair['source']}")
    tell(f"written to {r['file']}" if r["file"] else "The whole matrix: --out matrix.csv, or --json.")
