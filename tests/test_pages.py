"""Every page by itself: with a bank, with an empty one, and what a person can do on it."""

from __future__ import annotations

import gc
import os
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from sqlalchemy import update

from pages.common.intake import stamp
from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.jobs.store import DONE, FAILED, JobStore
from t2v_core.selection.audit import ALL, audit
from t2v_core.selection.meta_task import GENERIC
from t2v_core.selection.published import published
from t2v_core.selection.selectors import Static
from t2v_core.selection.track_record import track_records
from t2v_core.selection.ways import WAYS
from t2v_core.task.reading import look
from tests.conftest import text, zip_folder
from tests.jobs.test_jobs import _row, wait_for

ROOT = Path(__file__).parents[1]
MAP, GET = "pages/1_Task_map.py", "pages/2_Get_an_expert.py"
PAGES = ["app.py", *sorted(f"pages/{file.name}" for file in (ROOT / "pages").glob("*.py"))]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_with_a_bank(open_page, bank_path, page):
    app = open_page(page, bank_path)
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_with_one_task(open_page, one_task_bank, page):
    app = open_page(page, one_task_bank)
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_with_the_demo_bank(open_page, tmp_path, page):
    app = open_page(page, tmp_path / "first start")
    assert len(Bank(tmp_path / "first start").tasks()) > 150
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_what_to_do_with_an_empty_bank(open_page, tmp_path, monkeypatch, page):
    monkeypatch.setattr("t2v_core.bank.opening.DEMO", tmp_path / "no demo")
    app = open_page(page, tmp_path / "empty")
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_when_the_bank_cannot_be_opened(open_page, tmp_path, page):
    (tmp_path / "file").write_text("")
    app = open_page(page, tmp_path / "file")
    assert not app.exception
    assert "cannot open a bank" in app.error[0].value.casefold()


def test_what_a_page_has_loaded_is_out_of_later_collections(open_page, bank_path):
    st.cache_resource.clear()  # an earlier test may have opened the page
    gc.unfreeze()
    open_page(MAP, bank_path)
    kept = gc.get_freeze_count()
    gc.unfreeze()
    assert kept > 10_000


def test_home_counts_what_is_there(open_page, bank_path):
    app = open_page("app.py", bank_path)
    assert "8 tasks, 4 networks (experts, and the generic one they come from), 32 measured errors" in text(app)


def test_home_compares_rules_by_their_paired_difference(open_page, judged_bank, bank_path):
    app = open_page("app.py", bank_path)
    assert "- **Mixed classes:** *asymmetric*, the default rule, loses" in text(app)
    assert "*static*" in text(app)
    assert list(app.dataframe[0].value)[:2] == ["targets", "rule"]


@pytest.mark.parametrize(
    ("gain", "low", "high", "words"),
    [
        (5.0, 1.0, 9.0, "did better, by 5.0 points [1.0, 9.0]"),
        (-5.0, -9.0, -1.0, "did worse, by 5.0 points [1.0, 9.0]"),
        (5.0, -1.0, 9.0, "cannot be told apart from it (+5.0 points [-1.0, 9.0])"),
        (5.0, float("nan"), float("nan"), "cannot be told apart from it"),
    ],
)
def test_a_difference_in_words(gain, low, high, words):
    from pages.common.data import compared

    assert compared(gain, low, high) == words


def test_a_finished_job_is_shown_whole_and_can_be_kept(open_page, bank_path, shapes_folder):
    store = JobStore(Bank(bank_path))
    job = store.submit("recommend", "mine", {"path": str(shapes_folder), "name": "mine", "fit": "top"})
    assert wait_for(store, job.id).state == DONE
    app = open_page("pages/2_Get_an_expert.py", bank_path, job=job.id)
    assert not app.exception
    shown = text(app)
    assert "Start from:" in shown
    assert "How sure." in shown
    assert "Embedded by Bundled ResNet" in shown
    result = store.get(job.id).result
    beaten = {"accuracy": 0.3, "low": 0.2, "high": 0.4, "n": 60, "how": "5-fold cross validation"}
    result["ranking"] = [row | {"fitted": beaten} for row in result["ranking"]]
    result["generic"] = beaten | {"accuracy": 0.9, "low": 0.8, "high": 1.0}
    audits = {ALL: audit(published(), [Static()])}
    result["track_record"] = [r.as_json() for r in track_records(audits, replace(WAYS["symmetric"], name="static"))]
    with store.bank.engine.begin() as connection:
        connection.execute(update(schema.job).where(schema.job.c.id == job.id).values(result=result))
    app = open_page("pages/2_Get_an_expert.py", bank_path, job=job.id)
    assert "Start from: the generic network" in text(app)
    assert "**Track record.** In iNat+CUB, this rule loses 15 % on average [" in text(app)
    assert app.selectbox(key="download_which").value == GENERIC
    keep = next(b for b in app.button if b.label == "Keep this task in the bank")
    app = keep.click().run()
    assert not app.exception
    assert any(t.name == "mine" for t in Bank(bank_path).tasks())
    for page in PAGES:
        assert not open_page(page, bank_path).exception
    assert "mine" in open_page("pages/3_Bank.py", bank_path).dataframe[0].value["name"].tolist()
    app = open_page("pages/2_Get_an_expert.py", bank_path, job=job.id)
    undo = next(b for b in app.button if b.label == "Take it out of the bank again")
    assert not undo.click().run().exception
    assert all(t.name != "mine" for t in Bank(bank_path).tasks())
    open_page("pages/3_Bank.py", bank_path).button(key=f"remove{job.id}").click().run()
    assert store.list() == []


def test_a_failed_job_says_why_and_offers_another_try(open_page, bank_path):
    store = JobStore(Bank(bank_path))
    job_id = _row(store)
    store.finish(store.get(job_id), FAILED, "the zip holds no images")
    app = open_page("pages/2_Get_an_expert.py", bank_path, job=job_id)
    assert "The zip holds no images." in app.error[0].value
    assert "Try again" in [b.label for b in app.button]


def test_an_unknown_job_is_no_traceback(open_page, bank_path):
    app = open_page("pages/2_Get_an_expert.py", bank_path, job="nothing")
    assert not app.exception
    assert "no job 'nothing'" in app.error[0].value


def test_a_waiting_job_can_be_cancelled_on_its_page(open_page, bank_path):
    store = JobStore(Bank(bank_path))
    job_id = _row(store)
    app = open_page("pages/2_Get_an_expert.py", bank_path, job=job_id)
    next(b for b in app.button if b.label == "Cancel").click().run()
    assert store.get(job_id).state == "cancelling"


def test_paths_outside_the_roots_are_refused(open_page, bank_path, shapes_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("T2V_ROOTS", str(shapes_folder.parent))
    app = open_page("pages/2_Get_an_expert.py", bank_path)
    assert "A path on the server" in [option.content for option in app.get("button_group")[0].proto.options]
    from pages.common.intake import server_path
    from t2v_core.errors import InputError

    assert server_path("shapes") == shapes_folder.resolve()
    for bad in ("/etc", "../../etc", str(ROOT)):
        with pytest.raises(InputError, match="is not below"):
            server_path(bad)


def test_a_folder_on_the_server_stays_where_it_is(open_page, bank_path, shapes_folder, tmp_path, monkeypatch):
    """Whatever it is called: uploads, which lie in a folder of this name, go with their job."""
    shared = tmp_path / "staging"
    shared.mkdir()
    mine = shared / "flowers"
    shapes_folder.rename(mine)
    monkeypatch.setenv("T2V_ROOTS", str(tmp_path))
    monkeypatch.setattr(JobStore, "_start", lambda self, job_id, now: None)
    app = open_page(GET, bank_path)
    app.get("button_group")[0].set_value("A path on the server").run()
    app.text_input(key="server0").set_value(str(mine)).run()
    assert not app.exception
    next(b for b in app.button if b.label == "Find my expert").click().run()
    assert not app.exception
    (job,) = JobStore(Bank(bank_path)).list()
    assert job.arguments["path"] == str(mine)
    assert len(list(mine.rglob("*.png"))) == 60


def test_a_folder_that_changes_is_looked_at_anew(shapes_folder):
    before = stamp(shapes_folder)
    os.utime(shapes_folder / "star", (before + 5, before + 5))
    assert stamp(shapes_folder) > before
    (shapes_folder / "labels.csv").write_text("file,label")
    os.utime(shapes_folder / "labels.csv", (before + 9, before + 9))
    assert stamp(shapes_folder) == pytest.approx(before + 9)
    assert stamp(shapes_folder / "labels.csv") == stamp(shapes_folder)


def test_uploads_that_nobody_started_work_on_go_after_a_day(open_page, bank_path):
    old, new = bank_path / "staging" / "old.zip", bank_path / "staging" / "new.zip"
    old.parent.mkdir()
    for file in (old, new):
        file.write_bytes(b"x")
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    open_page(GET, bank_path)
    assert not old.exists()
    assert new.exists()


@pytest.mark.slow
def test_a_result_whose_files_are_gone_is_no_traceback(open_page, bank_path, shapes_folder):
    store = JobStore(Bank(bank_path))
    job = store.submit("recommend", "mine", {"path": str(shapes_folder), "name": "mine", "fit": "none"})
    assert wait_for(store, job.id).state == DONE
    shutil.rmtree(store.folder(job.id))
    app = open_page(GET, bank_path, job=job.id)
    assert not app.exception
    assert "its place on the map is no longer known" in text(app)


def test_a_job_that_was_removed_elsewhere_is_no_traceback(open_page, bank_path):
    store = JobStore(Bank(bank_path))
    job_id = _row(store)
    app = open_page(GET, bank_path, job=job_id)
    store.finish(store.get(job_id), FAILED, "no")
    store.remove(job_id)
    app.run()
    assert not app.exception
    assert "it may have been removed" in app.error[0].value


def test_names_are_shown_letter_by_letter():
    from pages.common.frame import plain, told

    assert told("`t2v` of 'a_b' [x](http://y) *z* _q_ costs 5 %: fine.") == (
        "`t2v` of 'a_b' \\[x\\](http\\://y) \\*z\\* \\_q\\_ costs 5 %: fine."
    )
    assert plain("**a**") == r"\*\*a\*\*"


def test_a_preview_shows_classes_warnings_and_pictures(shapes_folder):
    from pages.common.intake import preview

    (shapes_folder / "circle" / "notes.jpg").write_text("this is text")
    seen = preview.__wrapped__(str(shapes_folder), "shapes", "", 0.0)
    assert seen.task.classes == ("circle", "cross", "square", "star", "triangle")
    assert [s.name for s in seen.skipped] == ["circle/notes.jpg"]
    assert seen.task.counts.tolist() == [12] * 5
    assert look(shapes_folder)[0].tasks[0].counts.tolist() == [13, 12, 12, 12, 12]
    assert {label for label, _ in seen.examples} == {"circle", "cross", "square", "star", "triangle"}
    assert all(data.startswith(b"\x89PNG") for _, data in seen.examples)


def give(app, file: Path, shown: str):
    """The page as after an upload."""
    app.session_state["upload"] = (str(file), Path(shown).stem, shown)
    return app.run()


def test_each_attribute_is_previewed_before_it_is_chosen(open_page, bank_path, tmp_path, shapes_folder):
    """Counts and warnings are of the attribute chosen, not of the first."""
    flat = tmp_path / "flat"
    flat.mkdir()
    files = sorted(shapes_folder.rglob("*.png"))
    for file in files:
        file.rename(flat / file.name)
    rows = [f"{file.name},{i % 2},{int(i < 3)}" for i, file in enumerate(files)]
    (flat / "labels.csv").write_text("\n".join(["file,red,spiky", *rows]))
    app = give(open_page(GET, bank_path), zip_folder(flat, tmp_path / "flat.zip"), "flat.zip")
    assert [box.value for box in app.selectbox if box.label == "Which attribute is the task?"] == ["red"]
    assert not [w for w in app.warning if "images to learn from" in w.value]
    next(box for box in app.selectbox if box.label == "Which attribute is the task?").set_value("spiky").run()
    assert not app.exception
    assert "images to learn from in 'spiky'" in " ".join(w.value for w in app.warning)
    assert app.dataframe[0].value["images"].tolist() == [57, 3]


def test_a_refused_upload_is_named_as_the_person_does_and_gone(open_page, bank_path):
    staged = bank_path / "staging" / "123-4.zip"
    staged.parent.mkdir()
    with zipfile.ZipFile(staged, "w") as archive:
        archive.writestr("../../outside/1.png", b"x")
    app = give(open_page(GET, bank_path), staged, "holiday.zip")
    assert not app.exception
    assert "of 'holiday.zip' has a name that may lead out" in app.error[0].value
    assert not list(staged.parent.iterdir())
    app.run()  # the reason stays until the person has read it
    assert "of 'holiday.zip'" in app.error[0].value
    next(b for b in app.button if b.label == "Choose other images").click().run()
    assert not app.error and not app.exception


@pytest.mark.slow
def test_all_files_left_out_are_named_with_the_result(open_page, bank_path, shapes_folder):
    for file in sorted((shapes_folder / "star").glob("*.png"))[:7]:
        file.write_bytes(file.read_bytes()[:80])
    store = JobStore(Bank(bank_path))
    job = store.submit("recommend", "mine", {"path": str(shapes_folder), "name": "mine", "fit": "none"})
    done = wait_for(store, job.id)
    assert done.state == DONE
    app = open_page(GET, bank_path, job=job.id)
    assert "7 images could not be read" in " ".join(w.value for w in app.warning)
    assert "and 4 more" in " ".join(w.value for w in app.warning)
    table = next(d.value for d in app.dataframe if "reason" in d.value)
    assert len(table) == 7 and all(name.startswith("star/") for name in table["name"])
