"""The command ``bank``: contents, building, checking, import and export."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import UPLOAD
from t2v_core.commands.output import Reporter, show_facts, show_rows
from t2v_core.errors import InputError


def add_bank(command: Callable[..., argparse.ArgumentParser], commands: Any) -> None:
    """Add the command and its actions to the parser.

    Args:
        command: adds one command with the options that all of them have.
        commands: where.
    """
    bank = commands.add_parser("bank", help="Contents, building, import, export.").add_subparsers(
        required=True, metavar="ACTION"
    )
    command(bank, "list", _bank_list, show_rows, "List the tasks.")
    command(bank, "info", _bank_info, show_facts, "Counts, probes, how it was built.")
    built = command(bank, "build", _bank_build, show_facts, "Compute a bank of demo tasks from a data set.")
    built.add_argument("dataset", choices=["cifar100"])
    built.add_argument(
        "--data", type=Path, required=True, help="CIFAR-100 as train/<class>/* and test/<class>/*, folder or zip"
    )
    built.add_argument("--probe", default="bundled")
    built.add_argument("--workers", type=int, default=2)
    about = (
        "Measure every method of choosing an expert on the bank's tasks, with its cost; goes on where it was cut off."
    )
    measured = command(bank, "methods", _bank_methods, show_facts, about)
    measured.add_argument("dataset", choices=["cifar100"])
    measured.add_argument("--data", type=Path, required=True, help="the images the bank was built from, folder or zip")
    measured.add_argument(
        "--probe", default="bundled", help="PseudoTask's teacher; by another, PseudoTask alone is measured"
    )
    measured.add_argument("--only", nargs="+", metavar="METHOD", help="these methods alone")
    measured.add_argument("--again", action="store_true", help="also those that were measured before")
    about = "Give tasks made by code the small pictures they lack, in a bank built before banks kept any."
    command(bank, "pictures", _bank_pictures, show_facts, about)
    for name, run, about in (
        ("import", _bank_import, "Add an exported bank."),
        ("export", _bank_export, "Write the bank to one zip."),
    ):
        command(bank, name, run, show_facts, about).add_argument("file", type=Path)
    about = "Take a task that you added out of the bank, with all that was measured on it."
    command(bank, "remove", _bank_remove, show_facts, about).add_argument(
        "task", help="its id, as `bank list` shows it"
    )
    verified = command(bank, "verify", _bank_verify, show_facts, "Recompute one task and one error; compare.")
    verified.add_argument("--data", type=Path, help="CIFAR-100; without it a task made by code is checked")
    verified.add_argument("--task")
    verified.add_argument("--expert")


def _bank_list(o: argparse.Namespace) -> dict[str, Any]:
    tasks = Bank(o.bank, demo=True).tasks()
    return {
        "rows": [
            {"id": t.id, "name": t.name, "kind": t.kind, "classes": len(t.classes), "images": sum(t.counts)}
            for t in tasks
        ]
    }


def _bank_info(o: argparse.Namespace) -> dict[str, Any]:
    bank = Bank(o.bank, demo=True)
    probes = [f"{i.title}, {i.dimension} filters, weights {h[:12]}" for h, i in bank.probes().items()]
    return {"bank": o.bank, **bank.counts(), "probes": probes, **bank.facts()}


def _bank_build(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.building import build_demo
    from t2v_core.task.worlds.demo import demo_tasks

    report = Reporter()
    begin = time.perf_counter()
    tasks = demo_tasks(o.data, o.seed, lambda done, total, text: report("reading CIFAR-100", done, total, text))
    bank = Bank(o.bank)
    seconds = build_demo(bank, tasks, probe_name=o.probe, workers=o.workers, seed=o.seed, report=report)
    bank.close()
    return {"bank": o.bank, **bank.counts(), "seconds": round(time.perf_counter() - begin, 1), "stages": seconds}


def _bank_methods(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.measuring.run import measure
    from t2v_core.probe.probe import pick_device
    from t2v_core.probe.registry import load_probe
    from t2v_core.selection.bank_audit import audit_bank
    from t2v_core.selection.meta_task import from_bank
    from t2v_core.task.worlds.demo import demo_tasks

    report = Reporter()
    bank = Bank(o.bank, demo=True)
    tasks = demo_tasks(o.data, o.seed, lambda done, total, text: report("reading CIFAR-100", done, total, text))
    probe = load_probe(
        o.probe, pick_device("cpu"), lambda done, total, text: report("loading the probe", done, total, text)
    )
    seconds = measure(bank, tasks, o.only, seed=o.seed, report=report, probe=probe, again=o.again)
    report("judging the methods", 0, 0, "")
    audit_bank(bank, from_bank(bank), learned=True, seed=o.seed)  # what it learns is kept in the bank
    return {"bank": o.bank, "seconds": {name: round(value, 1) for name, value in seconds.items()}}


def _bank_pictures(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.bank.thumbnails import add_missing
    from t2v_core.task.worlds import glyphs, synthetic

    bank = Bank(o.bank, demo=True)
    added = add_missing(bank, [*glyphs.tasks(o.seed), *synthetic.tasks(o.seed)])
    bank.close()
    return {"bank": o.bank, "added": added}


def _bank_remove(o: argparse.Namespace) -> dict[str, Any]:
    bank = Bank(o.bank, demo=True)
    if any(t.id == o.task and t.kind != UPLOAD for t in bank.tasks()):
        raise InputError(f"task {o.task!r} belongs to the bank; only tasks that people added can be removed")
    bank.delete_task(o.task)
    return {"removed": o.task}


def _bank_verify(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.building import verify
    from t2v_core.task.worlds import synthetic
    from t2v_core.task.worlds.demo import demo_tasks

    bank = Bank(o.bank, demo=True)
    tasks = demo_tasks(o.data, o.seed) if o.data else synthetic.tasks(o.seed)
    return verify(bank, tasks, o.task, o.expert, Reporter())


def _bank_import(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.bank.transfer import import_bank

    if not o.file.is_file():
        raise InputError(f"'{o.file}' does not exist; give a zip written by `bank export`")
    return import_bank(Bank(o.bank), o.file)


def _bank_export(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.bank.transfer import export_bank

    export_bank(Bank(o.bank, demo=True), o.file)
    return {"file": str(o.file), "bytes": o.file.stat().st_size}
