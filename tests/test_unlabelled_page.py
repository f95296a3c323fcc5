"""Get an expert for images without labels, and the other pages with such a task in the bank."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from sqlalchemy import update

from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import MethodRecord, keep_method
from t2v_core.bank.schema import job as table
from t2v_core.bank.transfer import copy_tasks
from t2v_core.jobs.store import DONE, JobStore
from tests.conftest import charts, text, zip_folder
from tests.jobs.test_jobs import wait_for
from tests.test_pages import PAGES
from tests.unlabelled import write_flat

HOME, EXPERT, COMPARE = "app.py", "pages/2_Get_an_expert.py", "pages/5_Compare.py"


@pytest.fixture
def flat(tmp_path, shapes) -> Path:
    return write_flat(tmp_path / "flat", shapes.take(shapes.task.held_out), 40)


@pytest.fixture
def upload(open_page):
    """Open the page as if something had been uploaded."""

    def upload_(path: Path, bank: Path):
        app = open_page(EXPERT, bank)
        app.session_state["upload"] = (str(path), path.stem, path.name)
        return app.run()

    return upload_


def submit(app) -> dict:
    """Send the form; what the job was given."""
    next(b for b in app.button if b.label == "Find my expert").click().run()
    assert not app.exception
    job = app.query_params["job"]
    return JobStore(Bank(os.environ["T2V_BANK"])).get(job if isinstance(job, str) else job[0]).arguments


def points(chart) -> list:
    """What stands behind every point of a chart."""
    return [row for trace in chart["figure"]["data"] for row in trace.get("customdata", ())]


def finished(bank: Path, path: Path, **arguments):
    store = JobStore(Bank(bank))
    job = wait_for(store, store.submit("recommend", "mine", {"path": str(path), "name": "mine", **arguments}).id)
    assert job.state == DONE, job.message
    return job


def test_an_unlabelled_upload_is_welcome(upload, methods_path, flat, tmp_path):
    app = upload(zip_folder(flat, tmp_path / "flat.zip"), methods_path)
    assert not app.exception
    assert not app.error
    assert not app.warning
    assert "flat: 40 images, no labels" in text(app)
    assert "What you get without labels" in text(app)
    assert "What is given up" in text(app)
    assert not app.radio
    assert not app.checkbox
    assert "look like nothing" in text(app)  # and why that takes labels
    selector = next(s for s in app.selectbox if s.label == "Rank experts by")
    assert selector.value == "pseudotask"
    assert len(selector.options) == 2
    arguments = submit(app)
    assert (arguments["selector"], arguments["fit"]) == ("pseudotask", "none")


def test_from_a_flat_folder_to_an_expert_on_one_page(upload, open_page, tmp_path, flat):
    """On the shipped demo bank, which has measured what no labels cost."""
    bank = tmp_path / "demo"
    app = upload(flat, bank)
    next(b for b in app.button if b.label == "Find my expert").click().run()
    job = app.query_params["job"]
    job = job if isinstance(job, str) else job[0]
    assert wait_for(JobStore(Bank(bank)), job).state == DONE
    app.run()
    if "Start from:" not in text(app):
        app.run()  # the fragment that watches the job asked for another run
    assert not app.exception
    shown = text(app)
    assert "Start from:" in shown
    assert "In place of labels." in shown
    (given_up,) = [line for line in shown.splitlines() if "What was given up." in line]
    assert "the ranking knows which images you have" in given_up
    assert re.search(r"\d+ %", given_up)  # as measured on the demo meta-task, and kind by kind
    kinds = next(t.value for t in app.dataframe if "with labels" in t.value)
    assert len(kinds) > 1 and kinds["by this rule"].str.fullmatch(r"-?\d+ %").all()
    assert [b.label for b in app.get("download_button")]


def test_another_teacher_that_was_measured_is_offered(upload, methods_path, flat):
    bank = Bank(methods_path)
    record = MethodRecord(
        name="pseudotask:resnet18",
        title="by ResNet-18",
        labels=False,
        every_expert=False,
        settings={},
        seconds=1.0,
        once=0.0,
    )
    keep_method(bank, record)
    app = upload(flat, methods_path)
    probe = next(s for s in app.selectbox if s.label == "Probe network")
    assert probe.options[-1] == "resnet18, as PseudoTask's teacher alone"
    probe.set_value("resnet18")
    assert submit(app)["probe"] == "resnet18"


def test_one_class_is_served_as_if_without_labels(upload, methods_path, shapes_folder, tmp_path):
    (tmp_path / "one").mkdir()
    (shapes_folder / "circle").rename(tmp_path / "one" / "circle")
    app = upload(tmp_path / "one", methods_path)
    assert not app.exception
    assert "one: 12 images, 1 class" in text(app)
    assert "one class 'circle'" in text(app)
    assert submit(app)["selector"] == "pseudotask"


def test_images_that_look_like_nothing_known(upload, methods_path, shapes_folder):
    app = upload(shapes_folder, methods_path)
    unlike = next(c for c in app.checkbox if c.label == "My images look like nothing you know")
    assert not unlike.disabled
    unlike.check()
    assert submit(app)["selector"] == "tangent"


def test_a_bank_that_keeps_nothing_for_it_says_what_to_do(upload, bank_path, flat, shapes_folder):
    app = upload(flat, bank_path)
    assert "python -m t2v_core bank methods" in text(app)
    assert next(s for s in app.selectbox if s.label == "Rank experts by").value == "domain"
    app = upload(shapes_folder, bank_path)
    unlike = next(c for c in app.checkbox if c.label == "My images look like nothing you know")
    assert unlike.disabled
    assert "python -m t2v_core bank methods" in unlike.help


@pytest.mark.slow
@pytest.mark.parametrize("case", ["unlabelled", "tangent"])
def test_a_result_is_shown_kept_and_survived_by_every_page(open_page, methods_path, flat, shapes_folder, case):
    path, more = (flat, {}) if case == "unlabelled" else (shapes_folder, {"selector": "tangent", "fit": "top"})
    job = finished(methods_path, path, **more)
    app = open_page(EXPERT, methods_path, job=job.id)
    assert not app.exception
    shown = text(app)
    assert "Start from:" in shown
    assert "How sure." in shown
    if case == "unlabelled":
        assert "In place of labels." in shown
        assert "What was given up." in shown
        assert "no head, as none was fitted" in shown
    else:
        assert "other untrained networks" in shown or "within the noise" in shown
    app = next(b for b in app.button if b.label == "Keep this task in the bank").click().run()
    assert not app.exception
    assert "The task is kept in the bank." in text(app)
    for page in PAGES:
        opened = open_page(page, methods_path)
        assert not opened.exception
        assert not opened.error
    if case == "tangent":  # it is on no map but the kernel's
        return
    mine = next(t for t in Bank(methods_path).tasks() if t.name == "mine")
    for colour in ("role in this bank", "cluster"):
        on_map = open_page("pages/1_Task_map.py", methods_path, task=mine.id, map_colour=colour, map_lines="true")
        assert not on_map.exception
        drawn = [chart["alt"] for chart in charts(on_map) if any(r[0] == mine.id for r in points(chart))]
        assert drawn == ["Map of the tasks, domain (images only)"]
        assert "Distances by domain (images only)." in text(on_map)
    assert "mine" in open_page("pages/3_Bank.py", methods_path).dataframe[0].value["name"].tolist()


@pytest.mark.slow
def test_a_job_of_an_earlier_version_is_still_shown(open_page, methods_path, shapes_folder):
    job = finished(methods_path, shapes_folder)
    store = JobStore(Bank(methods_path))
    result = {k: v for k, v in job.result.items() if k != "teacher"}
    del result["task"]["learnable"]
    for record in result["track_record"]:
        del record["with_labels"]
    with store.bank.engine.begin() as connection:
        connection.execute(update(table).where(table.c.id == job.id).values(result=result))
    app = open_page(EXPERT, methods_path, job=job.id)
    assert not app.exception
    assert "Start from:" in text(app)


@pytest.mark.slow
def test_a_bank_of_nothing_but_an_unlabelled_task(open_page, methods_path, flat, tmp_path, monkeypatch):
    job = finished(methods_path, flat)
    monkeypatch.setattr("t2v_core.bank.opening.DEMO", tmp_path / "no demo")
    alone = Bank(tmp_path / "alone")
    copy_tasks(Bank(JobStore(Bank(methods_path)).folder(job.id) / "out" / "task"), alone)
    alone.close()
    said = {}
    for page in PAGES:
        app = open_page(page, tmp_path / "alone")
        assert not app.exception, page
        assert not app.error, page
        said[page] = text(app)
    assert "No task of this bank has a Task2Vec embedding" in said[COMPARE]
    assert "No task is in this bank yet" not in said[COMPARE]
    (report,) = [b for b in open_page(HOME, tmp_path / "alone").get("download_button") if "Report" in b.proto.label]
    assert report.proto.disabled
