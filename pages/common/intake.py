"""Taking in images from the browser or from below a configured folder, and looking at them before any work."""

from __future__ import annotations

import os
import re
import shutil
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from t2v_core.bank.bank import Bank
from t2v_core.errors import InputError
from t2v_core.task.archives import GIB, ArchiveLimits
from t2v_core.task.images import thumbnail
from t2v_core.task.layout import LABEL_FILE
from t2v_core.task.reading import inspect, look, warnings_for
from t2v_core.task.record import Skipped, Task
from t2v_core.task.sampling import subsample
from t2v_core.task.thumbnails import in_turn

STAGING, STAGING_HOURS = "staging", 24
"""Folder of uploads that nobody has started work on yet, and how long they stay."""

EXAMPLES = 12
THUMBNAIL = 112
LOOK_AT = 3000
"""Images whose bytes are compared before the work starts; the work itself looks at all it uses."""


def allowed_roots() -> list[Path]:
    """Folders on the server that people may read from: ``T2V_ROOTS``, separated as paths are on this system."""
    return [Path(p).resolve() for p in os.environ.get("T2V_ROOTS", "").split(os.pathsep) if p]


def server_path(text: str) -> Path:
    """A path on the server, if it lies below an allowed root.

    Raises:
        InputError: it lies elsewhere or does not exist. The two are not told apart outside the roots.
    """
    roots = allowed_roots()
    path = Path(text.strip())
    candidates = [path] if path.is_absolute() else [root / path for root in roots]
    for candidate in candidates:
        resolved = candidate.resolve()
        if any(resolved.is_relative_to(root) for root in roots) and resolved.exists():
            return resolved
    raise InputError(f"'{text}' is not below {' or '.join(map(str, roots))}; give a folder or zip that is")


def stage_upload(bank: Bank, files: Sequence[Any]) -> tuple[Path, str, str]:
    """Move an upload from memory to one zip in the bank's staging folder.

    A folder's files are packed as they are, so that everything downstream reads one kind of upload and
    no uploaded name ever becomes a path on this machine.

    Args:
        files: Streamlit's uploaded files: one zip, or the files of a folder.

    Returns:
        The zip, what to call the task, and what the person calls what was given.

    Raises:
        InputError: the files of a folder are more than an upload may hold, or there is no room for them here.
    """
    packed = len(files) == 1 and files[0].name.casefold().endswith(".zip")
    tops = {file.name.split("/")[0] for file in files if "/" in file.name}
    shown = files[0].name if packed else tops.pop() if len(tops) == 1 else "my images"
    most, size = ArchiveLimits().max_archive_bytes, sum(file.size for file in files)
    if size > most and not packed:
        raise InputError(
            f"'{shown}' holds {size / GIB:.2f} GiB, more than the {most / GIB:.2f} GiB that can be uploaded; leave "
            "images out (a few hundred of each class are enough), or have it put onto the server and name its path"
        )
    folder = bank.files / STAGING
    target = folder / f"{time.time_ns()}-{os.getpid()}.zip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if packed:
            with target.open("wb") as out:
                shutil.copyfileobj(files[0], out)
        else:
            _pack(files, target)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise InputError(
            f"'{shown}' cannot be kept on this server: {error.strerror or error}; tell who runs it"
        ) from error
    return target, Path(shown).stem if packed else shown, shown


def _pack(files: Sequence[Any], target: Path) -> None:
    """The files of a folder as one zip, of names that no archive could be refused for."""
    taken: set[str] = set()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            name = re.sub(
                r"[\\:\0]", "_", "/".join(part for part in file.name.split("/") if part not in ("", ".", ".."))
            )
            while name in taken:
                name = f"{name.rpartition('.')[0]}_.{name.rpartition('.')[2]}"
            taken.add(name)
            archive.writestr(name, file.getbuffer())


def sweep(bank: Bank) -> None:
    """Remove uploads that nobody has started work on for a day."""
    limit = time.time() - 3600 * STAGING_HOURS
    for file in (bank.files / STAGING).glob("*.zip"):
        if file.stat().st_mtime < limit:
            file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Preview:
    """What an upload holds, as far as can be told before the work.

    Attributes:
        labelled: whether it carries labels.
        attributes: of a ``labels.csv`` with several, each a task of its own.
        attribute: the one looked at; None where there are not several.
        task: the task looked at, without the files that are no readable images.
        fault: what keeps a method from learning from its labels; empty where nothing does.
        warnings: sentences about it and its images.
        skipped: files left out.
        examples: ``(class name, PNG)`` of a few images.
    """

    labelled: bool
    attributes: list[str]
    attribute: str | None
    task: Task
    fault: str
    warnings: list[str]
    skipped: list[Skipped]
    examples: list[tuple[str, bytes]]


def stamp(path: Path) -> float:
    """When something came to, or went from, a folder or zip, or its ``labels.csv`` was written: seconds."""
    places = [path] if path.is_file() else [path / LABEL_FILE, *(Path(folder) for folder, _, _ in os.walk(path))]
    return max((place.stat().st_mtime for place in places if place.exists()), default=0.0)


@st.cache_resource(show_spinner="Looking at your images …", max_entries=8, ttl=600)  # sources hold open files
def preview(path: str, name: str, shown: str, stamp: float, attribute: str | None = None) -> Preview:
    """Scan a folder or zip and look at (up to ``LOOK_AT`` of) its images.

    Args:
        path: of the folder or zip.
        name: of the task.
        shown: what messages call the folder or zip.
        stamp: from ``stamp``; what lies there is looked at once for each.
        attribute: which of several; by default the first.

    Raises:
        InputError: nothing can be made of it.
    """
    found, fault = look(Path(path), name=name, shown=shown)
    by_attribute = found.by_attribute
    chosen = attribute if attribute in by_attribute else next(iter(by_attribute), None)
    task, warnings, skipped, examples = _look(found.tasks[0] if chosen is None else by_attribute[chosen])
    warnings, skipped = [*found.warnings, *warnings], [*found.skipped, *skipped]
    return Preview(found.labelled, list(by_attribute), chosen, task, fault, warnings, skipped, examples)


def _look(task: Task) -> tuple[Task, list[str], list[Skipped], list[tuple[str, bytes]]]:
    part = subsample(task, LOOK_AT, seed=0, by_content=False)  # people wait: no file is opened to choose it
    seen = inspect(part)
    readable = part.take(seen.readable)
    if not len(readable):
        raise InputError(f"none of the {len(part)} images of '{task.name}' can be read; give JPEG, PNG or WebP files")
    warnings = warnings_for(readable, [d for d in seen.digests if d])
    bad = set(part.index[~seen.readable].tolist())
    left = task.take(np.array([i not in bad for i in task.index.tolist()]))
    return left, warnings, list(seen.skipped), _examples(readable)


def _examples(task: Task) -> list[tuple[str, bytes]]:
    """A few images, drawn from every class in turn."""
    found: list[tuple[str, bytes]] = []
    for row in in_turn(task.labels):
        if len(found) == EXAMPLES:
            break
        try:
            image, _ = task.source.load(int(task.index[row]), THUMBNAIL)
        except InputError:
            continue
        found.append((task.classes[task.labels[row]], thumbnail(image, THUMBNAIL)))
    return found
