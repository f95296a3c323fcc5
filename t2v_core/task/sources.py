"""Where a task's images come from: a folder, a zip archive, an array."""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from t2v_core.errors import InputError
from t2v_core.task.archives import open_archive, read_head, read_member
from t2v_core.task.images import open_image, read_header
from t2v_core.task.layout import Listing, tell_apart
from t2v_core.task.record import Skipped

MAX_FILE_BYTES = 64 * 2**20
HEAD_BYTES = 16 * 2**10
"""The beginning of a file, tables and small previews of a camera included, by which it is told from others."""
LOSSY = ("JPEG", "WEBP")


class FileSource(ABC):
    """Images that are files, wherever they lie.

    What ``load`` calls an image's digest is that of its pixels, as of ``ArraySource``: so an image is known again after
    it has been stored anew without loss. A lossy file, which may be decoded at several sizes, goes by its bytes.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    @property
    def names(self) -> Sequence[str]:
        return self._names

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of one file, an image or not.

        Raises:
            InputError: it is gone, too large or damaged.
        """

    @abstractmethod
    def head(self, name: str) -> tuple[int, bytes]:
        """The size of one file and its first ``HEAD_BYTES``; raises as ``read`` does."""

    def mark(self, position: int) -> str:
        """SHA-256 of the size and the beginning of image ``position``.

        Raises:
            InputError: it cannot be read.
        """
        size, head = self.head(self._names[position])
        return hashlib.sha256(f"{size}\t".encode() + head).hexdigest()

    def digest(self, position: int) -> str:
        """SHA-256 of the bytes of image ``position``, after a look at no more than its header.

        Raises:
            InputError: it is not an image.
        """
        data = self.read(self._names[position])
        read_header(data)
        return hashlib.sha256(data).hexdigest()

    def load(self, position: int, hint: int | None = None) -> tuple[Image.Image, str]:
        """Image ``position`` and its digest; see ``open_image`` for the hint."""
        data = self.read(self._names[position])
        image = open_image(data, hint)
        if read_header(data).format in LOSSY:
            return image, hashlib.sha256(data).hexdigest()
        return image, _pixel_digest(np.asarray(image))


class FolderSource(FileSource):
    """Files below a folder.

    Args:
        root: the folder; no link is followed out of it.
        names: paths relative to it, with forward slashes.
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        super().__init__(names)
        self._root = root.resolve()

    def read(self, name: str) -> bytes:
        with self._opened(name) as (file, size):
            if size > MAX_FILE_BYTES:
                raise InputError(f"is {size >> 20} MiB, more than the {MAX_FILE_BYTES >> 20} MiB allowed")
            return file.read(size)  # a plain limit instead would allocate that much for every file

    def head(self, name: str) -> tuple[int, bytes]:
        with self._opened(name) as (file, size):
            return size, file.read(min(size, HEAD_BYTES))

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        try:
            path = (self._root / name).resolve()
            if not path.is_relative_to(self._root):
                raise InputError("is a link that leads out of the folder")
            if not path.is_file():
                raise InputError("is no longer there")
            with path.open("rb") as file:
                yield file, os.fstat(file.fileno()).st_size
        except OSError as error:
            raise InputError(f"cannot be opened: {error.strerror or error}") from error


class ZipSource(FileSource):
    """Members of a zip archive that ``check_archive`` has judged harmless; nothing is extracted.

    Args:
        path: the archive, opened at the first read, once for each thread.
        names: its members.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        super().__init__(names)
        self._path = path
        self._local = threading.local()
        # Weak, so that the handle of a thread that ended is closed with it.
        self._handles: WeakSet[zipfile.ZipFile] = WeakSet()

    def read(self, name: str) -> bytes:
        return read_member(self._archive(), name, MAX_FILE_BYTES)

    def head(self, name: str) -> tuple[int, bytes]:
        return read_head(self._archive(), name, HEAD_BYTES)

    def close(self) -> None:
        """Close the archive in all threads; a later read opens it again."""
        for archive in tuple(self._handles):
            archive.close()
        self._local = threading.local()

    def _archive(self) -> zipfile.ZipFile:
        archive: zipfile.ZipFile | None = getattr(self._local, "archive", None)
        if archive is None:
            try:
                archive = open_archive(self._path)
            except (OSError, zipfile.BadZipFile) as error:
                raise InputError(f"cannot be read: the archive '{self._path.name}' is gone or changed") from error
            self._local.archive = archive
            self._handles.add(archive)
        return archive


class ArraySource:
    """Images in memory; the digest is that of shape and pixels.

    Args:
        pixels: ``[N, H, W, 3]`` uint8.
        names: ``N`` of them.
    """

    def __init__(self, pixels: NDArray[np.uint8], names: Sequence[str]) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3 or len(pixels) != len(names):
            raise ValueError(f"want uint8 [{len(names)}, H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
        self._pixels = pixels
        self._names = tuple(names)

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def digest(self, position: int) -> str:
        """SHA-256 of image ``position``: its shape, then its pixels."""
        return _pixel_digest(self._pixels[position])

    def mark(self, position: int) -> str:
        """The digest."""
        return self.digest(position)

    def load(self, position: int, hint: int | None = None) -> tuple[Image.Image, str]:
        """Image ``position`` and its digest; the hint is of no use here."""
        return Image.fromarray(self._pixels[position]), self.digest(position)


def _pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of the shape and pixels ``[H, W, 3]`` of an image."""
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def list_folder(root: Path) -> Listing:
    """All files below a folder; no folder behind a link is entered, no file behind one that leads out is taken."""
    base = root.resolve()
    names, skipped, folders = [], [], [""]
    while folders:
        prefix = folders.pop()
        try:
            entries = list(os.scandir(base / prefix))
        except OSError as error:
            skipped.append(Skipped(prefix.rstrip("/") or root.name, f"cannot be opened: {error.strerror}"))
            continue
        for entry in entries:
            name = prefix + entry.name
            if entry.name.startswith("."):
                continue
            shown = name.encode(errors="replace").decode()
            if shown != name:
                skipped.append(Skipped(shown, "has a name that is not valid Unicode; rename it"))
            elif entry.is_symlink() and (entry.is_dir() or not Path(entry.path).resolve().is_relative_to(base)):
                skipped.append(Skipped(name, "is a link to a folder or out of this one; copy the files in its place"))
            elif entry.is_dir():
                folders.append(name + "/")
            elif entry.is_file():
                names.append(name)
    return tell_apart(names, skipped)
