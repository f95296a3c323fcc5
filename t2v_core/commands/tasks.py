"""The commands ``embed`` and ``recommend``: from a folder of images to a vector, or to an expert."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2v_core.bank.bank import Bank
from t2v_core.commands.arguments import source, target
from t2v_core.commands.output import Reporter, tell
from t2v_core.embedding.record import DOMAIN, FISHER, PSEUDOTASK, TASK2VEC
from t2v_core.embedding.tangent_kernel import TANGENT
from t2v_core.errors import InputError
from t2v_core.selection.explanation import given_up, teacher
from t2v_core.selection.ways import WAYS
from t2v_core.selection.words import counted

ESTIMATORS = ["montecarlo", "signs", "exact"]
ROBUST = ["variational", "published"]
PSEUDO = {PSEUDOTASK: "soft", f"{PSEUDOTASK}-hard": "hard", f"{PSEUDOTASK}-variational": "variational"}
TOLERANCE = 0.02
"""Relative standard error at which the adaptive mode stops where no other is given."""
ESTIMATED = "how the Fisher is estimated (montecarlo with the bundled probe, signs with any other)"


def add_tasks(command: Callable[..., argparse.ArgumentParser], commands: Any) -> None:
    """Add both commands to the parser.

    Args:
        command: adds one command with the options that all of them have.
        commands: where.
    """
    for name, run, show, about in (
        ("embed", _embed, _show_embed, "Embed a folder or zip of images."),
        ("recommend", _recommend, _show_recommend, "Rank the bank's experts for a folder or zip of images."),
    ):
        added = command(commands, name, run, show, about)
        added.add_argument(
            "path",
            metavar="PATH",
            help="one subfolder per class, or images with or without a labels.csv; or a zip",
        )
        added.add_argument("--name", help="what to call the task")
        added.add_argument("--attribute", help="which attribute column of labels.csv")
        added.add_argument(
            "--probe",
            default="bundled",
            help="bundled, resnet34, another torchvision model, timm/<model>; ':last' after it for the last stage",
        )
        added.add_argument(
            "--tolerance",
            type=float,
            nargs="?",
            const=TOLERANCE,
            metavar="R",
            help=f"stop once the embedding's relative standard error is below R (without a number: {TOLERANCE:g})",
        )
        added.add_argument(
            "--precision",
            default="float32",
            choices=["float32", "bfloat16"],
            help="bfloat16 is faster on machines that have it and moves distances by less than noise does",
        )
        added.add_argument(
            "--max-images",
            type=int,
            default=2000,
            metavar="M",
            help="look at so many at most, drawn class by class (default: 2000)",
        )
        if name == "embed":
            added.add_argument(
                "--method",
                choices=[*ESTIMATORS, *ROBUST, *PSEUDO, DOMAIN, TANGENT],
                help=f"{ESTIMATED}; variational, the robust form; published, the same as its authors have it "
                "(a head of two epochs, less noise); pseudotask, which reads no labels and is the default without any, "
                "pseudotask-hard, which takes the most probable class alone for the truth, and pseudotask-variational, "
                "its authors' own Algorithm 1; domain, by what the images look like; tangent, by untrained networks",
            )
            added.add_argument(
                "--architecture",
                choices=["small", "resnet18"],
                help="with --method tangent: 16 small networks, by default where images are of 64 pixels at most, or "
                "the paper's 100 ResNet-18 at 224 pixels",
            )
            added.add_argument("--save", action="store_true", help="keep the task in the bank")
            added.add_argument(
                "--pictures",
                action="store_true",
                help="with --save: six small pictures too, which all who use the bank will see",
            )
        else:
            added.add_argument("--top", type=int, default=5, help="how many experts to show (default: 5)")
            added.add_argument("--method", choices=ESTIMATORS, help=ESTIMATED)
            added.add_argument(
                "--selector",
                choices=list(WAYS),
                help="by default asymmetric, and pseudotask where the images carry no labels",
            )
            added.add_argument(
                "--fit-head", action="store_true", help="fit a head on the top experts and the generic one"
            )
            added.add_argument("--all", action="store_true", help="with --fit-head: on every expert")
            added.add_argument(
                "--out", type=Path, metavar="DIR", help="write the result and the experts' downloads here"
            )


def _options(o: argparse.Namespace, **more: Any) -> Any:
    from t2v_core.request import Options

    return Options(
        path=source(o.path),
        name=o.name,
        attribute=o.attribute,
        probe=o.probe,
        tolerance=o.tolerance,
        precision=o.precision,
        max_images=o.max_images,
        seed=o.seed,
        device=o.device,
        **more,
    )


def _embed(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.pipeline import embed, save

    by = PSEUDOTASK if o.method in PSEUDO else o.method if o.method in (None, DOMAIN, TANGENT) else TASK2VEC
    if o.pictures and not o.save:
        raise InputError("--pictures are kept beside the task in the bank; give --save too, or leave them out")
    if o.architecture is not None and by != TANGENT:
        raise InputError("--architecture is of the untrained networks; give --method tangent too, or leave it out")
    options = _options(
        o,
        architecture=o.architecture,
        embedding=by,
        method=o.method if by == TASK2VEC else None,
        pseudo=PSEUDO.get(o.method, "soft"),
    )
    found = embed(options, Reporter())
    if o.save:
        save(Bank(o.bank, demo=True), found, pictures=o.pictures)
    e = found.embedding
    return {
        "id": found.record.id,
        "name": found.record.name,
        "classes": list(found.record.classes),
        "images": e.samples,
        "content_hash": found.record.content_hash,
        "probe": e.probe_id,
        "weights_hash": e.weights_hash,
        "method": e.settings["estimator"] if e.method == TASK2VEC else e.method,
        "settings": e.settings,
        "dimension": len(e.vector),
        "vector": [float(v) for v in e.vector],
        "filters": found.info.filter_names if found.info and e.method in FISHER else None,
        "norm": float(abs(e.vector).sum()),
        "standard_error": None if len(e.chunk_weights) < 2 else [float(v) for v in e.standard_error],
        "relative_error": None if math.isnan(e.relative_error) else e.relative_error,
        "validation_accuracy": e.facts.get("validation_accuracy"),
        "facts": e.facts,
        "warnings": found.warnings,
        "left_out": found.left_out,
        "saved": bool(o.save),
        "seconds": {name: round(value, 2) for name, value in found.seconds.items()},
    }


def _show_notes(r: dict[str, Any]) -> None:
    """What is odd about the images, and every file left out by name: the remarks name the first few."""
    from t2v_core.request import FIRST_FEW

    for warning in r["warnings"]:
        tell(f"note: {warning}")
    for file in r["left_out"] if len(r["left_out"]) > FIRST_FEW else ():
        tell(f"left out: {file['name']} {file['reason']}")


def _show_embed(r: dict[str, Any]) -> None:
    _show_notes(r)
    tell(
        f"{r['name']}: {_contents(r['images'], r['classes'])}, {r['dimension']} numbers by {r['method']}, {r['probe']}"
    )
    spread = "" if r["relative_error"] is None else f", relative standard error {r['relative_error']:.1%}"
    if r["method"] != TANGENT:  # whose gradients all have length 1
        print(f"norm {r['norm']:.4g}{spread}")
    if r["validation_accuracy"] is not None:
        print(f"head: balanced validation accuracy {r['validation_accuracy']:.1%}")
    if "softness" in r["facts"]:
        print(teacher(r["facts"]))
    print(f"id {r['id']}" + (", saved in the bank" if r["saved"] else ", not saved (--save keeps it)"))


def _contents(images: int, classes: list[str]) -> str:
    return f"{counted(images, 'image')}, {counted(len(classes), 'class', 'classes') if classes else 'no labels'}"


def _recommend(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.recommendation import recommend

    fit = ("all" if o.all else "top") if o.fit_head else "none"
    options = _options(o, method=o.method, selector=o.selector, top=o.top, fit=fit)
    out = target(o.out, folder=True) if o.out else None
    result = recommend(Bank(o.bank, demo=True), options, out, Reporter())
    shown = result["ranking"] if o.all else result["ranking"][: o.top]
    return result | {"ranking": shown, "out": str(out) if out else None}


def _show_recommend(r: dict[str, Any]) -> None:
    _show_notes(r)
    print()
    tell(f"{r['task']['name']}: {_contents(r['task']['images'], r['task']['classes'])}")
    print()
    print(f"{'':>3} {'expert':<44} {'distance':>16} {'first':>6}   accuracy of a fitted head")
    rows = [*r["ranking"], *([{"name": "generic (not fine-tuned)", "fitted": r["generic"]}] if r["generic"] else [])]
    for row in rows:
        distance = f"{row['distance']:.4f} ± {row['spread']:.4f}" if "distance" in row else "-"
        first = f"{row['p_first']:.0%}" if "p_first" in row else "-"
        f = row["fitted"]
        accuracy = f"{f['accuracy']:.1%} [{f['low']:.1%}, {f['high']:.1%}]" if f else "-"
        tell(f"{row.get('rank', ''):>3} {row['name'][:44]:<44} {distance:>16} {first:>6}   {accuracy}")
    print()
    tell(f"Start from: {r['advice']['name']}")
    print(f"{r['certainty']}\n{r['familiarity']}")
    tell(f"Nearest: {r['ranking'][0]['reason']}")
    if r["advice"]["sentence"]:
        tell(r["advice"]["sentence"])
    if r["teacher"]:
        print(r["teacher"]["sentence"])
    if not r["task"]["learnable"]:
        print(given_up(r["track_record"]))
    if r["out"]:
        tell(
            f"Written to {r['out']}: result.json, and {r['advice']['expert_id']}.zip with the expert to start from, "
            "beside those it was compared with; unpack it and read its README.md."
        )
