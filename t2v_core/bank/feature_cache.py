"""Features of images under experts, kept on disk so that no error is computed from pixels twice."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GIBIBYTES = 4.0


def limit_bytes() -> int:
    """How much disk the features may take: ``T2V_FEATURES_GIB``, by default 4 GiB."""
    return int(float(os.environ.get("T2V_FEATURES_GIB", GIBIBYTES)) * 2**30)


class FeatureCache:
    """Arrays ``[N, d]`` by key, as ``.npy`` files; beyond its limit those not used for longest go.

    They are float16, or float32 where a number would not fit into that.

    Args:
        folder: of its own; made at the first ``put``.
        limit: bytes it may take.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        self.limit = limit_bytes() if limit is None else limit

    def has(self, key: str) -> bool:
        """Whether there is an array of this key."""
        return self._file(key).exists()

    def get(self, key: str) -> NDArray[np.float32] | None:
        """The array of a key, or None where it was never put, has been removed, or cannot be read."""
        file = self._file(key)
        try:
            array = np.load(file, allow_pickle=False)
            os.utime(file)  # used just now
        except (OSError, ValueError, EOFError):
            return None
        return array.astype(np.float32)

    def put(self, key: str, features: NDArray[np.float32]) -> None:
        """Keep an array. A reader sees all of it or nothing.

        Raises:
            ValueError: the key is not a hex digest, which alone makes a safe file name.
        """
        file = self._file(key)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{key}.{os.getpid()}"
        with temporary.open("wb") as stream:
            np.save(stream, _halved(features), allow_pickle=False)
        temporary.replace(file)
        self._make_room()

    def _file(self, key: str) -> Path:
        if not key or set(key) - set("0123456789abcdef"):
            raise ValueError(f"a key is a hex digest, got {key!r}")
        return self.folder / f"{key}.npy"

    def _make_room(self) -> None:
        found = []
        for file in self.folder.glob("*.npy"):  # not what other processes are writing
            try:
                found.append((file.stat().st_mtime, file.stat().st_size, file))
            except FileNotFoundError:  # another process made room
                continue
        total = sum(size for _, size, _ in found)
        for _, size, file in sorted(found)[:-1]:  # the newest stays: it is what was just asked for
            if total <= self.limit:
                return
            file.unlink(missing_ok=True)
            total -= size


def _halved(features: NDArray[np.float32]) -> NDArray[np.float16] | NDArray[np.float32]:
    with np.errstate(over="ignore"):
        halves = features.astype(np.float16)
    return halves if np.isfinite(halves).all() else features
