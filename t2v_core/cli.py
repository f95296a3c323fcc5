"""The command line: the same capabilities without a browser.

Exit codes: 0 done, 1 the work failed, 2 the input is at fault. With ``--json`` standard output holds one
JSON object and nothing else; progress always goes to standard error. torch is loaded only by the commands
that compute.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2v_core import __version__
from t2v_core.bank.bank import Bank, default_location
from t2v_core.errors import InputError

SECONDS_BETWEEN_LINES = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    options = _parser().parse_args(arguments)
    try:
        result = options.run(options)
    except InputError as error:
        _say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        _say("stopped")
        return 1
    except Exception as error:
        logging.getLogger(__name__).debug("failed", exc_info=True)
        _say(f"error: the work failed: {type(error).__name__}: {error}")
        return 1
    if options.json:
        print(json.dumps(result, ensure_ascii=False, default=str))
    else:
        options.show(result)
    return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--bank", default=default_location(), help="folder or database URL (default: %(default)s)")
    common.add_argument("--device", default="auto", help="auto, cpu or cuda")
    common.add_argument("--seed", type=int, default=0)
    common.add_argument("--json", action="store_true", help="print one JSON object")

    parser = argparse.ArgumentParser(prog="python -m t2v_core", description="Which pre-trained expert to start from.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(where: Any, name: str, run: Any, show: Any, about: str) -> argparse.ArgumentParser:
        added = where.add_parser(name, parents=[common], help=about, description=about)
        added.set_defaults(run=run, show=show)
        return added

    for name, run, show, about in (
        ("embed", _embed, _show_embed, "Embed a folder or zip of labelled images."),
        ("recommend", _recommend, _show_recommend, "Rank the bank's experts for a folder or zip of labelled images."),
    ):
        added = command(commands, name, run, show, about)
        added.add_argument(
            "path", metavar="PATH", help="one subfolder per class, or images beside a labels.csv; or a zip"
        )
        added.add_argument("--name", help="what to call the task")
        added.add_argument("--attribute", help="which attribute column of labels.csv")
        added.add_argument("--probe", default="bundled", help="bundled, resnet34, or another torchvision classifier")
        added.add_argument("--method", default="montecarlo", choices=["montecarlo"])
        added.add_argument("--max-images", type=int, default=2000, metavar="M")
        if name == "embed":
            added.add_argument("--save", action="store_true", help="keep the task in the bank")
        else:
            added.add_argument("--top", type=int, default=5)
            added.add_argument("--selector", default="asymmetric", choices=["asymmetric", "symmetric", "domain"])
            added.add_argument(
                "--fit-head", action="store_true", help="fit a head on the top experts and the generic one"
            )
            added.add_argument("--all", action="store_true", help="with --fit-head: on every expert")
            added.add_argument(
                "--out", type=Path, metavar="DIR", help="write the result and the experts' downloads here"
            )

    bank = commands.add_parser("bank", help="Contents, building, import, export.").add_subparsers(
        required=True, metavar="ACTION"
    )
    command(bank, "list", _bank_list, _show_rows, "List the tasks.")
    command(bank, "info", _bank_info, _show_facts, "Counts, probes, how it was built.")
    built = command(bank, "build", _bank_build, _show_facts, "Compute a bank of demo tasks from a data set.")
    built.add_argument("dataset", choices=["cifar100"])
    built.add_argument(
        "--data", type=Path, required=True, help="CIFAR-100 as train/<class>/* and test/<class>/*, folder or zip"
    )
    built.add_argument("--probe", default="bundled")
    built.add_argument("--workers", type=int, default=2)
    for name, run, about in (
        ("import", _bank_import, "Add an exported bank."),
        ("export", _bank_export, "Write the bank to one zip."),
    ):
        command(bank, name, run, _show_facts, about).add_argument("file", type=Path)
    verified = command(bank, "verify", _bank_verify, _show_facts, "Recompute one task and one error; compare.")
    verified.add_argument("--data", type=Path, help="CIFAR-100; without it a task made by code is checked")
    verified.add_argument("--task")
    verified.add_argument("--expert")

    added = command(commands, "distances", _distances, _show_facts, "Distances between all tasks of the bank.")
    added.add_argument("--metric", default="symmetric", choices=["symmetric", "asymmetric", "domain"])
    added.add_argument("--out", type=Path, metavar="matrix.csv")
    command(commands, "experts", _experts, _show_rows, "List the experts.")

    listed = command(commands, "probes", _probes, _show_rows, "List the probes; or train the bundled one.")
    trained = listed.add_subparsers(metavar="ACTION")
    action = command(trained, "train-bundled", _train_bundled, _show_facts, "Train the bundled probe on CIFAR-10.")
    action.add_argument("--data", type=Path, required=True, help="CIFAR-10 as train/<class>/* and test/<class>/*")
    action.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: into the package)")
    action.add_argument("--epochs", type=int, default=40)
    return parser


# ---- commands that compute ----------------------------------------------------------------------


def _options(o: argparse.Namespace, **more: Any) -> Any:
    from t2v_core.pipeline import Options

    return Options(
        path=o.path,
        name=o.name,
        attribute=o.attribute,
        probe=o.probe,
        max_images=o.max_images,
        seed=o.seed,
        device=o.device,
        **more,
    )


def _embed(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.pipeline import embed, save

    found = embed(_options(o), _Reporter())
    if o.save:
        save(Bank(o.bank, demo=True), found)
    return {
        "id": found.record.id,
        "name": found.record.name,
        "classes": list(found.record.classes),
        "images": found.fisher.samples,
        "content_hash": found.record.content_hash,
        "probe": found.info.id,
        "weights_hash": found.info.weights_hash,
        "method": found.fisher.method,
        "settings": found.fisher.settings,
        "dimension": found.info.dimension,
        "vector": [float(v) for v in found.fisher.vector],
        "norm": float(abs(found.fisher.vector).sum()),
        "relative_error": found.fisher.relative_error,
        "validation_accuracy": found.fisher.facts["validation_accuracy"],
        "warnings": found.warnings,
        "saved": bool(o.save),
        "seconds": {name: round(value, 2) for name, value in found.seconds.items()},
    }


def _show_embed(r: dict[str, Any]) -> None:
    for warning in r["warnings"]:
        print(f"note: {warning}")
    print(f"{r['name']}: {r['images']} images, {len(r['classes'])} classes, {r['dimension']} filters of {r['probe']}")
    print(f"norm {r['norm']:.4g}, relative standard error {r['relative_error']:.1%}")
    print(f"head: balanced validation accuracy {r['validation_accuracy']:.1%}")
    print(f"id {r['id']}" + (", saved in the bank" if r["saved"] else ", not saved (--save keeps it)"))


def _recommend(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.recommendation import recommend

    fit = ("all" if o.all else "top") if o.fit_head else "none"
    bank = Bank(o.bank, demo=True)
    result = recommend(bank, _options(o, selector=o.selector, top=o.top, fit=fit), o.out, _Reporter())
    return result | {"ranking": result["ranking"] if o.all else result["ranking"][: o.top]}


def _show_recommend(r: dict[str, Any]) -> None:
    for warning in r["warnings"]:
        print(f"note: {warning}")
    print(f"\n{r['task']['name']}: {r['task']['images']} images, {len(r['task']['classes'])} classes\n")
    print(f"{'':>3} {'expert':<44} {'distance':>16} {'first':>6}   accuracy of a fitted head")
    rows = [*r["ranking"], *([{"name": "generic (not fine-tuned)", "fitted": r["generic"]}] if r["generic"] else [])]
    for row in rows:
        distance = f"{row['distance']:.4f} ± {row['spread']:.4f}" if "distance" in row else "-"
        first = f"{row['p_first']:.0%}" if "p_first" in row else "-"
        f = row["fitted"]
        accuracy = f"{f['accuracy']:.1%} [{f['low']:.1%}, {f['high']:.1%}]" if f else "-"
        print(f"{row.get('rank', ''):>3} {row['name'][:44]:<44} {distance:>16} {first:>6}   {accuracy}")
    print(f"\n{r['certainty']}\n{r['familiarity']}\nWhy: {r['ranking'][0]['reason']}")


def _bank_build(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.building import build_demo
    from t2v_core.task.worlds.demo import demo_tasks

    report = _Reporter()
    begin = time.perf_counter()
    tasks = demo_tasks(o.data, o.seed, lambda done, total, text: report("reading CIFAR-100", done, total, text))
    bank = Bank(o.bank)
    seconds = build_demo(bank, tasks, probe_name=o.probe, workers=o.workers, seed=o.seed, report=report)
    bank.close()
    return {"bank": o.bank, **bank.counts(), "seconds": round(time.perf_counter() - begin, 1), "stages": seconds}


def _bank_verify(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.building import verify
    from t2v_core.task.worlds import synthetic
    from t2v_core.task.worlds.demo import demo_tasks

    bank = Bank(o.bank, demo=True)
    tasks = demo_tasks(o.data, o.seed) if o.data else synthetic.tasks(o.seed)
    return verify(bank, tasks, o.task, o.expert, _Reporter())


def _train_bundled(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.probe import bundled
    from t2v_core.probe.probe import pick_device
    from t2v_core.probe.training import TrainingSettings
    from t2v_core.task.decoding import decode
    from t2v_core.task.reading import scan

    report = _Reporter()
    task = scan(o.data, trusted=True).tasks[0]
    decoded = decode(task, bundled.SPEC, progress=lambda *p: report("reading CIFAR-10", *p))
    train, test = decoded.take(~decoded.task.held_out), decoded.take(decoded.task.held_out)
    if len(train.task.classes) != 10 or not len(test):
        raise InputError(f"{o.data} is not CIFAR-10 with train/<class>/ and test/<class>/ of ten classes")
    folder = o.out or bundled.WEIGHTS.parent
    folder.mkdir(parents=True, exist_ok=True)
    weights, card = folder / bundled.WEIGHTS.name, folder / bundled.CARD.name
    settings = TrainingSettings(epochs=o.epochs, seed=o.seed)
    device = pick_device(o.device)
    accuracy = bundled.train_bundled(train, test, settings, device, weights, card, lambda *p: report("training", *p))
    return {"test_accuracy": accuracy, "weights": str(weights), "card": str(card)}


# ---- commands that look -------------------------------------------------------------------------


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


def _bank_import(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.bank.transfer import import_bank

    if not o.file.is_file():
        raise InputError(f"'{o.file}' does not exist; give a zip written by `bank export`")
    return import_bank(Bank(o.bank), o.file)


def _bank_export(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.bank.transfer import export_bank

    export_bank(Bank(o.bank, demo=True), o.file)
    return {"file": str(o.file), "bytes": o.file.stat().st_size}


def _distances(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.space.matrix import task_distances

    frame = task_distances(Bank(o.bank, demo=True), o.metric)
    if o.out:
        frame.to_csv(o.out)
    result = {"metric": o.metric, "tasks": list(frame.index), "file": str(o.out) if o.out else None}
    return result if o.out else result | {"matrix": frame.to_numpy().tolist()}


def _experts(o: argparse.Namespace) -> dict[str, Any]:
    return {
        "rows": [
            {"id": e.id, "name": e.name, "architecture": e.architecture, "trained_on": e.task_id or "-"}
            for e in Bank(o.bank, demo=True).experts()
        ]
    }


def _probes(o: argparse.Namespace) -> dict[str, Any]:
    from t2v_core.probe.weights import statuses

    return {"rows": [{"id": s.id, "title": s.title, "note": s.note} for s in statuses()]}


def _show_rows(result: dict[str, Any]) -> None:
    rows = result["rows"]
    if not rows:
        print("nothing here yet")
        return
    widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
    for row in [{key: key for key in widths}, *rows]:
        print("  ".join(f"{row[key]!s:<{width}}" for key, width in widths.items()).rstrip())


def _show_facts(result: dict[str, Any]) -> None:
    for key, value in result.items():
        print(f"{key}: {value if isinstance(value, (str, int, float)) else json.dumps(value, ensure_ascii=False)}")


class _Reporter:
    """Progress on standard error: one line a stage and second, overwritten on a terminal."""

    def __init__(self) -> None:
        self._stage, self._last = "", 0.0

    def __call__(self, stage: str, done: int, total: int, message: str) -> None:
        now = time.monotonic()
        if stage == self._stage and done < total and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._stage, self._last = stage, now
        _say(f"{stage}: {done}/{total} {message}".rstrip() if total else stage)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
