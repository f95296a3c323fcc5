"""Reading CIFAR-100 as two sets of one world: A, its training images, and B, its test images.

Images that occur twice bit for bit (26 pairs, some with two different labels, some across A and B) are kept once, so
that A and B share no image. Near-duplicates remain: about one test image in ten resembles a training image closely
(Barz and Denzler, "Do we train on test data?", 2020), which makes A a slightly better teacher of B than it should be.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from t2v_core.errors import InputError
from t2v_core.task.record import IntArray, Progress
from t2v_core.task.sources import ArraySource
from t2v_core.task.worlds import Chosen
from t2v_core.task.worlds.taxonomy import CLASSES

SIDE = 32
_LARGEST_FILE = 1 << 20  # bytes; a real one has about 2,000
_FEWEST = 5  # images a class, below which a split leaves nothing to learn from or to test on
_EXPECTED = "expected train/<class>/* and test/<class>/* with the 100 class names of CIFAR-100"


@dataclass(frozen=True)
class Share:
    """Which part of a class's images a task takes to train on and to hold out."""

    train: float
    held_out: float


@dataclass(frozen=True)
class Pool:
    """One of the two sets.

    Attributes:
        source: the images.
        pixels: ``[N, 32, 32, 3]`` uint8.
        labels: ``[N]`` positions in ``CLASSES``.
        digests: ``[N]`` identities of the images.
    """

    source: ArraySource
    pixels: NDArray[np.uint8]
    labels: IntArray
    digests: tuple[str, ...]

    def choose(self, classes: tuple[str, ...], share: Share, seed: int) -> tuple[Chosen, IntArray]:
        """A seeded choice of images of some classes, and their ``[N]`` labels as positions in ``classes``.

        Each class has one order per seed; training images come from its front and held-out ones from its back.
        So an image that one task trains on is never held out by another task of the same set, as long as the
        shares of all tasks respect one cut.
        """
        index, labels, held_out = [], [], []
        for label, name in enumerate(classes):
            number = CLASSES.index(name)
            order = np.random.default_rng([seed, number]).permutation(np.flatnonzero(self.labels == number))
            train = max(1, round(len(order) * share.train))
            held = max(1, round(len(order) * share.held_out))
            index.append(np.concatenate([order[:train], order[len(order) - held :]]))
            labels.append(np.full(train + held, label))
            held_out.append(np.arange(train + held) >= train)
        rows = np.concatenate(index)
        digests = tuple(self.digests[i] for i in rows)
        chosen = Chosen(self.source, rows, self.pixels[rows], digests, np.concatenate(held_out))
        return chosen, np.concatenate(labels)


@dataclass(frozen=True)
class Cifar100:
    """The data set: ``large`` is set A (the training images), ``small`` is set B (the test images)."""

    large: Pool
    small: Pool


def read_cifar100(path: Path, progress: Progress | None = None) -> Cifar100:
    """Reads CIFAR-100 from a zip file or an equal folder.

    Args:
        path: holds ``train/<class>/*`` and ``test/<class>/*``, images of 32×32 pixels in any format Pillow reads.
        progress: called every thousand images.

    Raises:
        InputError: it is not that data set.
    """
    with _opened(path) as (names, read):
        listed = {part: _listing(names, part, path) for part in ("train", "test")}
        total = sum(len(files) for files in listed.values())
        seen: set[str] = set()
        done = 0
        pools = {}
        with ThreadPoolExecutor() as threads:
            for part, files in listed.items():
                pixels = np.empty((len(files), SIDE, SIDE, 3), np.uint8)
                # A batch at a time, so that a cancelled reading stops at once.
                for start in range(0, len(files), 1000):
                    batch = files[start : start + 1000]
                    for row, image in enumerate(threads.map(lambda name: _pixels(name, read), batch), start):
                        pixels[row] = image
                    done += len(batch)
                    if progress:
                        progress(done, total, "reading CIFAR-100")
                pools[part] = _pool(pixels, files, seen, path)
    return Cifar100(large=pools["train"], small=pools["test"])


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Names of the files in a zip or folder, and a function that reads one by its name."""
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in path.glob("*/*/*") if file.is_file()]
        yield names, lambda name: (path / name).read_bytes()
        return
    try:
        archive = ZipFile(path)
    except (OSError, BadZipFile) as error:
        raise InputError(f"{path} is neither a folder nor a zip file that can be read; {_EXPECTED}.") from error
    with archive:
        # Larger entries are no 32×32 images: leaving them out keeps a zip bomb from unfolding.
        yield [e.filename for e in archive.infolist() if not e.is_dir() and e.file_size <= _LARGEST_FILE], archive.read


def _listing(names: list[str], part: str, path: Path) -> list[str]:
    """Sorted file names of ``train`` or ``test``; raises ``InputError`` where a class lacks images."""
    files = sorted(name for name in names if name.startswith(f"{part}/") and name.count("/") == 2)
    counts = dict.fromkeys(CLASSES, 0)
    for name in files:
        label = _class(name)
        if label not in counts:
            raise InputError(f"{path} has a folder {part}/{PurePosixPath(name).parent.name}; {_EXPECTED}.")
        counts[label] += 1
    poor = [label for label, count in counts.items() if count < _FEWEST]
    if poor:
        raise InputError(
            f"{path} has fewer than {_FEWEST} images in {part}/ for {len(poor)} of 100 classes, "
            f"among them {poor[0]!r}; {_EXPECTED}."
        )
    return files


def _class(name: str) -> str:
    return PurePosixPath(name).parent.name.replace("_", " ")


def _pixels(name: str, read: Callable[[str], bytes]) -> NDArray[np.uint8]:
    try:
        image = Image.open(io.BytesIO(read(name)))
        size = image.size
        array = np.asarray(image.convert("RGB")) if size == (SIDE, SIDE) else None
    except Exception as error:  # Pillow's readers and zipfile fail on damaged files in many ways
        raise InputError(f"{name} cannot be read as an image ({error}).") from error
    if array is None:
        raise InputError(f"{name} has {size[0]}×{size[1]} pixels; CIFAR-100 images have 32×32.")
    return array


def _pool(pixels: NDArray[np.uint8], files: list[str], seen: set[str], path: Path) -> Pool:
    """The images as a pool, without those whose digest is in ``seen``; adds theirs to it."""
    source = ArraySource(pixels, files)
    digests = [source.digest(row) for row in range(len(files))]
    kept = []
    for row, digest in enumerate(digests):
        if digest not in seen:
            seen.add(digest)
            kept.append(row)
    labels = np.array([CLASSES.index(_class(files[row])) for row in kept], np.int64)
    if np.bincount(labels, minlength=len(CLASSES)).min() < _FEWEST:
        raise InputError(f"{path} has a class with fewer than {_FEWEST} different images.")
    pixels = pixels[kept]
    return Pool(ArraySource(pixels, [files[row] for row in kept]), pixels, labels, tuple(digests[row] for row in kept))
