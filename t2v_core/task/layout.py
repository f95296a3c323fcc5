"""What a list of file names says: which are images, which class each shows, which are held out. Touches no disk."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from t2v_core.errors import InputError
from t2v_core.task.record import Skipped

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"})
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})
JUNK_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
TRAIN_FOLDERS = frozenset({"train"})
HELD_OUT_FOLDERS = frozenset({"test", "val", "valid", "validation"})
LABEL_FILE = "labels.csv"


@dataclass(frozen=True)
class Listing:
    """File names, relative and with forward slashes, told apart.

    Attributes:
        images: sorted.
        tables: files called ``labels.csv``.
        skipped: neither of them.
    """

    images: tuple[str, ...]
    tables: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Placement:
    """Images with the class that their folder gives them; the first three are of one length."""

    files: tuple[str, ...]
    labels: tuple[str, ...]
    held_out: tuple[bool, ...]
    skipped: tuple[Skipped, ...]


def display(name: str) -> str:
    """The name in Unicode's composed form: macOS and Linux spell accents differently."""
    return unicodedata.normalize("NFC", name)


def is_junk(name: str) -> bool:
    """Whether a path, or a folder above it, is hidden or left there by an operating system."""
    return any(part.startswith(".") or part.casefold() in JUNK_NAMES for part in name.split("/"))


def tell_apart(names: Iterable[str], skipped: Iterable[Skipped] = ()) -> Listing:
    """Sort names by what their ending says they are; junk is dropped without a word.

    Args:
        names: relative file names.
        skipped: what whoever listed them left out already.
    """
    images, tables, foreign = [], [], list(skipped)
    for name in names:
        if is_junk(name):
            continue
        suffix = PurePosixPath(name).suffix.casefold()
        if suffix in IMAGE_SUFFIXES:
            images.append(name)
        elif name.rpartition("/")[2].casefold() == LABEL_FILE:
            tables.append(name)
        else:
            nested = suffix in ARCHIVE_SUFFIXES
            foreign.append(Skipped(name, "is an archive; unpack it first" if nested else "is not an image file"))
    order = sorted(images, key=lambda name: (display(name), name))
    return Listing(tuple(order), tuple(sorted(tables)), tuple(sorted(foreign, key=lambda item: item.name)))


def wrapping_folder(names: Sequence[str], packed: bool = False) -> str:
    """The folder around everything, such as ``"flowers/"`` where a whole folder was zipped; often ``""``.

    A single folder that holds images itself is a class rather than a wrapping, unless it was packed with nothing
    but images in it: then it is the folder somebody packed.

    Args:
        names: images and label tables, not empty.
        packed: they come from an archive.
    """
    top = names[0].split("/")[0] + "/"
    if packed and all(name.startswith(top) and name.count("/") == 1 for name in names):
        return top
    prefix = ""
    while True:
        paths = [name[len(prefix) :].split("/") for name in names]
        if len({path[0] for path in paths}) > 1 or len(paths[0]) == 1:
            return prefix
        directly = {path[1].casefold() for path in paths if len(path) == 2}
        below = {path[1] for path in paths if len(path) > 2}
        if directly and LABEL_FILE not in directly and len(below) < 2:
            return prefix
        prefix += paths[0][0] + "/"


def place_in_classes(images: Sequence[str], prefix: str) -> Placement | None:
    """Read classes off the folders, ``class/…`` or ``train/class/…`` beside ``test/class/…``.

    Args:
        images: sorted names.
        prefix: the wrapping folder that all of them start with.

    Returns:
        The placement, or ``None`` where no image lies in a folder.

    Raises:
        InputError: there are training and test folders, but no class folders in the former.
    """
    paths = [name[len(prefix) :].split("/") for name in images]
    tops = {path[0].casefold() for path in paths if len(path) > 1}
    if not tops:
        return None
    has_split = bool(tops & TRAIN_FOLDERS and tops & HELD_OUT_FOLDERS)
    files, labels, held_out, skipped = [], [], [], []
    for name, path in zip(images, paths, strict=True):
        top, *rest = path
        if has_split and top.casefold() not in TRAIN_FOLDERS | HELD_OUT_FOLDERS:
            skipped.append(Skipped(name, "lies outside the training and test folders"))
            continue
        class_path = rest if has_split else path
        if len(class_path) < 2:
            skipped.append(Skipped(name, "lies outside the class folders"))
            continue
        files.append(name)
        labels.append(display(class_path[0]))
        held_out.append(has_split and top.casefold() in HELD_OUT_FOLDERS)
    if all(held_out):
        raise InputError(
            "the train folder holds no class folders; put its images into one subfolder per class, "
            "such as train/rose/1.jpg"
        )
    return Placement(tuple(files), tuple(labels), tuple(held_out), tuple(skipped))
