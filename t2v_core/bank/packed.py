"""Arrays packed as npz, which is a zip: judged like any untrusted archive before they are unpacked."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from t2v_core.errors import InputError
from t2v_core.task.archives import GIB, ArchiveLimits, check_contents, check_sizes, read_member

LIMITS = ArchiveLimits(max_entries=200_000, max_archive_bytes=4 * GIB)
"""Those of an upload, but for numbers and bytes: three arrays an embedding, and weights that nothing makes smaller."""


def unpack(data: bytes, title: str) -> dict[str, NDArray]:
    """The arrays of an npz by name.

    Args:
        data: the npz.
        title: what a person calls it.

    Raises:
        InputError: it is damaged, holds anything but plain arrays, or would unpack to far more than its size.
    """
    try:
        entries = check_contents(io.BytesIO(data), title, LIMITS)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # Not by np.load, which believes the size that a member declares.
            return {e.filename.removesuffix(".npy"): _array(archive, e.filename) for e in entries}
    except Exception as error:  # zipfile and numpy fail on damaged data in many ways; MemoryError is one
        raise _refused(title, error) from error


def check_chunks(unpacked_bytes: int, packed_bytes: int) -> None:
    """Judge the chunks of all embeddings together by the limits of an npz: each is compressed by itself.

    Raises:
        InputError: they are too much, or far more than what holds them.
    """
    try:
        check_sizes(unpacked_bytes, packed_bytes, "chunks", LIMITS)
    except InputError as error:
        raise _refused("chunks", error) from error


def _array(archive: zipfile.ZipFile, name: str) -> NDArray:
    data = read_member(archive, name, LIMITS.max_total_bytes)
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _refused(title: str, error: Exception) -> InputError:
    reason = str(error).partition(";")[0]  # the advice that follows is for archives of images
    return InputError(f"the arrays {title!r} cannot be unpacked ({reason}); export the bank again")
