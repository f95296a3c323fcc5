"""New experts for a bank: fine-tuned here on a person's images, or brought along as weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import LONGEST_NAME, SUFFIX, ExpertRecord
from t2v_core.errors import InputError
from t2v_core.experts.images import pixels_at
from t2v_core.experts.schedules import Schedule, choose_schedule, trained_from
from t2v_core.experts.speed import training_costs
from t2v_core.experts.trained import hand_over
from t2v_core.experts.training import fine_tune
from t2v_core.experts.weights import keep_weights, load_expert, read_expert
from t2v_core.pipeline import embed, save
from t2v_core.probe.bundled import RESNET20, load_bundled
from t2v_core.probe.probe import Probe, pick_device
from t2v_core.probe.record import BUNDLED
from t2v_core.probe.registry import load_probe
from t2v_core.request import Options, Report, staged
from t2v_core.selection.candidates import have_seen
from t2v_core.selection.meta_task import GENERIC
from t2v_core.selection.words import listed
from t2v_core.task.worlds import slug

TRAINING = "fine-tuning the expert"
MODEL_NAME = re.compile(r"(timm/|places365/)?[A-Za-z0-9][A-Za-z0-9_.\-]{0,80}")

OTHER_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".onnx", ".h5")
"""Of files of weights, which no model's name ends in."""


@dataclass(frozen=True)
class TrainOptions:
    """What a person asks for who trains an expert.

    Attributes:
        path, name, attribute, probe, max_images, seed, device: the task and its embedding, as in ``Options``.
        network: what is fine-tuned: ``"bundled"``, a torchvision model or ``"timm/<model>"``.
        start: id of an expert of the bank to fine-tune in place of ``network``.
        schedule: one of ``SCHEDULES``.
        epochs, images_per_epoch: in place of the schedule's own.
    """

    path: str
    name: str | None = None
    attribute: str | None = None
    probe: str = BUNDLED
    max_images: int = 2000
    seed: int = 0
    device: str = "auto"
    network: str = BUNDLED
    start: str | None = None
    schedule: str = "scaled"
    epochs: int | None = None
    images_per_epoch: int | None = None


@dataclass(frozen=True)
class AddOptions:
    """What a person asks for who brings an expert along.

    Attributes:
        file: its weights; or else
        model: the name of a torchvision or timm model.
        architecture, task_id, name, input_size: as in ``add_experts``.
        device: where it is tried.
    """

    file: str | None = None
    model: str | None = None
    architecture: str = RESNET20
    task_id: str | None = None
    name: str | None = None
    input_size: int | None = None
    device: str = "auto"


def training_price(device: str, seconds: dict[str, float], report: Report) -> list[dict[str, Any]]:
    """What training on the images of a recommendation would take, by schedule (``speed.training_costs``).

    Args:
        device: where to train, as for ``pick_device``.
        seconds: what the recommendation took, by stage: reading and embedding come first again.
        report: called before measuring.
    """
    report("measuring what a training would take", 0, 1, "")
    again = sum(seconds[stage] for stage in ("load probe", "read", "embed"))
    return training_costs(load_bundled(pick_device(device)), again)


def train_expert(bank: Bank, options: TrainOptions, report: Report, out: Path | None = None) -> dict[str, Any]:
    """Fine-tune an expert on a person's labelled images, and put it into the bank with its task.

    The task and its embedding are in the bank before the training begins. An expert that is there already,
    trained in the same way, is not trained again; one that was trained in another way is replaced.

    Args:
        bank: where task and expert go.
        options: what is asked.
        report: progress.
        out: folder for a zip of the expert with a head for the classes; None writes none.

    Returns:
        What came of it, as JSON.

    Raises:
        InputError: the images or the options are at fault.
    """
    _check_name(options.name)
    device = pick_device(options.device)
    start = _start(bank, options)
    if start is None:
        network = load_probe(options.network, device, staged(report, "loading the network"))
    else:
        network = load_expert(start, bank.weights, device)
    schedule = choose_schedule(
        options.schedule, network.info.spec, options.seed, options.epochs, options.images_per_epoch
    )
    about_task = {name: getattr(options, name) for name in ("path", "name", "attribute", "probe", "max_images")}
    task = embed(Options(**about_task, seed=options.seed, device=options.device), report)
    if task.info is None or len(task.record.classes) < 2:
        raise InputError(f"'{task.record.name}' has no labels; an expert learns to tell classes apart, so give them")
    if start is not None and start.id in have_seen(bank, list(task.decoded.digests)):
        raise InputError(
            f"the expert {start.name!r} has learned from some of these very images, so how good it is could not be "
            "told; start from another"
        )
    save(bank, task)
    expert_id = f"expert-{task.record.id}" + ("" if options.network == BUNDLED else f"-{slug(options.network)}")
    present = next((e for e in bank.experts() if e.id == expert_id), None)
    pixels = pixels_at(task.decoded, task.info.spec, network.info.spec)
    remarks = {"warnings": task.warnings, "left_out": task.left_out}
    if present is not None and _trained_alike(present, network, schedule):
        handed = hand_over(present, bank.weights, pixels, task.decoded.task, options.seed, device, out)
        return _described(present) | {"already": True} | remarks | handed
    progress = staged(report, TRAINING)
    trained = fine_tune(network, replace(task.decoded, pixels=pixels), bank.weights, schedule, progress)
    expert = ExpertRecord(
        expert_id,
        task.record.name,
        _architecture(network),
        trained.file.name,
        trained.sha256,
        task.record.id,
        trained.training | ({} if start is None else _descent(bank, start)),
        spec=network.info.spec,
    )
    load_expert(expert, bank.weights, device)  # before others can meet an expert that cannot be loaded
    bank.save_expert(expert)
    handed = hand_over(expert, bank.weights, pixels, task.decoded.task, options.seed, device, out)
    return _described(expert) | {"already": False} | remarks | handed


def add(bank: Bank, options: AddOptions, report: Report) -> dict[str, Any]:
    """``add_experts`` as a job.

    Raises:
        InputError: as there; or neither a file nor a plain model's name is given.
    """
    o = options
    source = o.file or (o.model or "").strip()
    if o.file is None and not MODEL_NAME.fullmatch(source):
        raise InputError(f"{source[:LONGEST_NAME]!r} is no model's name, such as resnet18 or timm/convnext_nano")
    given = (source, o.architecture, o.task_id, o.name, o.input_size, pick_device(o.device), report)
    return add_experts(bank, *given, named=o.file is None)


def _unplaced(records: Sequence[ExpertRecord]) -> list[str]:
    """What a person has to know of experts whose own task is unknown."""
    names = [record.name for record in records if record.task_id is None]
    if not names:
        return []
    return [
        f"What {listed(names)} learned from is unknown: no distance ranks such an expert, and it is left out of every "
        "audit, as it may have seen a task's images. To have it ranked, add it with the bank's task it was trained on."
    ]


def _start(bank: Bank, options: TrainOptions) -> ExpertRecord | None:
    """The expert that is to be fine-tuned, if any.

    Raises:
        InputError: the bank does not hold it or its task, or a network is named beside it.
    """
    if options.start is None:
        return None
    if options.network != BUNDLED:
        raise InputError(f"--start takes an expert of the bank in place of --network {options.network}; give one")
    found = next((e for e in bank.experts() if e.id == options.start), None)
    if found is None:
        raise InputError(f"there is no expert {options.start!r} in the bank at {bank.location}; `experts` lists them")
    if found.id != GENERIC and found.task_id is None:
        raise InputError(
            f"what the expert {found.name!r} learned from is unknown, so nobody could tell whom to offer one that "
            "starts from it; start from another"
        )
    return found


def _descent(bank: Bank, start: ExpertRecord) -> dict[str, object]:
    """What is recorded of the expert that another was fine-tuned from: its name, and the images it has learned from."""
    own = [t.image_set for t in bank.tasks() if t.id == start.task_id]
    return {"from": start.id, "from_expert": start.name, "seen_before": [*own, *start.seen_before]}


def _trained_alike(expert: ExpertRecord, network: Probe, schedule: Schedule) -> bool:
    """Whether an expert came from the same weights by the same schedule and seed."""
    same = trained_from(expert, network.info.weights_hash, schedule.body)
    return same and expert.training.get("schedule") == schedule.key


def _architecture(network: Probe) -> str:
    return RESNET20 if network.info.id == BUNDLED else network.info.id


def add_experts(
    bank: Bank,
    source: str,
    architecture: str,
    task_id: str | None,
    name: str | None,
    input_size: int | None,
    device: torch.device,
    report: Report,
    *,
    named: bool = False,
) -> dict[str, list[Any]]:
    """Put experts that were trained elsewhere into the bank; all of them, or none where one is at fault.

    Args:
        bank: where they go.
        source: a safetensors file, a folder of them, or the name of a torchvision or timm model.
        architecture: of the files: ``"resnet20"``, a torchvision model or ``"timm/<model>"``.
        task_id: the bank's task they were trained on; None where it is unknown.
        name: what to call the expert; by default the file's or the model's name.
        input_size: side of the images it was fine-tuned on, where not its architecture's usual one.
        device: where they are tried.
        report: progress.
        named: ``source`` is a model's name, whatever files there may be.

    Returns:
        What was added as ``rows``, and ``warnings``, as JSON.

    Raises:
        InputError: a file, a name or the task is at fault. Nothing has been written then.
    """
    _check_name(name)
    if task_id is not None and task_id not in {t.id for t in bank.tasks()}:
        raise InputError(f"there is no task {task_id!r} in the bank at {bank.location}; `bank list` names them")
    path = Path(source)
    files = None if named else _files(path)
    if files is None:
        if input_size is not None:
            raise InputError("--input-size is for files; a named model has a transform of its own")
        found = [(_named(source, device, report), name or source)]
    else:
        if name is not None and len(files) > 1:
            raise InputError(f"--name is for one expert, and '{path.name}' holds {len(files)}; leave it out")
        found = []
        for number, file in enumerate(files):
            report("checking files", number, len(files), file.name)
            _check_name(file.stem)
            found.append((read_expert(file, architecture, device, input_size), name or file.stem))
    records = [_kept(bank, probe, title, task_id) for probe, title in found]
    for record in records:
        load_expert(record, bank.weights, device)  # all of them, before the first is in the bank
    for record in records:
        bank.save_expert(record)
    return {"rows": [_described(record) for record in records], "warnings": _unplaced(records)}


def _files(path: Path) -> list[Path] | None:
    """The safetensors files a person means; None where it is no path but a model's name."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix == SUFFIX and file.is_file())
        if not files:
            raise InputError(f"'{path}' holds no {SUFFIX} file; give a folder of experts, or one file")
        return files
    if path.is_file():
        return [path]
    if path.suffix in (SUFFIX, *OTHER_SUFFIXES) or not MODEL_NAME.fullmatch(str(path).partition(":")[0]):
        raise InputError(f"'{path}' does not exist; give a {SUFFIX} file, a folder of them, or a model's name")
    return None


def _named(name: str, device: torch.device, report: Report) -> Probe:
    if ":" in name:
        raise InputError(f"{name!r} chooses layers, which matters for probes alone; give the model's name")
    return load_probe(name, device, staged(report, "loading the network"))


def _kept(bank: Bank, probe: Probe, name: str, task_id: str | None) -> ExpertRecord:
    file, sha256 = keep_weights(probe.network, bank.weights)
    training: dict[str, object] = {"from": probe.info.provenance}
    expert_id = f"{slug(name)[:60] or 'expert'}-{sha256[:8]}"
    return ExpertRecord(
        expert_id, name, _architecture(probe), file.name, sha256, task_id, training, spec=probe.info.spec
    )


def _check_name(name: str | None) -> None:
    """A name is for people; one that could be taken for a place on a disk, or cannot be printed, is refused."""
    if name is None:
        return
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise InputError(f"{name[:LONGEST_NAME]!r} is no name: give 1 to {LONGEST_NAME} printable characters")
    if any(c in name for c in "/\\") or name.strip() in (".", ".."):
        raise InputError(f"the name {name!r} hides a path; give a plain name without slashes")


def _described(expert: ExpertRecord) -> dict[str, Any]:
    shown = ("id", "name", "architecture", "task_id", "weights_file", "weights_sha256", "training")
    return {key: value for key, value in asdict(expert).items() if key in shown}
