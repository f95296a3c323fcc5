"""A folder or a zip archive to tasks, and what is odd about their images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from t2v_core.errors import InputError, LabelError
from t2v_core.task.archives import ArchiveLimits, check_archive
from t2v_core.task.labels import LabelTable, read_labels
from t2v_core.task.layout import IMAGE_SUFFIXES, LABEL_FILE, Listing, place_in_classes, tell_apart, wrapping_folder
from t2v_core.task.record import BoolArray, Progress, Skipped, Task
from t2v_core.task.sources import FileSource, FolderSource, ZipSource, list_folder
from t2v_core.task.streaming import stream

MIN_IMAGES = 4
FEW_IMAGES = 10
IMBALANCE = 10
LAYOUT_HINT = f"give one subfolder per class, or a {LABEL_FILE} beside the images"


@dataclass(frozen=True)
class Scan:
    """What a folder or an archive holds, no pixel decoded yet.

    Attributes:
        tasks: one, or one an attribute of ``labels.csv``; without labels one of the single class ``""``.
        skipped: files left out.
        warnings: remarks, as sentences.
        labelled: whether the images carry labels.
    """

    tasks: tuple[Task, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]
    labelled: bool

    @property
    def by_attribute(self) -> dict[str, Task]:
        """The tasks of a ``labels.csv`` with several attributes, by attribute; else empty."""
        return {task.classes[1]: task for task in self.tasks} if len(self.tasks) > 1 else {}


@dataclass(frozen=True)
class Inspection:
    """What a look at every file of a task found.

    Attributes:
        digests: ``[N]`` SHA-256 of the contents, empty for files that are no readable image.
        skipped: those files.
        duplicates: rows of the task that share one content, a tuple a group.
    """

    digests: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    duplicates: tuple[tuple[int, ...], ...]

    @property
    def readable(self) -> BoolArray:
        """``[N]`` a mask for ``Task.take``."""
        return np.array([bool(digest) for digest in self.digests])


def scan(path: Path, *, name: str | None = None, shown: str = "", trusted: bool = False, lenient: bool = False) -> Scan:
    """List a folder or a zip archive and read its layout and labels.

    Args:
        path: one subfolder per class, that again below ``train`` and ``test``, or images beside a
            ``labels.csv``; all of it may lie in a wrapping folder.
        name: what to call the task; by default the file's own name.
        shown: what messages call the folder or archive; by default its own name.
        trusted: lifts the limit on an archive's entries.
        lenient: labels that nothing can be learnt from are no fault, for methods that read none.

    Raises:
        LabelError: there is one class, or a class of one image.
        InputError: there is nothing to make a task of, or the archive may be harmful.
    """
    check_exists(path)
    name = name or (path.stem if path.is_file() else path.resolve().name)
    shown = shown or path.resolve().name
    listing = list_folder(path) if path.is_dir() else _list_archive(path, shown, trusted)
    if not listing.images:
        content = "is empty" if not (listing.tables or listing.skipped) else "holds no images"
        formats = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise InputError(f"'{shown}' {content}; {LAYOUT_HINT} ({formats})")
    source = (FolderSource if path.is_dir() else ZipSource)(path, listing.images)
    prefix = wrapping_folder(listing.images + listing.tables, packed=path.is_file())
    table = next((table for table in listing.tables if table.casefold() == (prefix + LABEL_FILE).casefold()), None)
    other_tables = [Skipped(other, "is not an image file") for other in listing.tables if other != table]
    skipped = (*listing.skipped, *other_tables)
    if table is not None:
        relative = {image[len(prefix) :]: image for image in listing.images}
        labels = read_labels(source.read(table), relative)
        left_out = tuple(Skipped(relative.get(item.name, item.name), item.reason) for item in labels.skipped)
        tasks, warnings = _tasks_of_table(name, source, labels, prefix, lenient)
        return Scan(tasks, (*skipped, *left_out), (*labels.warnings, *warnings), True)
    placement = place_in_classes(listing.images, prefix)
    if placement is None:
        number = len(listing.images)
        if number < MIN_IMAGES:
            raise InputError(f"'{name}' has {_images(number)}; a task needs at least {MIN_IMAGES}")
        task = Task(name, ("",), source, np.arange(number), np.zeros(number, np.int64), np.zeros(number, bool))
        return Scan((task,), skipped, (), False)
    classes = tuple(sorted(set(placement.labels)))
    by_file = dict(zip(placement.files, placement.labels, strict=True))
    task = _task(name, source, classes, by_file, placement.held_out, lenient)
    return Scan((task,), (*skipped, *placement.skipped), (), True)


def check_exists(path: Path | str) -> None:
    """Refuse a path at which there is nothing.

    Raises:
        InputError: it is such a path.
    """
    if path == "" or not Path(path).exists():
        raise InputError(f"'{path}' does not exist; give a folder or a .zip file")


def look(path: Path, *, name: str | None = None, shown: str = "") -> tuple[Scan, str]:
    """``scan`` where labels may be missing or say too little.

    Returns:
        The scan, and what keeps a method from learning from its labels, as a sentence without its end; empty where
        nothing does.

    Raises:
        InputError: as ``scan``, labels aside.
    """
    try:
        found, fault = scan(path, name=name, shown=shown), ""
    except LabelError as error:
        found, fault = scan(path, name=name, shown=shown, lenient=True), str(error)
    if not found.labelled:
        fault = f"the images carry no labels; put them into one subfolder per class or add a {LABEL_FILE} beside them"
    return found, fault


def inspect(task: Task, progress: Progress | None = None, workers: int | None = None) -> Inspection:
    """Read every file of a task, decoding no pixels: which are no images, and which are the same.

    Args:
        task: any.
        progress: see ``stream``.
        workers: threads.
    """
    names = task.names
    digests = [""] * len(task)
    failures: dict[int, Skipped] = {}
    groups = defaultdict(list)
    work = stream(lambda row: task.source.digest(int(task.index[row])), len(task), workers=workers, progress=progress)
    for row, outcome in work:
        if isinstance(outcome, InputError):
            failures[row] = Skipped(names[row], str(outcome))
        else:
            digests[row] = outcome
            groups[outcome].append(row)
    duplicates = sorted(tuple(sorted(rows)) for rows in groups.values() if len(rows) > 1)
    return Inspection(tuple(digests), tuple(failures[row] for row in sorted(failures)), tuple(duplicates))


def warnings_for(task: Task, digests: Sequence[str]) -> list[str]:
    """What a person should know about a task before trusting it, as sentences.

    Args:
        task: any.
        digests: ``[N]`` contents of its images, empty where unknown.

    Raises:
        InputError: all images are identical.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        groups[digest].append(row)
    groups.pop("", None)
    if len(groups) == 1 and sum(map(bool, digests)) > 1:
        raise InputError(f"all {len(task)} images are identical; give images that differ")
    found = _duplicate_warnings(task, [rows for rows in groups.values() if len(rows) > 1])
    fitted = np.bincount(task.labels[~task.held_out], minlength=len(task.classes))
    few = [task.classes[k] for k in np.flatnonzero(fitted < FEW_IMAGES)]
    if few and len(task.classes) > 1:
        found.append(f"Fewer than {FEW_IMAGES} images to learn from in {_some(few)}: expect a rough answer.")
    elif few:
        found.append(f"There are only {_images(int(fitted[0]))} to learn from: expect a rough answer.")
    if fitted.min() and fitted.max() > IMBALANCE * fitted.min():
        large, small = task.classes[int(fitted.argmax())], task.classes[int(fitted.argmin())]
        found.append(
            f"The classes are unbalanced: '{large}' has {_images(fitted.max())}, '{small}' only {fitted.min()}."
        )
    return found


def _list_archive(path: Path, shown: str, trusted: bool) -> Listing:
    limits = ArchiveLimits(max_entries=10**9) if trusted else ArchiveLimits()
    return tell_apart(entry.filename for entry in check_archive(path, limits, shown))


def _tasks_of_table(
    name: str, source: FileSource, table: LabelTable, prefix: str, lenient: bool
) -> tuple[tuple[Task, ...], tuple[str, ...]]:
    """The tasks of a ``labels.csv``; an attribute that makes none is left out with a remark, unless all are."""
    tasks: list[Task] = []
    errors: list[InputError] = []
    for column in table.columns:
        title = f"{name}: {column.attribute}" if column.attribute else name
        labels = {prefix + file: label for file, label in sorted(column.labels.items())}
        try:
            tasks.append(_task(title, source, column.classes, labels, [False] * len(labels), lenient))
        except InputError as error:
            errors.append(error)
    if not tasks:
        raise errors[0]
    return tuple(tasks), tuple(f"An attribute is left out: {error}." for error in errors)


def _task(
    name: str,
    source: FileSource,
    classes: tuple[str, ...],
    labels: dict[str, str],
    held_out: Sequence[bool],
    lenient: bool,
) -> Task:
    """A labelled task, once it is clear that each class can be learnt and validated, or need not be.

    Args:
        name: what a person calls it.
        source: the images.
        classes: all class names.
        labels: class name of each image, in order.
        held_out: for each of them whether it is kept for testing.
        lenient: the classes need not be.
    """
    position = {file: place for place, file in enumerate(source.names)}
    number = {label: place for place, label in enumerate(classes)}
    index = np.array([position[file] for file in labels], dtype=np.int64)
    numbers = np.array([number[label] for label in labels.values()], dtype=np.int64)
    held = np.array(held_out, dtype=bool)
    if len(classes) < 2 and not lenient:
        only = f"one class '{classes[0]}'" if classes else "no labels"
        raise LabelError(f"'{name}' has {only}; a task needs at least two: {LAYOUT_HINT}")
    if len(index) < MIN_IMAGES:
        raise InputError(f"'{name}' has {_images(len(index))}; a task needs at least {MIN_IMAGES}, two of each class")
    fitted = np.bincount(numbers[~held], minlength=len(classes))
    for label, count in () if lenient else zip(classes, fitted, strict=True):
        if count == 0:
            raise LabelError(f"class '{label}' of '{name}' has no images to learn from; add at least two")
        if count == 1:
            raise LabelError(f"class '{label}' of '{name}' has 1 image; add at least one more or leave the class out")
    return Task(name, classes, source, index, numbers, held)


def _duplicate_warnings(task: Task, groups: list[list[int]]) -> list[str]:
    """Sentences on images of one content, the rows of each content given."""
    names = task.names
    conflicting, copies, leaked = [], [], []
    where = " in the same class" if len(task.classes) > 1 else ""
    for rows in groups:
        held = task.held_out[rows]
        if len(set(task.labels[rows])) > 1:
            conflicting += rows
        else:
            copies += [row for part in (held, ~held) for row in np.array(rows)[part][1:]]
        if held.any() and not held.all():
            leaked += [row for row in rows if task.held_out[row]]
    found = []
    for rows, what, consequence in (
        (conflicting, "Identical images under different classes", "some of their labels must be wrong"),
        (copies, f"Exact copies of another image{where}", "they tell nothing new"),
        (leaked, "Images kept for testing but also used for learning", "the measured error will be too low"),
    ):
        if rows:
            found.append(f"{what}: {len(rows)} ({_some([names[row] for row in sorted(rows)])}); {consequence}.")
    return found


def _images(number: int) -> str:
    return f"{number} image" if number == 1 else f"{number} images"


def _some(names: Sequence[str], most: int = 3) -> str:
    """Up to three names, and how many more there are."""
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
