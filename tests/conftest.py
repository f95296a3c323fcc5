"""Fixtures: a small probe with random weights, small tasks, and a small bank built by the product's own builder."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from PIL import Image
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from pages.common.chart import NAME
from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.embedding.task2vec import Task2VecSettings
from t2v_core.probe.bundled import SPEC, ResNet20Features, load_bundled
from t2v_core.probe.network import ResNet20
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.probe.training import TrainingSettings
from t2v_core.task.record import DecodedTask
from t2v_core.task.worlds import WorldTask, synthetic
from tests.browser import find_chromium

# A shared machine may be slow at any moment; how long one example takes says nothing about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

ROOT = Path(__file__).parents[1]

FEW_DRAWS = Task2VecSettings(total_draws=500)

QUICK = TrainingSettings(epochs=1, images_per_epoch=96, batch_size=32, learning_rate=0.02, balanced=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without a browser its tests are left out; in CI they run, and fail."""
    if item.get_closest_marker("browser") and find_chromium() is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium on this machine")


@pytest.fixture(scope="session")
def worlds() -> dict[str, WorldTask]:
    """The tasks made by code, by id."""
    return {t.id: t for t in synthetic.tasks(seed=0)}


@pytest.fixture
def shapes(worlds) -> DecodedTask:
    """A small real task: five shapes, 40 images each to learn from, 20 to test."""
    return worlds["shapes"].decoded


@pytest.fixture
def random_probe() -> Probe:
    """The bundled architecture with random weights."""
    torch.manual_seed(0)
    return make_probe("random", "random", ResNet20Features(ResNet20()), None, SPEC, "", torch.device("cpu"))


@pytest.fixture(scope="session")
def bundled() -> Probe:
    return load_bundled(torch.device("cpu"))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that takes long to make: the first worker to ask for it makes it, all others find it."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a folder of its own within the run's
        root = root.parent
    place, part = root / name, root / f"{name}.part"
    with FileLock(f"{place}.lock"):
        if not place.exists():
            shutil.rmtree(part, ignore_errors=True)
            make(part)
            part.rename(place)
    return place


@pytest.fixture(scope="session")
def built_bank(tmp_path_factory, worlds) -> Path:
    """A bank of eight tasks and four experts, written by ``build_demo``. Copy it before changing it."""
    from t2v_core.building import build_demo

    def make(place: Path) -> None:
        kinds = {"shapes": "large", "textures": "large", "digits": "broad"}
        tasks = [replace(t, kind=kinds.get(t.id, t.kind)) for t in worlds.values()]
        bank = Bank(place)
        build_demo(bank, tasks, settings=FEW_DRAWS, training=QUICK, workers=1, report=lambda *_: None)
        bank.close()

    return made_once(tmp_path_factory, "built bank", make)


@pytest.fixture(scope="session")
def built_methods(tmp_path_factory, built_bank, bundled, worlds) -> Path:
    """The small bank with what images without labels, and untrained networks, are compared by. Copy it as well."""
    from tests.unlabelled import keep_methods

    def make(place: Path) -> None:
        bank = Bank(shutil.copytree(built_bank, place))
        keep_methods(bank, bundled, worlds)
        bank.close()

    return made_once(tmp_path_factory, "built bank with methods", make)


@pytest.fixture
def methods_path(built_methods, tmp_path) -> Path:
    """A copy of the small bank that serves images without labels too."""
    return Path(shutil.copytree(built_methods, tmp_path / "methods bank"))


@pytest.fixture
def bank_path(built_bank, tmp_path) -> Path:
    """A copy of the small bank, to do with as one likes."""
    return Path(shutil.copytree(built_bank, tmp_path / "bank"))


@pytest.fixture
def bank(bank_path) -> Bank:
    return Bank(bank_path)


def write_folder(root: Path, decoded: DecodedTask, per_class: int) -> Path:
    """Write the first images of each class as PNG files, one folder a class."""
    task = decoded.task
    for k, name in enumerate(task.classes):
        (root / name).mkdir(parents=True)
        for row in np.flatnonzero(task.labels == k)[:per_class]:
            Image.fromarray(decoded.pixels[row]).save(root / name / f"{row:04d}.png")
    return root


def zip_folder(root: Path, target: Path) -> Path:
    """Pack a folder, its own name included."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(root.parent))
    return target


@pytest.fixture
def shapes_folder(tmp_path, shapes) -> Path:
    """A folder of 5 x 12 shape images."""
    return write_folder(tmp_path / "shapes", shapes, 12)


@pytest.fixture
def open_page(monkeypatch) -> Callable[..., AppTest]:
    """Opens a page of the app by its file's name, with a bank and an address."""
    monkeypatch.chdir(ROOT)

    def open_(page: str, bank: Path, **query: str | list[str]) -> AppTest:
        monkeypatch.setenv("T2V_BANK", str(bank))
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        if page != "app.py":
            app.switch_page(page)
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return open_


@pytest.fixture
def one_task_bank(bank, tmp_path) -> Path:
    """A bank that holds the first task of the small bank, and nothing else."""
    place = tmp_path / "one"
    small, info = Bank(place), next(iter(bank.probes().values()))
    task = bank.tasks()[0]
    found = [bank.embeddings(method)[task.id] for method in (TASK2VEC, DOMAIN)]
    small.save_task(task, bank.image_sets()[task.image_set], found, info)
    return place


@pytest.fixture
def judged_bank(bank) -> Bank:
    """The small bank with its tasks as targets, so that rules of choice can be judged on them."""
    with bank.engine.begin() as connection:
        connection.execute(update(schema.task).values(kind="mixed"))
    return bank


def charts(app: AppTest) -> list[dict]:
    """What a page draws: of each chart ``alt``, ``lit``, … and its ``figure``."""
    sent = [c.proto.bytes.decode() for c in app.get("bidi_component") if c.proto.component_name == NAME]
    found = []
    for about, shapes, figure in (map(json.loads, s.split("\n")) for s in sent):
        figure["layout"]["shapes"] = shapes
        found.append(about | {"figure": figure})
    return found


def text(app: AppTest) -> str:
    """Everything a page says in words."""
    parts = [*app.markdown, *app.info, *app.error, *app.warning, *app.success, *app.subheader, *app.title, *app.caption]
    return "\n".join(str(part.value) for part in parts)
