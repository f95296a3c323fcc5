"""What several commands take: where to read from and where to write to, refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

from t2v_core.errors import InputError
from t2v_core.task.reading import check_exists


def source(path: str) -> str:
    """The folder or zip to read.

    Raises:
        InputError: there is none.
    """
    check_exists(path)
    return path


def target(path: Path, *, folder: bool = False) -> Path:
    """The file, or folder, to write.

    Args:
        path: it may not be there yet; a folder's parents neither.
        folder: whether a folder is wanted.

    Raises:
        InputError: nothing can be written there.
    """
    if path.exists() and path.is_dir() != folder:
        is_, wanted = ("file", "folder") if folder else ("folder", "file")
        raise InputError(f"{str(path)!r} is a {is_}; name a {wanted} to write to")
    parent = path.resolve().parent
    while folder and not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(path if path.exists() else parent, os.W_OK):
        raise InputError(f"nothing can be written to {str(path)!r}; choose another place")
    return path
