"""The command ``experts``: list them, train one, add what was trained elsewhere, measure how they transfer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_core.bank.bank import Bank
from t2v_core.commands.arguments import source
from t2v_core.commands.images import add_images, image_arguments
from t2v_core.commands.jobs import add_background, or_job, submit
from t2v_core.commands.output import Reporter, show_facts, show_rows, tell


def add_experts_commands(command: Callable[..., argparse.ArgumentParser], commands: Any) -> None:
    """Add the command and its actions to the parser.

    Args:
        command: adds one command with the options that all of them have.
        commands: where.
    """
    listed = command(commands, "experts", _experts, show_rows, "List the experts; or train, add and compare them.")
    actions = listed.add_subparsers(metavar="ACTION")

    train = command(actions, "train", _train, show_facts, "Fine-tune an expert on labelled images, into the bank.")
    train.add_argument("path", metavar="PATH", help="one subfolder per class, or images beside a labels.csv; or a zip")
    train.add_argument("--name", help="what to call task and expert")
    train.add_argument("--attribute", help="which attribute column of labels.csv")
    train.add_argument("--probe", default="bundled", help="embeds the task; the one this bank was built with")
    train.add_argument("--network", default="bundled", help="what is fine-tuned: bundled, resnet34, timm/<model>, ...")
    train.add_argument("--start", metavar="EXPERT_ID", help="an expert of the bank to fine-tune, in place of --network")
    train.add_argument("--max-images", type=int, default=2000, metavar="M")
    add_schedule(train, "scaled")
    add_background(train)

    added = command(actions, "add", _add, _show_added, "Add experts that were trained elsewhere.")
    added.add_argument("source", metavar="FILE_OR_NAME", help="a safetensors file, a folder of them, or a model's name")
    added.add_argument("--architecture", default="resnet20", help="of the files; a torchvision or timm/... name")
    added.add_argument("--task", metavar="TASK_ID", help="the bank's task they were trained on")
    added.add_argument("--name", help="what to call the expert")
    added.add_argument("--input-size", type=int, metavar="PIXELS", help="side of its images, where not the usual one")

    about = "Measure the transfer distance: what fine-tuning from an expert gains over the generic network."
    moved = command(actions, "transfer", _transfer, or_job(_show_transfer), about)
    moved.add_argument("--sources", nargs="+", required=True, metavar="ID", help="experts, or tasks of experts")
    about = "Measure how many images a task takes with the picked, the generic and the best expert."
    efficient = command(actions, "efficiency", _efficiency, or_job(show_rows), about)
    efficient.add_argument("--sizes", nargs="+", type=int, metavar="N", help="training images of each class")
    for added in (moved, efficient):
        add_images(added)
        added.add_argument("--repeats", type=int, default=3, metavar="N", help="seeds tried (default: %(default)s)")
        add_schedule(added, "brief")
        add_background(added)


def add_schedule(to: argparse.ArgumentParser, default: str) -> None:
    """The options of a fine-tuning."""
    to.add_argument("--schedule", default=default, help="scaled, brief or paper (default: %(default)s)")
    to.add_argument("--epochs", type=int, metavar="N", help="in place of the schedule's")
    to.add_argument("--images-per-epoch", type=int, metavar="N", help="in place of the schedule's")


def _experts(o: argparse.Namespace) -> dict[str, Any]:
    return {
        "rows": [
            {"id": e.id, "name": e.name, "architecture": e.architecture, "trained_on": e.task_id or "-"}
            for e in Bank(o.bank, demo=True).experts()
        ]
    }


def _train(o: argparse.Namespace) -> dict[str, Any]:
    path = source(o.path)
    bank = Bank(o.bank, demo=True)
    names = ("name", "attribute", "probe", "network", "start", "max_images", "schedule", "epochs", "images_per_epoch")
    arguments = {name: getattr(o, name) for name in (*names, "seed", "device")}
    arguments["path"] = str(Path(path).resolve())
    if o.background:
        return submit(bank, "train", f"expert for {o.name or Path(o.path).name}", arguments)
    from t2v_core.new_experts import TrainOptions, train_expert

    return train_expert(bank, TrainOptions(**arguments), Reporter())


def _add(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.new_experts import add_experts
    from t2v_core.probe.probe import pick_device

    device = pick_device(o.device)
    bank = Bank(o.bank, demo=True)
    return add_experts(bank, o.source, o.architecture, o.task, o.name, o.input_size, device, Reporter())


def _show_added(result: dict[str, Any]) -> None:
    shown = ("id", "name", "architecture", "task_id")
    show_rows({"rows": [{key: row[key] for key in shown} for row in result["rows"]]})
    for warning in result["warnings"]:
        tell(f"note: {warning}")


def _transfer(o: argparse.Namespace) -> dict[str, Any]:
    return _experiment(o, "transfer", "transfer distances", {"sources": o.sources})


def _efficiency(o: argparse.Namespace) -> dict[str, Any]:
    return _experiment(o, "efficiency", "data efficiency", {"sizes": o.sizes} if o.sizes else {})


def _experiment(o: argparse.Namespace, kind: str, title: str, own: dict[str, Any]) -> dict[str, Any]:
    bank = Bank(o.bank, demo=True)
    common = {name: getattr(o, name) for name in ("repeats", "schedule", "epochs", "images_per_epoch")}
    arguments = image_arguments(o) | common | own
    if o.background:
        return submit(bank, kind, title, arguments)
    from t2v_core.experiments import EXPERIMENTS, TrialOptions

    return EXPERIMENTS[kind](bank, TrialOptions(**arguments), Reporter())


def _show_transfer(result: dict[str, Any]) -> None:
    for row in result["rows"]:
        found = "not defined: no error to reduce" if row["d_ft"] is None else f"{row['d_ft']:+.3f}"
        spread = "" if row["spread"] is None else f" ± {row['spread']:.3f} over {row['repeats']} seeds"
        errors = f"{row['error']:.1f} %, generic {row['generic_error']:.1f} %"
        print(f"{row['source']} -> {row['target']}: {found}{spread} ({errors})")
