import os
import unicodedata
import zipfile

import numpy as np
import pytest

from t2v_core.errors import InputError, LabelError
from t2v_core.task.reading import inspect, scan, warnings_for
from t2v_core.task.record import Task
from t2v_core.task.sources import MAX_FILE_BYTES, ArraySource, FolderSource
from tests.task.pictures import class_names, fill, is_one_sentence, pack, picture, png_header

PETS = class_names({"cat": 2, "dog": 3})


def content(task):
    """Name, class and split of every image."""
    return [(name, task.classes[k], bool(h)) for name, k, h in zip(task.names, task.labels, task.held_out, strict=True)]


def only(result):
    (task,) = result.tasks
    return task


def test_one_subfolder_per_class(tmp_path):
    result = scan(fill(tmp_path / "pets", PETS))
    task = only(result)
    assert (task.name, task.classes, result.labelled, result.skipped) == ("pets", ("cat", "dog"), True, ())
    assert content(task) == [(name, name[:3], False) for name in PETS]


def test_deeper_images_belong_to_the_class(tmp_path):
    task = only(scan(fill(tmp_path, ["rose/2019/1.jpg", "rose/2.jpg", "tulip/1.jpg", "tulip/a/b/2.jpg"])))
    assert task.classes == ("rose", "tulip") and task.counts.tolist() == [2, 2]


@pytest.mark.parametrize("wrapping", ["flowers/", "upload/flowers/", "a/b/c/"])
def test_wrapping_folders_are_taken_off(tmp_path, wrapping):
    task = only(scan(fill(tmp_path, [wrapping + name for name in PETS])))
    assert task.classes == ("cat", "dog")
    assert task.names == [wrapping + name for name in PETS]


@pytest.mark.parametrize("held", ["test", "val", "Valid", "VALIDATION"])
@pytest.mark.parametrize("wrapping", ["", "flowers/"])
def test_train_and_held_out_folders(tmp_path, held, wrapping):
    train = class_names({"cat": 3, "dog": 2}, f"{wrapping}Train/")
    test = class_names({"cat": 1}, f"{wrapping}{held}/")
    task = only(scan(fill(tmp_path, train + test)))
    assert task.classes == ("cat", "dog")
    assert {(name, h) for name, _, h in content(task)} == {(n, False) for n in train} | {(n, True) for n in test}


def test_a_train_folder_alone_is_a_wrapping(tmp_path):
    task = only(scan(fill(tmp_path, ["train/" + name for name in PETS])))
    assert task.classes == ("cat", "dog") and not task.held_out.any()


def test_a_class_called_train_is_a_class(tmp_path):
    assert only(scan(fill(tmp_path, class_names({"bus": 2, "train": 2})))).classes == ("bus", "train")


def test_a_flat_folder_is_unlabelled(tmp_path):
    result = scan(fill(tmp_path, [f"{i}.png" for i in range(5)]))
    task = only(result)
    assert not result.labelled and task.classes == ("",) and len(task) == 5


def test_what_is_no_image_is_skipped_with_a_reason_and_junk_in_silence(tmp_path):
    fill(tmp_path, [*PETS, "loose.png", ".hidden/3.png", "cat/.4.png", "__MACOSX/cat/1.png"])
    for name in ("read me.txt", "cat/inner.zip", "Thumbs.db", ".DS_Store", "cat/labels.csv"):
        (tmp_path / name).write_bytes(b"x")
    result = scan(tmp_path)
    assert only(result).names == PETS
    assert {item.name: item.reason for item in result.skipped} == {
        "read me.txt": "is not an image file",
        "cat/inner.zip": "is an archive; unpack it first",
        "cat/labels.csv": "is not an image file",
        "loose.png": "lies outside the class folders",
    }


def test_links_are_not_followed_out_of_the_folder(tmp_path):
    fill(tmp_path / "elsewhere", ["secret.png"])
    root = fill(tmp_path / "pets", PETS)
    (root / "cat/out.png").symlink_to(tmp_path / "elsewhere/secret.png")
    (root / "dog/folder").symlink_to(tmp_path / "elsewhere")
    (root / "dog/inside.png").symlink_to(root / "cat/0.png")
    result = scan(root)
    assert "dog/inside.png" in only(result).names and len(only(result)) == 6
    assert {item.name for item in result.skipped} == {"cat/out.png", "dog/folder"}
    with pytest.raises(InputError, match="is a link that leads out of the folder"):
        FolderSource(root, ["cat/out.png"]).load(0)
    with pytest.raises(InputError, match="leads out"):
        FolderSource(root, ["../elsewhere/secret.png"]).load(0)


def test_a_file_over_the_limit_or_gone_is_refused(tmp_path):
    with (tmp_path / "big.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 2**20)
    source = FolderSource(tmp_path, ["big.png", "gone.png"])
    with pytest.raises(InputError, match="is 65 MiB, more than the 64 MiB allowed"):
        source.load(0)
    with pytest.raises(InputError, match="is no longer there"):
        source.load(1)


def test_unicode_and_very_long_names(tmp_path):
    long = "x" * 250
    labels = [unicodedata.normalize("NFD", "Blüte"), "日本語", "emoji 🌷"]
    result = scan(fill(tmp_path, [f"{label}/{stem}.png" for label in labels for stem in ("ä", long)]))
    assert only(result).classes == ("Blüte", "emoji 🌷", "日本語")
    assert all(only(result).source.load(i)[0].size == (24, 18) for i in range(6))


def test_a_name_that_is_not_unicode_is_skipped(tmp_path):
    fill(tmp_path, PETS)
    (tmp_path / os.fsdecode(b"cat/\xff.png")).write_bytes(picture())
    result = scan(tmp_path)
    assert [item.reason for item in result.skipped] == ["has a name that is not valid Unicode; rename it"]


def test_the_same_whatever_the_order_on_disk(tmp_path):
    forward, backward = fill(tmp_path / "a", PETS), tmp_path / "b"
    for name in reversed(PETS):
        (backward / name).parent.mkdir(parents=True, exist_ok=True)
        (backward / name).write_bytes((forward / name).read_bytes())
    assert content(only(scan(forward))) == content(only(scan(backward)))


def test_a_zip_is_read_in_place(tmp_path):
    members = {f"pets/{name}": picture(i) for i, name in enumerate(PETS)}
    members |= {"pets/notes.txt": b"x", "pets/more.zip": b"x", "__MACOSX/pets/cat/._0.png": b"x"}
    path = pack(tmp_path / "pets.zip", members)
    result = scan(path)
    assert only(result).name == "pets" and content(only(result)) == [(f"pets/{n}", n[:3], False) for n in PETS]
    assert {item.name for item in result.skipped} == {"pets/notes.txt", "pets/more.zip"}
    assert only(result).source.load(0)[0].size == (24, 18)
    assert list(tmp_path.iterdir()) == [path]


def test_a_zip_with_a_table(tmp_path):
    members = {f"pets/{i}.png": picture(i) for i in range(4)}
    members["pets/Labels.csv"] = b"\xef\xbb\xbffile,label\r\n0.png,a\r\n1.png,b\r\n2.png,a\r\n3.png,b\r\n"
    assert only(scan(pack(tmp_path / "x.zip", members), name="pets")).labels.tolist() == [0, 1, 0, 1]


def test_trusted_archives_may_have_many_entries(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(50_001):
            archive.writestr(zipfile.ZipInfo(f"{number % 2}/{number}.png"), b"")
    with pytest.raises(InputError, match="50,001 entries"):
        scan(tmp_path / "many.zip")
    assert len(only(scan(tmp_path / "many.zip", trusted=True))) == 50_001


BAD_FOLDERS = {
    "empty": ([], "is empty; give one subfolder per class"),
    "no images": (["a.txt", "b/c.txt"], "holds no images"),
    "one class": (class_names({"cats": 5}), "has one class 'cats'; a task needs at least two"),
    "one class, wrapped": (class_names({"cats": 5}, "pets/"), "has one class 'cats'"),
    "two images": (class_names({"cat": 1, "dog": 1}), "has 2 images; a task needs at least 4"),
    "two loose images": (["1.png", "2.png"], "has 2 images; a task needs at least 4"),
    "a class of one": (class_names({"cat": 5, "dog": 1}), "class 'dog' of 'in' has 1 image; add at least one more"),
    "a class only to test": (
        class_names({"cat": 3, "dog": 3}, "train/") + class_names({"eel": 2}, "test/"),
        "class 'eel' of 'in' has no images to learn from",
    ),
    "split without classes": (["train/1.png", "train/2.png", "test/1.png"], "the train folder holds no class folders"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_folders_are_refused_in_one_sentence(tmp_path, case):
    names, reason = BAD_FOLDERS[case]
    root = tmp_path / "in"
    root.mkdir()
    fill(root, names)
    with pytest.raises(InputError, match=reason) as caught:
        scan(root)
    assert is_one_sentence(caught.value)


def test_paths_that_are_no_data_set(tmp_path):
    with pytest.raises(InputError, match=r"does not exist; give a folder or a .zip file"):
        scan(tmp_path / "nowhere")
    (tmp_path / "photo.jpg").write_bytes(picture())
    with pytest.raises(InputError, match=r"'photo.jpg' is not a zip archive"):
        scan(tmp_path / "photo.jpg")


def test_inspect_finds_the_unreadable_and_the_copies(tmp_path):
    fill(tmp_path, PETS)
    (tmp_path / "cat/1.png").write_bytes(b"text")
    (tmp_path / "dog/0.png").write_bytes(png_header(50_000, 50_000))
    (tmp_path / "dog/2.png").write_bytes((tmp_path / "dog/1.png").read_bytes())
    calls = []
    found = inspect(only(scan(tmp_path)), progress=lambda *call: calls.append(call), workers=2)
    assert {item.name: item.reason for item in found.skipped} == {
        "cat/1.png": "is not a JPEG, PNG, WebP, BMP, GIF or TIFF image",
        "dog/0.png": "is 50000x50000 pixels, more than the 100 million allowed",
    }
    assert found.readable.tolist() == [True, False, False, True, True]
    assert found.duplicates == ((3, 4),) and found.digests[3] == found.digests[4]
    assert calls[-1][:2] == (5, 5)


def digest_task(labels, held=(), classes=("cat", "dog")):
    number = len(labels)
    source = ArraySource(np.zeros((number, 1, 1, 3), np.uint8), [f"{i}.png" for i in range(number)])
    held_out = np.isin(np.arange(number), held)
    return Task("t", classes, source, np.arange(number), np.array(labels), held_out)


def test_a_sound_task_gives_no_warning():
    assert warnings_for(digest_task([0] * 10 + [1] * 10), [str(i) for i in range(20)]) == []


def test_warnings_name_what_is_odd():
    labels = [0] * 12 + [1] * 12
    digests = [str(i) for i in range(24)]
    digests[1] = digests[2] = digests[0]  # two copies inside a class
    digests[20] = digests[5]  # in both classes
    assert warnings_for(digest_task(labels), digests) == [
        "Identical images under different classes: 2 ('5.png', '20.png'); some of their labels must be wrong.",
        "Exact copies of another image in the same class: 2 ('1.png', '2.png'); they tell nothing new.",
    ]


def test_held_out_copies_small_classes_and_imbalance_are_warned_of():
    labels = [0] * 120 + [1] * 9
    digests = [str(i) for i in range(129)]
    for i in range(5):
        digests[110 + i] = digests[i]
    assert warnings_for(digest_task(labels, held=range(110, 120)), digests) == [
        "Images kept for testing but also used for learning: 5 ('110.png', '111.png', '112.png' and 2 more); "
        "the measured error will be too low.",
        "Fewer than 10 images to learn from in 'dog': expect a rough answer.",
        "The classes are unbalanced: 'cat' has 110 images, 'dog' only 9.",
    ]


def test_all_identical_images_are_refused(tmp_path):
    for name in PETS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture())
    task = only(scan(tmp_path))
    with pytest.raises(InputError, match="all 5 images are identical; give images that differ") as caught:
        warnings_for(task, inspect(task).digests)
    assert is_one_sentence(caught.value)


def test_a_packed_folder_of_images_alone_is_unlabelled(tmp_path):
    names = [f"photos/{i}.png" for i in range(5)]
    found = scan(pack(tmp_path / "x.zip", dict.fromkeys(names, picture())))
    assert not found.labelled and len(found.tasks[0]) == 5
    with pytest.raises(LabelError, match="one class 'cats'"):
        scan(pack(tmp_path / "y.zip", dict.fromkeys([f"pets/cats/{i}.png" for i in range(5)], picture())))


def test_a_lenient_scan_takes_labels_that_nothing_can_be_learnt_from(tmp_path):
    for place, names in enumerate((class_names({"cats": 5}), class_names({"cat": 5, "dog": 1}))):
        root = tmp_path / str(place)
        root.mkdir()
        fill(root, names)
        with pytest.raises(LabelError):
            scan(root)
        task = only(scan(root, lenient=True))
        assert task.labelled and len(task) == len(names)
        assert task.without_labels().classes == ("",)
        assert not task.without_labels().labelled
