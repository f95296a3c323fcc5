import io
import stat
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from t2v_core.errors import InputError
from t2v_core.task.archives import ArchiveLimits, check_archive, open_archive, read_member
from t2v_core.task.sources import MAX_FILE_BYTES, ZipSource
from tests.task.pictures import is_one_sentence, pack, picture

MEBI = 2**20


def special(name, mode=0, flags=0, method=zipfile.ZIP_DEFLATED):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    entry.compress_type = method
    entry.flag_bits = flags
    return entry


def pack_entry(path, entry, data=b"x"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, data)
    return path


def patch_contents(path, offset, field, value):
    """Overwrite a field of the first entry in the table of contents."""
    data = bytearray(path.read_bytes())
    struct.pack_into(field, data, data.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(data)
    return path


def table_of_contents_only(path, count):
    """An archive of that many entries, all said to lie at its start."""
    entries = b"".join(
        struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 33, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
        + b"%07d." % number
        for number in range(count)
    )
    stated = 3  # a lie
    path.write_bytes(entries + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, stated, stated, len(entries), 0, 0))
    return path


def sparse(path):
    with path.open("wb") as file:
        file.truncate(1024 * MEBI + 1)
    return path


BAD_ARCHIVES = {
    "not a zip": (lambda p: (p.write_bytes(b"no zip at all"), p)[1], "not a zip archive"),
    "empty file": (lambda p: (p.write_bytes(b""), p)[1], "not a zip archive"),
    "over 1 GiB": (sparse, "1.00 GiB, more than the 1.00 GiB allowed"),
    "parent folder": (lambda p: pack(p, {"../evil.png": b"x"}), "'../evil.png' of 'a.zip' has a name that may lead"),
    "parent inside": (lambda p: pack(p, {"a/../../evil.png": b"x"}), "may lead out"),
    "absolute": (lambda p: pack(p, {"/etc/evil.png": b"x"}), "may lead out"),
    "drive": (lambda p: pack(p, {"C:/evil.png": b"x"}), "may lead out"),
    "backslash": (lambda p: pack(p, {"a\\evil.png": b"x"}), "may lead out"),
    "symlink": (lambda p: pack_entry(p, special("a/link.png", stat.S_IFLNK | 0o777), b"/etc/passwd"), "is a link"),
    "device": (lambda p: pack_entry(p, special("a/dev.png", stat.S_IFCHR | 0o666)), "a device"),
    "password": (lambda p: patch_contents(pack(p, {"a.png": b"x"}), 8, "<H", 1), "protected by a password"),
    "bzip2": (lambda p: pack(p, {"a.png": b"x"}, zipfile.ZIP_BZIP2), "unusual method"),
    "bomb": (lambda p: pack(p, {"a.png": bytes(20 * MEBI)}), "more than 200 times its size"),
    "bomb in parts": (lambda p: pack(p, {f"{i}.png": bytes(3 * MEBI) for i in range(5)}), "more than 200 times"),
    "huge total": (lambda p: patch_contents(pack(p, {"a.png": b"x"}), 24, "<L", 2**32 - 2), "more than"),
    "100,000 entries": (lambda p: table_of_contents_only(p, 100_000), "100,000 entries, more than the 50,000 allowed"),
    "overlap": (lambda p: table_of_contents_only(p, 2), "overlap"),
    "beyond its end": (lambda p: patch_contents(pack(p, {"a.png": b"x"}), 42, "<L", 2**31), "lie beyond its end"),
    "cut short": (lambda p: (p.write_bytes(pack(p, {"a.png": picture()}).read_bytes()[:-30]), p)[1], "not a zip"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_bad_archives_are_refused_in_one_sentence(tmp_path, case):
    make, reason = BAD_ARCHIVES[case]
    path = make(tmp_path / "a.zip")
    with pytest.raises(InputError, match=reason) as caught:
        check_archive(path)
    assert "a.zip" in str(caught.value) and is_one_sentence(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_total_is_limited(tmp_path):
    path = pack(tmp_path / "a.zip", {f"{i}.png": picture(i) for i in range(4)})
    assert len(check_archive(path, ArchiveLimits(max_total_bytes=10_000))) == 4
    with pytest.raises(InputError, match="unpacks to"):
        check_archive(path, ArchiveLimits(max_total_bytes=2_000))


def test_entries_up_to_the_limit_are_fine(tmp_path):
    path = pack(tmp_path / "a.zip", {f"{i}.png": b"x" for i in range(10)})
    assert len(check_archive(path, ArchiveLimits(max_entries=10))) == 10
    with pytest.raises(InputError, match="has 10 entries, more than the 9 allowed"):
        check_archive(path, ArchiveLimits(max_entries=9))


def test_folders_and_junk_are_left_out(tmp_path):
    members = ["a/", "a/1.png", "__MACOSX/a/._1.png", "a/.DS_Store", "a/Thumbs.db", ".hidden/2.png", "inner.zip"]
    path = pack(tmp_path / "a.zip", dict.fromkeys(members, b""))
    assert [entry.filename for entry in check_archive(path)] == ["a/1.png", "inner.zip"]


def test_a_header_that_declares_too_little_gives_an_error_and_no_more_bytes(tmp_path):
    path = patch_contents(pack(tmp_path / "a.zip", {"a.png": bytes(50 * MEBI)}), 24, "<L", 1000)
    with open_archive(path) as archive, pytest.raises(InputError, match="damaged inside the archive"):
        read_member(archive, "a.png", MAX_FILE_BYTES)


def test_a_member_over_the_limit_is_not_read(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.png": bytes(3 * MEBI)})
    with open_archive(path) as archive, pytest.raises(InputError, match="is 3 MiB, more than the 2 MiB allowed"):
        read_member(archive, "a.png", 2 * MEBI)


def test_a_damaged_member_is_an_input_error(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.png": picture(size=(60, 60))}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[500] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged inside the archive"):
        ZipSource(path, ["a.png"]).load(0)


def test_names_are_unicode_even_where_the_archive_does_not_say_so(tmp_path):
    path = pack(tmp_path / "a.zip", {"éa/1.png": picture()})
    unmarked = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", unmarked, unmarked.index(signature) + offset, 0)
    path.write_bytes(unmarked)
    names = [entry.filename for entry in check_archive(path)]
    assert names == ["éa/1.png"]
    assert ZipSource(path, names).load(0)[0].size == (24, 18)


def test_zip_source_reads_from_many_threads_and_closes(tmp_path):
    members = {f"{i}.png": picture(i) for i in range(40)}
    source = ZipSource(pack(tmp_path / "a.zip", members), list(members))
    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(source.read, members))
    assert contents == list(members.values())
    source.close()
    assert source.read("3.png") == members["3.png"]
    source.close()
    (tmp_path / "a.zip").unlink()
    with pytest.raises(InputError, match="gone or changed"):
        source.load(0)


def test_an_archive_in_memory_can_be_opened_too():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "hello")
    assert read_member(open_archive(buffer), "a.txt", 10) == b"hello"
