import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from t2v_core.errors import Cancelled, InputError
from t2v_core.task.worlds import glyphs, made_here, photographs, synthetic
from t2v_core.task.worlds.attributes import ATTRIBUTE_EXPERTS, ATTRIBUTES
from t2v_core.task.worlds.cifar100 import read_cifar100
from t2v_core.task.worlds.demo import demo_tasks
from t2v_core.task.worlds.photographs import draw_mixtures
from t2v_core.task.worlds.statistics import STATISTICS
from t2v_core.task.worlds.taxonomy import CLASSES, SUPERCLASSES, group, select

EACH = 10  # images a class in either set of the imitation


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An imitation of CIFAR-100 made of noise; one apple of the test images is a training image too."""
    root = tmp_path_factory.mktemp("cifar100")
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in CLASSES:
            place = root / part / name.replace(" ", "_")
            place.mkdir(parents=True)
            for number in range(EACH):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png", compress_level=0)
    shutil.copy(root / "train/apple/0.png", root / "test/apple/9.png")
    return root


@pytest.fixture(scope="module")
def demo(folder):
    return demo_tasks(folder, seed=3)


@pytest.fixture
def of_kind(demo):
    return lambda kind: [task for task in demo if task.kind == kind]


@pytest.fixture
def by_id(demo):
    return {task.id: task for task in demo}


def test_the_bank_is_large_and_its_names_are_unique(demo, by_id, of_kind):
    assert len(demo) >= 160
    assert len(by_id) == len(demo) == len({task.name for task in demo})
    assert len({task.decoded.content_hash for task in demo}) == len(demo)
    sizes = {kind: len(of_kind(kind)) for kind in ("large", "twin", "mixed", "attribute", "attribute-source", "broad")}
    assert sizes["large"] == sizes["twin"] == 20
    assert sizes["mixed"] >= 44 and sizes["attribute"] >= 40 and sizes["broad"] >= 3
    assert sizes["attribute-source"] == len(ATTRIBUTE_EXPERTS)


def test_tasks_made_here_are_those_that_their_origin_names(demo):
    """Pictures of these may be kept and shown; of the data set's images none may."""
    assert {task.made_here for task in demo if task.decoded.task.origin.startswith("CIFAR-100")} == {False}
    for task in demo:
        assert task.made_here == made_here(task.decoded.task.origin)


def test_records_are_consistent(demo):
    for task in demo:
        decoded = task.decoded
        assert decoded.pixels.shape == (len(decoded), 32, 32, 3) and decoded.pixels.dtype == np.uint8
        for row in (0, len(decoded) - 1):
            image, digest = decoded.task.source.load(int(decoded.task.index[row]))
            assert digest == decoded.digests[row]
            np.testing.assert_array_equal(np.asarray(image), decoded.pixels[row])
        for held in (True, False):  # each class is there to learn from and to be tested on
            labels = decoded.task.labels[decoded.task.held_out == held]
            assert set(labels.tolist()) == set(range(len(decoded.task.classes)))
        assert len(set(decoded.digests)) == len(decoded)


def test_the_sets_share_no_image_and_no_image_changes_sides(demo):
    train: dict[str, set[str]] = {"a": set(), "b": set()}
    held: dict[str, set[str]] = {"a": set(), "b": set()}
    for task in demo:
        if task.kind != "other" and task.id != "glyphs-all":
            digests, kept = np.array(task.decoded.digests), task.decoded.task.held_out
            train[task.id[0]] |= set(digests[~kept])
            held[task.id[0]] |= set(digests[kept])
    assert not (train["a"] | held["a"]) & (train["b"] | held["b"])
    assert not train["a"] & held["a"] and not train["b"] & held["b"]


def test_an_image_that_occurs_twice_is_kept_once(folder):
    data = read_cifar100(folder)
    assert len(data.large.labels) == 100 * EACH
    assert len(data.small.labels) == 100 * EACH - 1
    assert not set(data.large.digests) & set(data.small.digests)


def test_twins_ask_the_same_of_either_set(by_id):
    for superclass, classes in SUPERCLASSES.items():
        name = superclass.replace(" ", "-")
        large, twin = by_id[f"a-{name}"].decoded.task, by_id[f"b-{name}"].decoded.task
        assert large.classes == twin.classes == classes
        assert large.taxonomy == twin.taxonomy


@pytest.mark.parametrize("seed", range(5))
def test_mixtures_are_distinct_and_no_superclass(seed):
    drawn = draw_mixtures(48, seed)
    sets = {frozenset(classes) for _, classes in drawn}
    assert len(sets) == 48 and not sets & {frozenset(classes) for classes in SUPERCLASSES.values()}
    related = [len({group(superclass) for superclass in superclasses}) == 1 for superclasses, _ in drawn]
    assert sum(related) == 24
    for superclasses, classes in drawn:
        given = [len(set(SUPERCLASSES[superclass]) & set(classes)) for superclass in superclasses]
        assert len(superclasses) in (2, 3) and 4 <= sum(given) == len(classes) <= 6 and min(given) >= 1


@pytest.mark.parametrize("kind, names", [("attribute", ATTRIBUTES), ("attribute-source", ATTRIBUTE_EXPERTS)])
def test_attributes_share_images_and_differ_in_labels(of_kind, kind, names):
    found = [task.decoded for task in of_kind(kind)]
    assert len(found) == len(names)
    assert all(decoded.pixels is found[0].pixels for decoded in found)
    assert len({decoded.task.labels.tobytes() for decoded in found}) == len(found)
    for decoded in found:
        assert 0.08 <= decoded.task.labels.mean() <= 0.92, decoded.task.name


def test_attributes_say_what_their_lists_say():
    assert select("large carnivores, -bear, rose") == ("leopard", "lion", "rose", "tiger", "wolf")
    with pytest.raises(ValueError, match="unicorn"):
        select("mammals, unicorn")


def test_statistics_see_what_they_are_named_for():
    ramp = np.linspace(60, 200, 32).astype(np.uint8)
    flat = np.full((32, 32, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    red = flat + np.array([60, 0, 0], np.uint8)
    two = flat.copy()
    two[:16] = [220, 30, 30]
    two[16:] = [30, 30, 220]
    disc = flat.copy()
    disc[8:24, 8:24] = 10
    across = np.repeat(np.repeat(ramp[None, :, None], 32, 0), 3, 2)
    noise = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    more_than = {  # the first image has more of it than the second
        "reddish": (red, flat),
        "greenish": (np.roll(red, 1, axis=2), red),
        "bluish": (np.roll(red, 2, axis=2), red),
        "colourful": (red, across),
        "many-coloured": (two, red),
        "bright": (flat + np.uint8(50), flat),
        "strong in contrast": (across, flat),
        "light at the border": (disc, 0 * flat),
        "darker than its background": (disc, 255 - disc),
        "finely textured": (noise, across),
        "upright edges": (across, across.transpose(1, 0, 2)),
        "left-right symmetric": (disc, across),
    }
    assert more_than.keys() == STATISTICS.keys()
    for name, images in more_than.items():
        high, low = STATISTICS[name][1](np.stack(images))
        assert high > low, name


def test_taxonomy_is_one_tree_of_four_levels_or_more(demo):
    parent: dict[str, str] = {}
    for task in demo:
        path = task.decoded.task.taxonomy
        assert len(path) >= 4, task.id
        for above, node in zip(("", *path), path, strict=False):
            assert parent.setdefault(node, above) == above, node


def test_a_seed_decides_every_task(folder, demo, monkeypatch):
    data = read_cifar100(folder)
    monkeypatch.setattr(glyphs, "SCRIPTS", {"Greek letters": glyphs.SCRIPTS["Greek letters"]})  # all take long

    def hashes(seed):
        made = [*photographs.tasks(data, seed), *synthetic.tasks(seed), *glyphs.tasks(seed)]
        return {task.id: task.decoded.content_hash for task in made if task.id != "glyphs-all"}

    first, other = hashes(3), hashes(4)
    assert first == {task.id: task.decoded.content_hash for task in demo if task.id in first}
    assert not set(first.values()) & set(other.values())


def test_generated_tasks_are_balanced_varied_and_apart(of_kind, by_id):
    seen: set[str] = set()
    for task in [*of_kind("other"), by_id["glyphs-all"]]:
        decoded = task.decoded
        assert len(set(decoded.task.counts.tolist())) == 1, task.id
        assert decoded.pixels.std(axis=(1, 2, 3)).min() > 3, task.id
        if task.id != "digits-parity":  # the digits once more
            assert not seen & set(decoded.digests), task.id
            seen |= set(decoded.digests)


def test_digits_are_labelled_by_their_parity(by_id):
    digits, parity = by_id["digits"].decoded, by_id["digits-parity"].decoded
    np.testing.assert_array_equal(digits.task.labels % 2, parity.task.labels)
    assert digits.digests == parity.digests


def test_stripes_run_at_the_angle_they_are_named_for(by_id):
    decoded = by_id["stripes"].decoded
    grey = decoded.pixels.astype(float).mean(axis=3)
    down, across = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)), np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
    level, upright = (decoded.task.classes.index(angle) for angle in ("0°", "90°"))
    assert (down > across)[decoded.task.labels == level].all()
    assert (across > down)[decoded.task.labels == upright].all()


def test_a_font_without_a_script_says_so_and_leaves_it_out(monkeypatch, caplog):
    monkeypatch.setattr(glyphs, "find_font", lambda: None)  # Pillow's own is Latin only
    with pytest.raises(InputError, match="Hebrew letters"):
        glyphs.check_script("Hebrew letters", None)
    monkeypatch.setattr(glyphs, "SCRIPTS", {s: glyphs.SCRIPTS[s] for s in ("Latin letters", "Hebrew letters")})
    assert [task.name for task in glyphs.tasks(0)] == ["Latin letters", "glyphs of all scripts"]
    assert "Hebrew letters" in caplog.text


def test_what_is_no_font_is_refused(tmp_path):
    (tmp_path / "x.ttf").write_text("no font")
    with pytest.raises(InputError, match=r"x\.ttf"):
        glyphs.tasks(0, tmp_path / "x.ttf")


def test_zip_and_folder_give_the_same(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, file.relative_to(folder))
    calls = []
    zipped = read_cifar100(tmp_path / "c.zip", lambda done, total, _: calls.append((done, total)))
    plain = read_cifar100(folder)
    assert zipped.large.digests == plain.large.digests and zipped.small.digests == plain.small.digests
    np.testing.assert_array_equal(zipped.small.labels, plain.small.labels)
    assert calls == [(1000, 2000), (2000, 2000)]


def test_reading_can_be_cancelled(folder):
    def cancel(*_):
        raise Cancelled

    with pytest.raises(Cancelled):
        read_cifar100(folder, cancel)


def copied(folder: Path, target: Path) -> Path:
    """A copy of the imitation that may be spoilt without harm to it."""
    return Path(shutil.copytree(folder, target))


def test_what_is_not_cifar100_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="neither a folder nor a zip"):
        read_cifar100(tmp_path / "missing.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="100 of 100 classes"):
        read_cifar100(tmp_path / "empty")

    spoilt = copied(folder, tmp_path / "spoilt")
    image = spoilt / "test/rose/3.png"
    Image.new("RGB", (40, 32)).save(image)
    with pytest.raises(InputError, match=r"test/rose/3\.png has 40×32 pixels"):
        read_cifar100(spoilt)
    image.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"test/rose/3\.png cannot be read"):
        read_cifar100(spoilt)
    shutil.rmtree(spoilt / "train/rose")
    with pytest.raises(InputError, match="'rose'"):
        read_cifar100(spoilt)
    (spoilt / "train/unicorn").mkdir()
    shutil.copy(folder / "train/bee/0.png", spoilt / "train/unicorn/0.png")
    with pytest.raises(InputError, match="train/unicorn"):
        read_cifar100(spoilt)


def test_counts_show_as_many_blobs_as_they_say(by_id):
    """Blobs counted as connected patches that differ from the background."""
    decoded = by_id["counts"].decoded
    for pixels, label in zip(decoded.pixels[::5], decoded.task.labels[::5], strict=True):
        background = np.median(pixels.reshape(-1, 3), axis=0)
        patches = np.abs(pixels - background).mean(axis=2) > 45
        assert _components(patches) == int(decoded.task.classes[label])


def _components(mask: np.ndarray) -> int:
    left, found = {tuple(p) for p in np.argwhere(mask)}, 0
    while left:
        found += 1
        stack = [left.pop()]
        while stack:
            y, x = stack.pop()
            near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left
            left -= near
            stack += near
    return found


def test_synthetic_needs_no_data():
    assert len(synthetic.tasks(0)) == 8
