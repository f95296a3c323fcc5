"""Untrusted zip archives: judged by their table of contents, read in place, never extracted."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from t2v_core.errors import InputError
from t2v_core.task.layout import is_junk

GIB = 2**30
RATIO_FLOOR = 10 * 2**20
LOCAL_HEADER_BYTES = 30
ENTRY_SIGNATURE = b"PK\x01\x02"
CONTENTS_BYTES_PER_ENTRY = 1024
READ_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, RuntimeError, UnicodeDecodeError)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The methods of which a bounded number of bytes can be unpacked at a time."""


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold.

    Attributes:
        max_entries: files and folders.
        max_archive_bytes: of the archive itself.
        max_total_bytes: of all files unpacked.
        max_ratio: unpacked to packed size, of a file or of all together, beyond ``RATIO_FLOOR`` bytes.
    """

    max_entries: int = 50_000
    max_archive_bytes: int = GIB
    max_total_bytes: int = 4 * GIB
    max_ratio: int = 200


def check_archive(path: Path, limits: ArchiveLimits | None = None, shown: str = "") -> list[zipfile.ZipInfo]:
    """Judge an untrusted archive by its table of contents, before anything in it is read.

    Args:
        path: the archive.
        limits: what it may hold; the defaults suit an upload.
        shown: what messages call it; by default the file's own name.

    Returns:
        Its files, without folders and the junk of operating systems; of two with one name, the last.

    Raises:
        InputError: not a zip, too large, or an entry that no harmless archive has.
    """
    limits, shown = limits or ArchiveLimits(), shown or path.name
    size = path.stat().st_size
    if size > limits.max_archive_bytes:
        raise InputError(
            f"'{shown}' is {size / GIB:.2f} GiB, more than the {limits.max_archive_bytes / GIB:.2f} GiB "
            "allowed; unpack it and give the folder, or leave images out"
        )
    with path.open("rb") as file:
        return check_contents(file, shown, limits)


def check_contents(file: BinaryIO, archive_name: str, limits: ArchiveLimits) -> list[zipfile.ZipInfo]:
    """``check_archive`` for one that is open, such as an archive inside another, which is judged like that one.

    Raises:
        InputError: see there.
    """
    size = file.seek(0, io.SEEK_END)
    guard = _ContentsGuard(file, archive_name, limits.max_entries)
    try:
        with open_archive(cast(BinaryIO, guard)) as archive:
            entries = archive.infolist()
    except InputError:
        raise
    except Exception as error:  # zipfile fails on a damaged table in many ways
        raise InputError(f"'{archive_name}' is not a zip archive, or a damaged one; zip the folder again") from error
    for entry in entries:
        _check_entry(entry, archive_name)
    _check_entries(entries, archive_name, size, limits)
    files = {entry.filename: entry for entry in entries if not entry.is_dir() and not is_junk(entry.filename)}
    return list(files.values())


def check_sizes(unpacked_bytes: int, packed_bytes: int, archive: str, limits: ArchiveLimits) -> None:
    """Judge what is packed before it is unpacked.

    Raises:
        InputError: it is too much, or far more than what holds it.
    """
    if unpacked_bytes > limits.max_total_bytes:
        raise InputError(
            f"'{archive}' unpacks to {unpacked_bytes / GIB:.1f} GiB, more than the "
            f"{limits.max_total_bytes / GIB:.1f} GiB allowed; leave images out"
        )
    if unpacked_bytes > max(RATIO_FLOOR, limits.max_ratio * packed_bytes):
        raise InputError(
            f"'{archive}' unpacks to more than {limits.max_ratio} times its size, as no archive of photographs "
            "does; zip the plain folder again"
        )


def open_archive(file: Path | BinaryIO) -> zipfile.ZipFile:
    """Open a zip, its names read as UTF-8 even where they are not marked so (macOS leaves the mark out)."""
    try:
        return zipfile.ZipFile(file, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(file)


def read_member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """One file of an archive; what its header declares is believed only as an upper bound.

    Raises:
        InputError: larger than ``max_bytes``, or damaged; the message leaves the name out.
    """
    try:
        entry = archive.getinfo(name)
        if entry.file_size > max_bytes:
            raise InputError(f"is {entry.file_size >> 20} MiB, more than the {max_bytes >> 20} MiB allowed")
        with archive.open(entry) as member:
            return member.read(entry.file_size + 1)  # one more than declared: the reader checks the CRC at the end
    except READ_ERRORS as error:
        raise InputError("is damaged inside the archive") from error


def read_head(archive: zipfile.ZipFile, name: str, most: int) -> tuple[int, bytes]:
    """The size of one file of an archive, as declared, and its first ``most`` bytes.

    Raises:
        InputError: it is damaged; the message leaves the name out.
    """
    try:
        entry = archive.getinfo(name)
        with archive.open(entry) as member:
            return entry.file_size, member.read(min(most, entry.file_size))
    except READ_ERRORS as error:
        raise InputError("is damaged inside the archive") from error


class _ContentsGuard(io.RawIOBase):
    """A file that refuses to hand out a table of contents with too many entries.

    ``ZipFile`` reads the table in one go and makes an object of each entry; the number of entries
    that the archive states elsewhere binds it to nothing.
    """

    def __init__(self, file: BinaryIO, name: str, max_entries: int) -> None:
        self._file = file
        self._name = name
        self._max_entries = max_entries

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        if size > max(self._max_entries * CONTENTS_BYTES_PER_ENTRY, 2**20):
            raise InputError(f"the table of contents of '{self._name}' is far too long; zip the plain folder again")
        data = self._file.read(size)
        count = data.count(ENTRY_SIGNATURE)
        if count > self._max_entries:
            raise InputError(
                f"'{self._name}' has {count:,} entries, more than the {self._max_entries:,} allowed; "
                "leave images out: a few hundred of each class are enough"
            )
        return data


def _check_entry(entry: zipfile.ZipInfo, archive: str) -> None:
    name = entry.orig_filename
    mode = stat.S_IFMT(entry.external_attr >> 16)
    shown = repr(name if len(name) < 80 else name[:77] + "...")
    if ".." in name.split("/") or name.startswith("/") or re.match("[A-Za-z]:", name) or "\\" in name or "\0" in name:
        fault = "has a name that may lead out of the archive"
    elif mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        fault = "is a link or a device rather than a file"
    elif entry.flag_bits & 0x1:
        fault = "is protected by a password"
    elif entry.compress_type not in METHODS:
        fault = "is packed by an unusual method"
    else:
        return
    raise InputError(f"the entry {shown} of '{archive}' {fault}; zip the plain folder again")


def _check_entries(entries: list[zipfile.ZipInfo], archive: str, size: int, limits: ArchiveLimits) -> None:
    check_sizes(sum(e.file_size for e in entries), sum(e.compress_size for e in entries), archive, limits)
    for entry in entries:
        check_sizes(entry.file_size, entry.compress_size, archive, limits)
    in_order = sorted(entries, key=lambda entry: entry.header_offset)
    starts = [*(entry.header_offset for entry in in_order[1:]), size]
    for entry, following in zip(in_order, starts, strict=bool(in_order)):
        if entry.header_offset + LOCAL_HEADER_BYTES + entry.compress_size > following:
            raise InputError(f"'{archive}' has entries that overlap or lie beyond its end; zip the plain folder again")
