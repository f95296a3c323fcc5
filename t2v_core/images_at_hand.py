"""The images of a bank's tasks, which the bank does not keep: found again wherever they lie, by their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError
from t2v_core.probe.bundled import SPEC
from t2v_core.request import Options, Report, find_task, read_task, staged
from t2v_core.task.record import DecodedTask
from t2v_core.task.worlds import GLYPHS, WorldTask, glyphs, synthetic
from t2v_core.task.worlds.demo import demo_tasks


@dataclass(frozen=True)
class ImageOptions:
    """Where the images of the bank's tasks lie, and how they were read when the tasks were embedded.

    Attributes:
        paths: folders or zips, one a task.
        data: CIFAR-100, of which the demo tasks are made. Without it and without paths, those made by code alone.
        tasks: ids of the only tasks to take; None takes all there are.
        attribute, max_images, seed, device: as in ``Options``; also the seed that demo tasks were made with.
    """

    paths: tuple[str, ...] = ()
    data: str | None = None
    tasks: tuple[str, ...] | None = None
    attribute: str | None = None
    max_images: int = 2000
    seed: int = 0
    device: str = "auto"


def images_at_hand(bank: Bank, options: ImageOptions, report: Report) -> dict[str, DecodedTask]:
    """The bank's tasks whose images can be had, by id: recognised by content, wherever they lie now.

    Args:
        bank: the bank; it keeps no images itself.
        options: where they lie.
        report: progress.

    Raises:
        InputError: a path is none of the bank's tasks, or the images of a wanted task, or of any, are not there.
    """
    if options.max_images < 4:
        raise InputError(f"--max-images must be at least 4, got {options.max_images}")
    known: dict[str, list[str]] = {}
    records = bank.tasks()
    for record in records:
        known.setdefault(record.content_hash, []).append(record.id)
    found: dict[str, DecodedTask] = {}
    for path in options.paths:
        reading = Options(
            path, attribute=options.attribute, max_images=options.max_images, seed=options.seed, device=options.device
        )
        read = find_task(Path(path), None, options.attribute)
        for blind in (False, True) if read.learnable else (True,):  # PseudoTask takes its sample without the labels
            decoded, _ = read_task(read.task, reading, SPEC, report, blind=blind)
            if decoded.content_hash in known:
                break
        else:
            raise InputError(
                f"the images and labels of '{path}' are no task of the bank at {bank.location}; embed them with "
                "`embed --save`, or give the --max-images, --seed and --attribute they were embedded with"
            )
        found |= dict.fromkeys(known[decoded.content_hash], decoded)
    wanted = [t for t in records if options.tasks is None or t.id in options.tasks]
    for item in _worlds(options, report, any(t.origin.startswith(GLYPHS) for t in wanted)):
        found |= dict.fromkeys(known.get(item.decoded.content_hash, ()), item.decoded)
    missing = [task for task in options.tasks or () if task not in found]
    if missing:
        raise InputError(
            f"the images of task {missing[0]!r} are not at hand: a bank keeps none; give the folder or zip they came "
            "from, or --data for a demo task (`bank list` names all tasks)"
        )
    if not found:
        raise InputError(
            "the images of none of the bank's tasks are at hand; give the folders or zips they came from, "
            "or --data for the demo tasks"
        )
    return {task: decoded for task, decoded in found.items() if options.tasks is None or task in options.tasks}


def _worlds(options: ImageOptions, report: Report, with_glyphs: bool) -> list[WorldTask]:
    if options.data is not None:
        return demo_tasks(Path(options.data), options.seed, staged(report, "reading CIFAR-100"))
    if options.paths:
        return []
    drawn = glyphs.tasks(options.seed) if with_glyphs else []  # they take some seconds to draw
    return [*drawn, *synthetic.tasks(options.seed)]
