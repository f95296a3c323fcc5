import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from t2v_core.errors import Cancelled, InputError
from t2v_core.task import streaming
from t2v_core.task.decoding import decode
from t2v_core.task.images import open_image, prepare
from t2v_core.task.reading import scan
from t2v_core.task.record import Task
from t2v_core.task.sources import ArraySource
from t2v_core.task.streaming import stream
from tests.task.pictures import SPEC, class_names, encode, fill, is_one_sentence, pack, picture


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path / "pets", class_names({"cat": 5, "dog": 4}))


def task_of(path):
    (task,) = scan(path).tasks
    return task


@pytest.mark.parametrize("workers", [1, 4])
def test_pixels_stand_in_the_order_of_the_task(folder, workers):
    task = task_of(folder)
    decoded = decode(task, SPEC, workers=workers)
    expected = [prepare(open_image((folder / name).read_bytes()), SPEC) for name in task.names]
    np.testing.assert_array_equal(decoded.pixels, expected)
    assert decoded.task is task and decoded.skipped == ()


def test_folder_and_archive_give_the_same(folder, tmp_path):
    members = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}
    zipped = decode(task_of(pack(tmp_path / "pets.zip", members)), SPEC)
    plain = decode(task_of(folder), SPEC)
    assert zipped.content_hash == plain.content_hash and zipped.digests == plain.digests
    np.testing.assert_array_equal(zipped.pixels, plain.pixels)


@pytest.mark.parametrize(("file_format", "same"), [("PNG", True), ("BMP", True), ("JPEG", False)])
def test_an_image_stored_anew_without_loss_is_known_again(tmp_path, file_format, same):
    """A bank's own worlds are arrays; whoever uploads their images again may not get experts that saw them."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    source = ArraySource(pixels, [f"{i}" for i in range(4)])
    for number, image in enumerate(pixels):
        path = tmp_path / f"{'cat' if number < 2 else 'dog'}/{number}.{file_format.lower()}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(Image.fromarray(image), file_format))
    found = decode(task_of(tmp_path), SPEC).digests
    assert (list(found) == [source.digest(i) for i in range(4)]) is same


@pytest.mark.parametrize("budget", [10**9, 1])
def test_unreadable_images_are_dropped_and_named(folder, budget):
    (folder / "cat/1.png").write_bytes(b"text")
    (folder / "dog/0.png").write_bytes(picture(size=(99, 99))[:2000])
    decoded = decode(task_of(folder), SPEC, budget_bytes=budget)
    assert [item.name for item in decoded.skipped] == ["cat/1.png", "dog/0.png"]
    assert decoded.task.names == [
        "cat/0.png",
        "cat/2.png",
        "cat/3.png",
        "cat/4.png",
        *[f"dog/{i}.png" for i in (1, 2, 3)],
    ]
    expected = [prepare(open_image((folder / name).read_bytes()), SPEC) for name in decoded.task.names]
    np.testing.assert_array_equal(decoded.pixels, expected)


def test_a_class_that_cannot_be_read_is_named(folder):
    for number in range(3):
        (folder / f"dog/{number}.png").write_bytes(b"text")
    with pytest.raises(InputError, match=r"only 1 of the images of class 'dog'.*'dog/0.png' is not a JPEG") as caught:
        decode(task_of(folder), SPEC)
    assert is_one_sentence(caught.value)


def test_a_class_that_cannot_be_read_is_no_matter_where_labels_are_not(folder):
    for number in range(3):
        (folder / f"dog/{number}.png").write_bytes(b"text")
    decoded = decode(task_of(folder), SPEC, blind=True)
    assert len(decoded) == 6
    assert len(decoded.skipped) == 3


def test_nothing_readable_gives_the_first_reason(folder):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"text")
    with pytest.raises(InputError, match=r"none of the 9 images can be read; the first, 'cat/0.png', is not") as caught:
        decode(task_of(folder), SPEC)
    assert is_one_sentence(caught.value)


def test_held_out_images_may_all_fail(folder):
    task = task_of(folder)
    task = replace(task, held_out=np.array([name == "dog/3.png" for name in task.names]))
    (folder / "dog/3.png").write_bytes(b"text")
    assert len(decode(task, SPEC)) == 8


def test_other_errors_are_not_swallowed(folder):
    with pytest.raises(ValueError, match="'nearest'"):
        decode(task_of(folder), replace(SPEC, interpolation="nearest"))


def test_pillows_remarks_on_odd_files_are_kept_quiet(folder, recwarn):
    odd = encode(Image.new("RGB", (40, 20)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        open_image(odd)
    (folder / "cat/odd.jpg").write_bytes(odd)
    assert len(decode(task_of(folder), SPEC)) == 10
    assert not list(recwarn)


def test_progress_is_sparse_and_complete(folder):
    calls = []
    decode(task_of(folder), SPEC, progress=lambda *call: calls.append((time.monotonic(), *call)))
    assert calls[-1][1:3] == (9, 9) and "images/s" in calls[-1][3]
    assert [done for _, done, _, _ in calls] == sorted(done for _, done, _, _ in calls)
    assert len(calls) <= 2 + (calls[-1][0] - calls[0][0]) / streaming.SECONDS_BETWEEN_REPORTS


def test_cancelling_stops_promptly_and_propagates():
    started = []

    def work(position):
        started.append(position)
        time.sleep(0.01)

    def cancel(done, total, message):
        raise Cancelled

    with pytest.raises(Cancelled):
        list(stream(work, 100_000, workers=2, progress=cancel))
    assert 0 < len(started) < 50
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]


def test_few_calls_are_in_flight_at_once():
    lock = threading.Lock()
    running = most = 0
    submitted = []

    def work(position):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            submitted.append(position)
        time.sleep(0.0005)
        with lock:
            running -= 1

    furthest = 0
    for done, _ in enumerate(stream(work, 400, workers=3)):
        furthest = max(furthest, max(submitted) - done)
    assert most <= 3 and sorted(submitted) == list(range(400))
    assert furthest < 4 * 3 * 3


def apart(code, *arguments):
    """What code prints in a process of its own: what else a worker of the tests keeps is not counted there."""
    start = (
        "import re, sys, tracemalloc; from pathlib import Path; from t2v_core.task.decoding import decode;"
        "from t2v_core.task.reading import scan; from t2v_core.task.record import InputSpec;"
    )
    command = [sys.executable, "-c", start + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_three_thousand_images_in_bounded_memory(tmp_path):
    names = class_names({"a": 1500, "b": 1500})
    data = [picture(seed, (300, 300), "JPEG") for seed in range(2)]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data[name < "b"])
    size, peak, equal, differs, spread = apart(
        "task = scan(Path(sys.argv[1])).tasks[0]; tracemalloc.start();"
        "p = decode(task, InputSpec(64, 64, (0,) * 3, (1,) * 3), workers=3, budget_bytes=2**20).pixels;"
        "print(p.nbytes, tracemalloc.get_traced_memory()[1]);"
        "print((p[0] == p[1499]).all(), (p[0] != p[1500]).any(), p[0].std())",
        tmp_path,
    )
    whole = 3000 * 64 * 64 * 3
    assert int(size) == whole and int(peak) < whole / 4
    assert (equal, differs) == ("True", "True") and float(spread) > 1


def test_pixels_beyond_the_budget_lie_in_a_file_without_a_name(folder, temporary_folder):
    decoded = decode(task_of(folder), SPEC, budget_bytes=1)
    assert isinstance(decoded.pixels, np.memmap)
    assert list(temporary_folder.iterdir()) == []
    np.testing.assert_array_equal(decoded.pixels, decode(task_of(folder), SPEC).pixels)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the most memory a process had there")
def test_pixels_in_a_file_do_not_count_as_memory(tmp_path):
    """400 images of 512 pixels are 300 MiB; the process that decodes them stays below 200."""
    fill(tmp_path / "pets", class_names({"a": 200, "b": 200}))
    size, peak, there = apart(
        "d = decode(scan(Path(sys.argv[1])).tasks[0], InputSpec(512, 512, (0,) * 3, (1,) * 3), budget_bytes=1);"
        "peak = re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1];"
        "print(d.pixels.nbytes >> 20, int(peak) >> 10, d.pixels[7].std() > 1)",
        tmp_path / "pets",
    )
    assert int(size) == 300 and there == "True"
    assert int(peak) < 200


def test_a_full_disk_is_said_before_the_work(folder, monkeypatch):
    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    with pytest.raises(InputError, match=r"no room for 0.0 GiB of decoded images"):
        decode(task_of(folder), SPEC, budget_bytes=1)


PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)


def hash_of(labels, classes, order, names):
    source = ArraySource(PIXELS[order], [names[i] for i in order])
    task = Task("t", classes, source, np.arange(len(order)), np.array(labels)[order], np.zeros(len(order), bool))
    return decode(task, SPEC, workers=2).content_hash


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=12, max_size=12),
    st.permutations(range(12)),
    st.permutations(range(3)),
    st.integers(0, 11),
)
def test_content_hash_is_of_images_and_labels_alone(labels, order, numbering, changed):
    classes = ("ant", "bee", "cow")
    reference = hash_of(labels, classes, np.arange(12), [f"{i}.png" for i in range(12)])
    renamed_classes = tuple(classes[numbering.index(k)] for k in range(3))
    renumbered = [numbering[label] for label in labels]
    assert reference == hash_of(renumbered, renamed_classes, np.array(order), [f"other {i}.png" for i in range(12)])
    relabelled = [(label + 1) % 3 if i == changed else label for i, label in enumerate(labels)]
    assert reference != hash_of(relabelled, classes, np.arange(12), [f"{i}.png" for i in range(12)])
