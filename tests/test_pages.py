"""Every page by itself: with a bank, with an empty one, and what a person can do on it."""

from __future__ import annotations

import base64
import gc
import os
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from sqlalchemy import update

from pages.common.intake import stamp
from pages.common.space import METRICS
from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.jobs.store import DONE, FAILED, JobStore
from t2v_core.selection.audit import ALL, audit
from t2v_core.selection.meta_task import GENERIC
from t2v_core.selection.published import published
from t2v_core.selection.selectors import Static
from t2v_core.selection.track_record import track_records
from t2v_core.selection.ways import WAYS
from t2v_core.space.tables import kind_words
from t2v_core.task.reading import look
from tests.conftest import charts, text, zip_folder
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


def test_a_link_to_a_task_shows_it_and_its_neighbours(open_page, bank_path):
    app = open_page(MAP, bank_path, task="digits")
    assert app.selectbox(key="map_find").value == "digits"
    assert app.dataframe[0].value.index.tolist() == ["digits"]
    near = app.dataframe[1].value
    assert len(near) == 7
    assert near["distance"].is_monotonic_increasing
    assert (near["±"] > 0).all()


def test_a_link_to_many_tasks_lists_them_in_order(open_page, bank_path):
    app = open_page(MAP, bank_path, task=["stripes", "digits", "no such task"])
    assert app.dataframe[0].value.index.tolist() == ["stripes", "digits"]
    assert "2 chosen" in text(app)
    assert app.selectbox(key="map_find").value is None


def test_chosen_tasks_of_a_kind_that_is_not_shown_are_said_and_brought_back(open_page, bank_path):
    kinds = {t.id: t.kind for t in Bank(bank_path).tasks()}
    other = next(task for task, kind in kinds.items() if kind != kinds["digits"])
    app = open_page(MAP, bank_path, task=["digits", other], map_kinds=kind_words(kinds["digits"]))
    assert app.dataframe[0].value.index.tolist() == ["digits"]
    assert "1 chosen task of a kind that is not shown" in text(app)
    app = next(b for b in app.button if b.label == "Show every kind").click().run()
    assert app.dataframe[0].value.index.tolist() == ["digits", other]
    assert "not shown" not in text(app)
    app = next(b for b in app.button if b.label == "Clear").click().run()
    assert "8 tasks, none chosen" in text(app)
    assert "task" not in app.query_params


def test_a_ring_marks_the_task_that_is_looked_at(open_page, bank_path):
    app = open_page(MAP, bank_path, task=["stripes", "digits"], focus="digits")
    for chart in charts(app):
        (ring,) = chart["figure"]["layout"]["shapes"]
        assert [ring["xanchor"], ring["yanchor"]] == places(chart)["digits"]


def numbers(sent):
    """An array as Plotly sends it."""
    if isinstance(sent, dict):
        return np.frombuffer(base64.b64decode(sent["bdata"]), sent["dtype"]).tolist()
    return sent


def places(chart):
    """Where a map draws each task, by id."""
    points = [trace for trace in chart["figure"]["data"] if "customdata" in trace]
    return {
        row[0]: place
        for trace in points
        for row, *place in zip(trace["customdata"], numbers(trace["x"]), numbers(trace["y"]), strict=True)
    }


def test_more_tasks_than_an_address_takes_are_chosen_by_a_link(open_page, bank_path, monkeypatch):
    monkeypatch.setattr("pages.common.selected.LINKED", 2)
    app = open_page(MAP, bank_path, map_colour="role in this bank")
    app.selectbox(key="map_group").select("other worlds").run()
    chosen = app.dataframe[0].value.index.tolist()
    assert len(chosen) > 2
    assert "task" not in app.query_params
    name = app.query_params["tasks"]
    again = open_page(MAP, bank_path, tasks=name)
    assert again.dataframe[0].value.index.tolist() == chosen
    matrix = open_page("pages/4_Similarity_matrix.py", bank_path, tasks=name, only="true")
    assert f"Only the {len(chosen)} chosen tasks" in [toggle.label for toggle in matrix.toggle]
    again.selectbox(key="map_find").select("stripes").run()
    assert "tasks" not in again.query_params

    other = open_page(MAP, bank_path, tasks="0123456789abcdef")
    assert not other.exception
    assert "not kept in this bank" in other.toast[0].value
    assert "All 8 tasks" in text(other)
    assert not other.run().exception
    assert not open_page(MAP, bank_path, tasks="0123456789abcdef").run().exception


def test_a_kept_selection_is_followed_again_after_another_link(open_page, bank_path, monkeypatch):
    monkeypatch.setattr("pages.common.selected.LINKED", 2)
    app = open_page(MAP, bank_path, map_colour="role in this bank")
    app.selectbox(key="map_group").select("other worlds").run()
    chosen, name = app.dataframe[0].value.index.tolist(), app.query_params["tasks"]
    app = open_page(MAP, bank_path, tasks=name)
    del app.query_params["tasks"]
    app.query_params["task"] = "digits"
    assert app.run().dataframe[0].value.index.tolist() == ["digits"]
    del app.query_params["task"]
    app.query_params["tasks"] = name
    assert app.run().dataframe[0].value.index.tolist() == chosen
    assert "task" not in app.query_params


def test_what_was_chosen_stands_in_the_address_of_the_next_page(open_page, bank_path):
    app = open_page(MAP, bank_path, task="digits")
    app = app.switch_page("pages/4_Similarity_matrix.py").run()
    assert app.query_params["task"] in ("digits", ["digits"])


def test_a_link_looks_at_one_of_several_with_its_surroundings(open_page, bank_path):
    tasks = ["stripes", "digits"]
    app = open_page(MAP, bank_path, task=tasks, focus="digits", map_lines="true")
    assert app.subheader[1].value == "handwritten digits"
    assert [len(chart["figure"]["data"]) for chart in charts(app)] == [
        len(chart["figure"]["data"]) + more
        for chart, more in zip(charts(open_page(MAP, bank_path, task=tasks, focus="digits")), (2, 2), strict=True)
    ]  # lines and, as both distances can be drawn anew, where it might as well lie
    assert open_page(MAP, bank_path, task=tasks, focus="no such task").subheader[1].value != "handwritten digits"


def test_what_is_near_is_so_by_the_map_on_the_left(open_page, bank_path):
    def near(**settings) -> tuple[str, list[str]]:
        app = open_page(MAP, bank_path, task="digits", map_lines="true", **settings)
        drawn = [t["meta"] for chart in charts(app) for t in chart["figure"]["data"]]
        assert drawn.count("links") == drawn.count("cloud") == 2
        said = next(c.value for c in app.caption if c.value.startswith("Distances by"))
        return said, app.dataframe[1].value["nearest tasks"].tolist()

    by_fisher, by_domain = near(), near(map_left=METRICS["domain"])
    assert METRICS["symmetric"] in by_fisher[0] and METRICS["domain"] in by_domain[0]
    assert by_fisher[1] != by_domain[1]


@pytest.mark.parametrize("kinds", [{}, {"map_kinds": ["attribute, target", "one of its own"]}])
def test_a_colour_means_one_group_on_both_maps(open_page, tmp_path, kinds):
    app = open_page(MAP, tmp_path / "demo", map_right=METRICS["tangent"], **kinds)
    groups = {}
    for chart in charts(app):
        for trace in chart["figure"]["data"]:
            groups.setdefault(trace["marker"]["color"], set()).add(trace["name"])
    assert len(groups) > 5
    assert all(len(names) == 1 for names in groups.values())


def test_a_new_task_is_placed_and_the_maps_are_drawn_anew_on_request(open_page, bank_path):
    before = places(charts(open_page(MAP, bank_path))[0])
    bank = Bank(bank_path)
    task = next(t for t in bank.tasks() if t.id == "stripes")
    found = [bank.embeddings(method)["stripes"] for method in (TASK2VEC, DOMAIN)]
    bank.save_task(replace(task, id="a new one", content_hash="new"), bank.image_sets()[task.image_set], found, None)
    app = open_page(MAP, bank_path)
    after = places(charts(app)[0])
    assert after.keys() == {*before, "a new one"}
    assert all(after[task] == place for task, place in before.items())
    assert "1 task that came after the maps were drawn stands among the nearest" in text(app)
    next(b for b in app.button if b.label == "Draw the maps anew").click().run()
    assert not app.exception
    assert any(places(charts(app)[0])[task] != place for task, place in before.items())
    assert "came after the maps" not in text(app)


def test_a_task_known_by_its_images_alone_has_neighbours_with_a_spread(open_page, bank_path):
    bank = Bank(bank_path)
    task = next(t for t in bank.tasks() if t.id == "stripes")
    alone = [bank.embeddings(DOMAIN)["stripes"]]
    bank.save_task(replace(task, id="images", content_hash="new"), bank.image_sets()[task.image_set], alone, None)
    bank.close()
    app = open_page(MAP, bank_path, task="images", focus="images", map_lines="true")
    assert not app.exception
    near = next(table.value for table in app.dataframe if "nearest tasks" in table.value)
    assert near["\u00b1"].iloc[1:].gt(0).all()
    without = charts(open_page(MAP, bank_path, task="images", focus="images"))
    more = [len(c["figure"]["data"]) - len(w["figure"]["data"]) for c, w in zip(charts(app), without, strict=True)]
    assert more == [0, 2]  # it stands on the right map alone: lines, and where it might as well lie


def test_every_level_that_a_path_reaches_can_be_a_colour(open_page, bank_path):
    bank = Bank(bank_path)
    deepest = max(len(t.taxonomy) for t in bank.tasks())
    options = open_page(MAP, bank_path).selectbox(key="map_colour").options
    assert [o for o in options if "level" in o] == [f"level {i} of the taxonomy" for i in range(4, deepest + 1)]
    app = open_page(MAP, bank_path, map_colour=options[0])
    assert options[0] == "branch of the taxonomy"
    assert not app.exception


def test_choosing_a_task_changes_the_address(open_page, bank_path):
    app = open_page(MAP, bank_path)
    app.selectbox(key="map_find").select("stripes").run()
    assert app.query_params["task"] == "stripes"
    assert not app.exception


def test_a_group_is_chosen_whole(open_page, bank_path):
    app = open_page(MAP, bank_path, map_colour="role in this bank")
    app.selectbox(key="map_group").select("other worlds").run()
    assert not app.exception
    roles = app.dataframe[0].value["role"]
    assert len(roles) > 1
    assert set(roles) == {"other worlds"}
    assert sorted(app.query_params["task"]) == sorted(roles.index)


@pytest.mark.parametrize("colour", ["cluster", "norm of the embedding", "error of a linear head, %"])
def test_every_colour_draws_both_maps(open_page, bank_path, colour):
    app = open_page(MAP, bank_path, map_colour=colour)
    assert not app.exception
    assert len(charts(app)) == 2
    assert app.selectbox(key="map_group").disabled == (colour != "cluster")


def test_the_choice_goes_along_to_other_pages(open_page, bank_path):
    app = open_page(MAP, bank_path, task="digits")
    app = app.switch_page("pages/5_Expert_selection.py").run()
    assert app.session_state["tasks"] == ["digits"]


def test_neighbours_and_uncertainty_are_drawn_on_request(open_page, bank_path):
    app = open_page(MAP, bank_path, task="digits")
    before = [len(chart["figure"]["data"]) for chart in charts(app)]
    app.toggle(key="map_lines").set_value(True).run()
    assert not app.exception
    after = [len(chart["figure"]["data"]) for chart in charts(app)]
    assert [b - a for a, b in zip(before, after, strict=True)] == [2, 2]


def test_hiding_every_kind_leaves_a_hint(open_page, bank_path):
    app = open_page(MAP, bank_path)
    app.selectbox(key="map_colour").set_value("cluster")
    app.multiselect(key="map_kinds").set_value([]).run()
    assert not app.exception
    assert "Every kind of task is hidden" in text(app)


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
