"""From a result to an expert of one's own, and a task kept with pictures or without."""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pages.common.training import _plain, duration
from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.thumbnails import thumbnails
from t2v_core.errors import InputError
from t2v_core.experts.speed import seconds_per_image, training_costs
from t2v_core.jobs.store import DONE, Job, JobStore
from t2v_core.new_experts import TrainOptions, train_expert
from t2v_core.selection.candidates import have_seen
from t2v_core.selection.meta_task import GENERIC, from_bank
from tests.conftest import text, write_folder, zip_folder
from tests.jobs.test_jobs import wait_for, worker_of

PAGE = "pages/2_Get_an_expert.py"


@pytest.fixture(scope="module")
def recommended(built_bank, worlds, tmp_path_factory) -> tuple[Path, str]:
    """A bank with a recommendation on images that the job's own folder holds, as the page leaves them. Copy it."""
    place = tmp_path_factory.mktemp("recommended")
    folder = write_folder(place / "mine", worlds["shapes"].decoded, 12)
    store = JobStore(Bank(shutil.copytree(built_bank, place / "bank")))
    job_id = store.new_id()
    store.folder(job_id).mkdir(parents=True)
    archive = zip_folder(folder, store.folder(job_id) / "upload.zip")
    store.submit("recommend", "mine", {"path": str(archive), "name": "mine", "pictures": True}, job_id)
    job = wait_for(store, job_id)
    assert job.state == DONE, job.message
    while worker_of(job_id) is not None:  # it still has the database open
        time.sleep(0.05)
    store.bank.close()
    return place / "bank", job_id


@pytest.fixture
def bank_path(recommended, tmp_path) -> Path:
    return Path(shutil.copytree(recommended[0], tmp_path / "bank"))


@pytest.fixture
def finished(bank, recommended) -> tuple[JobStore, Job]:
    """The recommendation of this test's bank."""
    store, job_id = JobStore(bank), recommended[1]
    moved = store.get(job_id).arguments | {"path": str(store.folder(job_id) / "upload.zip")}
    store._write(schema.job.c.id == job_id, {"arguments": moved})
    return store, store.get(job_id)


def button(app, label: str):
    return next(b for b in app.button if b.label == label)


def test_pictures_are_kept_if_wanted_and_can_be_taken_back(open_page, bank_path, bank, finished):
    _, job = finished
    task = job.result["task"]["id"]
    app = open_page(PAGE, bank_path, job=job.id)
    assert app.checkbox(key="keep_pictures").value
    assert "Others who use this bank will see them." in text(app)
    app.checkbox(key="keep_pictures").uncheck().run()
    app = button(app, "Keep this task in the bank").click().run()
    assert task in {t.id for t in bank.tasks()}
    assert task not in thumbnails(bank)
    app = button(app, "Add six small pictures").click().run()
    assert task in thumbnails(bank)
    app = button(app, "Remove its pictures").click().run()
    assert not app.exception
    assert task not in thumbnails(bank)
    bank.delete_task(task)
    app = open_page(PAGE, bank_path, job=job.id)
    button(app, "Keep this task in the bank").click().run()
    assert task in thumbnails(bank)


@pytest.mark.slow
def test_an_expert_is_trained_from_a_result_and_handed_over(open_page, bank_path, bank, finished, monkeypatch):
    """End to end with the shortest schedule there can be."""
    store, job = finished
    costs = {c["schedule"]: c for c in job.result["training"]}
    assert set(costs) == {"brief", "scaled"}
    assert 0 < costs["brief"]["seconds"] < costs["scaled"]["seconds"]
    submit = JobStore.submit

    def shortened(self, kind, title, arguments, job_id=None):
        return submit(self, kind, title, arguments | {"epochs": 1, "images_per_epoch": 64}, job_id)

    monkeypatch.setattr(JobStore, "submit", shortened)
    app = open_page(PAGE, bank_path, job=job.id)
    starts = app.selectbox(key="training_start")
    first = job.result["ranking"][0]
    assert starts.value == first["expert_id"]
    assert starts.options[-1].startswith("the generic network")
    assert "None of your images are kept for testing" in app.warning[-1].value
    app.radio(key="training_schedule").set_value("brief")
    app = button(app, "Fine-tune an expert on these images").click().run()
    assert not app.exception
    training = store.get(app.query_params["job"])
    assert (training.kind, training.arguments["schedule"]) == ("train", "brief")
    assert training.arguments["start"] == first["expert_id"]
    store.remove(job.id)  # the training has the images for itself
    training = wait_for(store, training.id)
    assert training.state == DONE, training.message
    (expert,) = [e for e in bank.experts() if e.task_id == job.result["task"]["id"]]
    assert expert.name == "mine"
    app = open_page(PAGE, bank_path, job=training.id)
    assert not app.exception
    assert "Your expert is ready: mine" in text(app)
    assert f"It started from {first['name']}, learned from 60 images" in text(app)
    assert "it learned from all of your images" in text(app)
    file = store.folder(training.id) / "out" / training.result["download"]
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        card = archive.read("README.md").decode()
        config = json.loads(archive.read("config.json"))
    assert {"expert.safetensors", "head.safetensors", "classify.py"} <= names
    assert "fine-tuned on all of the images" in " ".join(card.split())
    assert config["validation"] is None
    assert config["classes"] == ["circle", "cross", "square", "star", "triangle"]


def test_an_expert_is_judged_on_images_it_did_not_learn_from(bank, shapes_folder, tmp_path):
    apart = tmp_path / "split"
    for folder in sorted(shapes_folder.iterdir()):
        for n, file in enumerate(sorted(folder.iterdir())):
            target = apart / ("test" if n % 3 == 2 else "train") / folder.name / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    options = TrainOptions(str(apart), epochs=1, images_per_epoch=64)
    found = train_expert(bank, options, lambda *_: None, tmp_path / "out")
    assert found["tested"]["n"] == 20
    assert 0 <= found["tested"]["low"] <= found["tested"]["accuracy"] <= found["tested"]["high"] <= 1
    with zipfile.ZipFile(tmp_path / "out" / found["download"]) as archive:
        card = archive.read("README.md").decode()
    assert "were fine-tuned on your images, but for those" in card
    again = train_expert(bank, options, lambda *_: None, tmp_path / "out")
    assert again["already"]
    assert again["tested"] == found["tested"]


def test_an_expert_that_starts_from_another_has_seen_what_that_has_seen(bank, shapes_folder, tmp_path):
    def train(**options) -> dict:
        asked = TrainOptions(str(shapes_folder), epochs=1, images_per_epoch=64, **options)
        return train_expert(bank, asked, lambda *_: None, tmp_path / "out")

    found = train(start="expert-textures")
    assert found["training"]["from"] == "expert-textures"
    assert train(start="expert-textures")["already"]
    meta = from_bank(bank)
    allowed = dict(zip(meta.tasks, meta.allowed[:, meta.experts.index(found["id"])], strict=True))
    assert not allowed["textures"]
    assert allowed["digits"]
    textures = next(t.image_set for t in bank.tasks() if t.id == "textures")
    assert have_seen(bank, [f"{int(bank.image_sets()[textures][0]):016x}"]) >= {found["id"], "expert-textures"}
    textures = next(e for e in bank.experts() if e.id == "expert-textures")
    bank.save_expert(replace(textures, id="stranger", task_id=None))
    for wrong, words in (
        ({"start": "expert-shapes"}, "learned from some of these very images"),
        ({"start": "nobody"}, "no expert 'nobody'"),
        ({"start": "stranger"}, "learned from is unknown"),
        ({"start": "expert-digits", "network": "resnet18"}, "in place of --network resnet18"),
    ):
        with pytest.raises(InputError, match=words):
            train(**wrong)
    assert not train(start="expert-digits")["already"]  # another start replaces it
    assert next(e for e in bank.experts() if e.id == found["id"]).training["from"] == "expert-digits"


def test_no_warning_where_images_are_kept_for_testing(open_page, bank_path, finished):
    store, job = finished
    store._write(schema.job.c.id == job.id, {"result": job.result | {"task": job.result["task"] | {"held_out": 12}}})
    app = open_page(PAGE, bank_path, job=job.id)
    assert "Fine-tune an expert on these images" in [b.label for b in app.button]
    assert "kept for testing, so nobody" not in text(app)
    assert app.selectbox(key="training_start").value == job.result["ranking"][0]["expert_id"]
    worse, better = ({"accuracy": a, "low": a - 0.1, "high": a + 0.1, "n": 50, "how": "held out"} for a in (0.5, 0.8))
    measured = {"ranking": [row | {"fitted": worse} for row in job.result["ranking"]], "generic": better}
    store._write(schema.job.c.id == job.id, {"result": job.result | measured})
    app = open_page(PAGE, bank_path, job=job.id)
    assert app.selectbox(key="training_start").value == GENERIC  # what the result advises comes first


def test_no_training_without_its_images_or_labels(open_page, bank_path, finished):
    _, job = finished
    Path(job.arguments["path"]).unlink()
    app = open_page(PAGE, bank_path, job=job.id)
    assert not app.exception
    assert "The images of this job are gone" in text(app)
    assert "Fine-tune an expert on these images" not in [b.label for b in app.button]


def test_results_of_an_earlier_version_offer_no_training(open_page, bank_path, finished):
    store, job = finished
    older = {k: v for k, v in job.result.items() if k != "training"}
    store._write(schema.job.c.id == job.id, {"result": older})
    app = open_page(PAGE, bank_path, job=job.id)
    assert not app.exception
    assert "was not measured when this ran" in text(app)


def test_the_cost_is_measured(bundled):
    each = seconds_per_image(bundled)
    assert 1e-5 < each < 1
    before = {name: value.clone() for name, value in bundled.network.state_dict().items()}
    (brief, scaled) = training_costs(bundled, before=5.0)
    assert brief["seconds"] > 5
    ratio = (scaled["epochs"] * scaled["images_per_epoch"]) / (brief["epochs"] * brief["images_per_epoch"])
    assert (scaled["seconds"] - 5) / (brief["seconds"] - 5) == pytest.approx(ratio, rel=0.05)
    for name, value in bundled.network.state_dict().items():  # what is timed is a copy
        torch.testing.assert_close(value, before[name])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "less than a minute"), (61, "about 1 minute"), (200, "about 3 minutes"), (9000, "about 2 hours")],
)
def test_a_time_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("name", "plain"), [("a/b\\c", "a-b-c"), ("..", "my task"), ("x" * 300, "x" * 120), ("\x00", "my task")]
)
def test_a_name_an_expert_may_have(name, plain):
    assert _plain(name) == plain
