"""Bank in the browser: experts brought along, measured and removed; what is at fault is one sentence."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from sqlalchemy import delete

from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.coverage import added_by_people, delete_expert, missing_cells
from t2v_core.bank.records import UPLOAD
from t2v_core.bank.thumbnails import forget_thumbnails
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.errors import InputError
from t2v_core.jobs.store import DONE, FAILED, JobStore
from t2v_core.measurable import CODE, places
from t2v_core.new_experts import AddOptions, add
from t2v_core.probe.bundled import WEIGHTS
from t2v_core.probe.network import ResNet20
from tests.conftest import text
from tests.jobs.test_jobs import _row, wait_for

PAGE = "pages/3_Bank.py"
WAY = "expert_way"


def quiet(*_) -> None:
    pass


def press(app, label: str):
    return next(b for b in app.button if b.label == label).click().run()


def started(app, bank: Bank):
    """The job that the page has just begun, when it is over."""
    assert not app.exception
    return wait_for(JobStore(bank), app.session_state["bank_job"])


def upload(app, name: str, content: bytes):
    app.file_uploader(key="expert_file0").set_value((name, content, "application/octet-stream"))
    return press(app, "Add it to the bank")


def weights(change=lambda state: None) -> bytes:
    torch.manual_seed(0)
    state = ResNet20(3).state_dict()
    change(state)
    return save(state)


def clear(bank: Bank, *tasks: str) -> None:
    with bank.engine.begin() as connection:
        connection.execute(delete(schema.error).where(schema.error.c.task_id.in_(tasks)))


# ---- the table of tasks --------------------------------------------------------------------------------


def test_tasks_stand_with_their_pictures_and_plain_columns_first(open_page, bank_path, bank):
    shown = open_page(PAGE, bank_path).dataframe[0].value
    assert shown.columns[:3].tolist() == ["name", "role", "classes"]
    assert shown.columns[-1] == "id"
    assert "kind" not in shown
    assert shown["pictures"].str.startswith("data:image/webp;base64,").all()
    for task in shown["id"]:
        forget_thumbnails(bank, task)
    assert "pictures" not in open_page(PAGE, bank_path).dataframe[0].value


def test_a_link_opens_the_tab_it_names(open_page, bank_path):
    app = open_page(PAGE, bank_path, tab="Jobs")
    assert not app.exception
    assert app.session_state["tab"] == "Jobs"
    assert open_page(PAGE, bank_path).session_state["tab"] == "Tasks"


def test_the_audit_has_plain_headings(open_page, judged_bank, bank_path):
    table = open_page(PAGE, bank_path).dataframe[-1].value
    assert list(table)[:4] == ["targets", "rule", "tasks", "best error, %"]
    assert set(table["targets"]) == {"Mixed classes", "All targets"}


def test_pictures_too_many_for_a_page_are_those_asked_for():
    from pages.common.pictures import within

    found = {f"t{n}": "x" * 100 for n in range(10)}
    assert within(found, 1000) == found
    assert list(within(found, 250, ["t7", "t7", "no such task", "t2", "t3"])) == ["t7", "t2"]
    assert list(within(found, 250)) == ["t0", "t1"]
    assert within(found, 250, []) == {}


def two_of_one_name(bank: Bank) -> None:
    """Two uploads that are both called "my images"."""
    task = next(t for t in bank.tasks() if t.id == "stripes")
    found, digests = [bank.embeddings(method)["stripes"] for method in (TASK2VEC, DOMAIN)], bank.image_sets()
    for number in range(2):
        record = replace(task, id=f"up-{number}", name="my images", kind=UPLOAD, content_hash=f"{number}")
        bank.save_task(record, digests[task.image_set], found, None)


def test_of_two_tasks_of_one_name_the_chosen_one_is_removed(open_page, bank_path, bank):
    two_of_one_name(bank)
    app = open_page(PAGE, bank_path)
    box = next(b for b in app.selectbox if b.label == "Remove one of your tasks")
    assert box.options == ["my images (up-0)", "my images (up-1)"]
    box.select("up-0").run()
    app.button(key="remove_task").click().run()
    assert not app.exception
    left = {t.id for t in bank.tasks()}
    assert "up-1" in left
    assert "up-0" not in left


def test_a_task_that_cannot_go_is_no_traceback(open_page, bank_path, bank):
    two_of_one_name(bank)
    app = open_page(PAGE, bank_path)
    box = next(b for b in app.selectbox if b.label == "Remove one of your tasks")
    box.select("up-0").run()
    expert = next(e for e in bank.experts() if e.task_id)
    bank.save_expert(replace(expert, id="new", task_id="up-0"))  # meanwhile, by somebody else
    app.button(key="remove_task").click().run()
    assert not app.exception
    assert "up-0" in {t.id for t in bank.tasks()}


def test_a_bank_is_taken_away_and_taken_in(open_page, bank_path, bank, tmp_path, monkeypatch):
    monkeypatch.setattr("t2v_core.bank.opening.DEMO", tmp_path / "no demo")
    app = press(open_page(PAGE, bank_path, tab="Import and export"), "Prepare the export")
    assert "Download bank.zip" in app.get("download_button")[-1].proto.label
    packed = app.session_state["export"][1]
    bank.delete_task("stripes")
    app.run()
    assert "prepare it again" in text(app)
    assert "export" not in app.session_state

    app = open_page(PAGE, tmp_path / "empty", tab="Import and export")
    app.file_uploader(key="import0").set_value(("bank.zip", packed, "application/zip")).run()
    press(app, "Import")
    assert not app.exception
    assert "8 tasks, 4 experts, 32 errors taken in." in text(app)
    assert [m.value for m in app.metric] == ["8", "4", "32"]
    assert app.file_uploader(key="import1").value is None  # the memory of the first is free again


# ---- adding --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_becomes_an_expert_is_measured_and_removed(open_page, bank_path, bank):
    for task in ("colours", "counts", "sizes", "digits-parity"):
        bank.delete_task(task)
    app = upload(open_page(PAGE, bank_path), "My Fish.safetensors", weights())
    job = started(app, bank)
    assert job.state == DONE, job.message
    assert not any(JobStore(bank).folder(job.id).glob("*.safetensors"))  # the bank has it in its own form
    (row,) = job.result["rows"]
    assert row["name"] == "My Fish"
    app.run()
    assert "My Fish is in the bank" in text(app)
    press(app, "Done")
    assert "bank_job" not in app.session_state
    kept = bank.weights / row["weights_file"]
    assert kept.is_file()

    clear(bank, "stripes")
    assert missing_cells(bank) == {"stripes": 5, "shapes": 1, "textures": 1, "digits": 1}
    app = press(open_page(PAGE, bank_path), "Measure")
    job = started(app, bank)
    assert job.state == DONE, job.message
    assert job.result["measured"] == 8
    assert 0 <= bank.errors().loc["stripes", row["id"]] <= 100
    app.run()
    assert "8 values measured, 0 are still missing" in text(app)
    assert "Every error of every labelled task" in text(app)

    app.selectbox(key="doomed_expert").select(row["id"]).run()
    app.button(key="remove_expert").click().run()
    assert not app.exception
    assert row["id"] not in {e.id for e in bank.experts()}
    assert row["id"] not in bank.errors()
    assert not kept.exists()


BAD_FILES = {
    "text": (b"I am a text", "is not a safetensors file"),
    "pickle": (b"\x80\x02 a pickle", "which could run code"),
    "missing": (weights(lambda s: s.pop("conv1.weight")), "'conv1.weight' is missing"),
    "shape": (weights(lambda s: s.update({"conv1.weight": torch.zeros(1)})), "has the shape"),
    "nan": (weights(lambda s: s["bn1.weight"].fill_(float("nan"))), "not finite"),
    "header": ((1 << 62).to_bytes(8, "little") + b"{}", "is not a safetensors file"),
    "empty": (b"", "is not a safetensors file"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_one_sentence(bank, tmp_path, content, message):
    """As the job that the page begins meets it."""
    file = tmp_path / "x.safetensors"
    file.write_bytes(content)
    before = bank.experts()
    with pytest.raises(InputError, match=message):
        add(bank, AddOptions(file=str(file), name="x"), quiet)
    assert bank.experts() == before


def test_a_bad_file_says_so_on_the_page_and_can_be_left(open_page, bank_path, bank):
    app = open_page(PAGE, bank_path)
    app.text_input(key="expert_name").set_value("../../evil")
    app = upload(app, "../../evil.safetensors", weights())
    assert started(app, bank).state == FAILED
    app.run()
    assert [e.value for e in app.error] == ["The name '../../evil' hides a path; give a plain name without slashes."]
    assert not list(bank_path.parent.glob("evil*"))
    press(app, "Leave it")
    assert not app.error


def test_nothing_given_begins_nothing(open_page, bank_path, bank):
    app = press(open_page(PAGE, bank_path), "Add it to the bank")
    assert "There is no file yet" in app.error[0].value
    app = open_page(PAGE, bank_path)
    app.segmented_control(key=WAY).set_value("A published network").run()
    app = press(app, "Add it to the bank")
    assert "There is no name yet" in app.error[0].value
    assert JobStore(bank).list() == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (str(WEIGHTS), "is no model's name"),
        ("../secret", "is no model's name"),
        ("tests", "no probe 'tests'"),  # a folder that is there
        ("resnet9000", "no probe 'resnet9000'"),
        ("timm/nothing", "timm knows no model 'nothing'"),
    ],
)
def test_a_name_never_reads_a_file_of_the_server(bank, monkeypatch, model, message):
    monkeypatch.chdir(Path(__file__).parents[1])
    with pytest.raises(InputError, match=message):
        add(bank, AddOptions(model=model, name="x"), quiet)


def test_a_named_network_is_added(open_page, bank_path, bank):
    app = open_page(PAGE, bank_path)
    app.segmented_control(key=WAY).set_value("A published network").run()
    app.text_input(key="expert_model").set_value("bundled")
    app.text_input(key="expert_name").set_value("the probe again")
    app.selectbox(key="expert_task").select("digits")
    job = started(press(app, "Add it to the bank"), bank)
    assert job.state == DONE, job.message
    assert (job.result["rows"][0]["name"], job.result["rows"][0]["task_id"]) == ("the probe again", "digits")


# ---- what can be measured ------------------------------------------------------------------------------


def test_what_cannot_be_measured_says_why(open_page, bank_path, bank, shapes_folder):
    store = JobStore(bank)
    with bank.engine.begin() as connection:
        tasks = schema.task.update()
        connection.execute(tasks.where(schema.task.c.id == "stripes").values(origin="CIFAR-100, test images"))
        connection.execute(tasks.where(schema.task.c.id == "counts").values(origin="upload", kind="upload"))
        connection.execute(tasks.where(schema.task.c.id == "colours").values(origin="upload", kind="upload"))
    clear(bank, "stripes", "counts", "colours", "digits")
    job_id = _row(store)
    arguments = {"path": str(shapes_folder), "name": "counts", "seed": 0}
    with bank.engine.begin() as connection:
        connection.execute(schema.job.update().values(arguments=arguments))
    store.finish(store.get(job_id), DONE, result={"task": {"id": "counts"}})
    found = {place.key: place for place in places(bank, store)}
    assert found[CODE].missing == 4
    assert found[CODE].arguments == {"tasks": None}
    assert found["counts"].arguments == {"paths": [str(shapes_folder)], "tasks": ["counts"], "seed": 0}
    assert found["upload"].arguments is None
    assert "upload them again" in found["upload"].why
    assert found["CIFAR-100, test images"].arguments is None
    assert "errors fill --data" in found["CIFAR-100, test images"].why
    app = open_page(PAGE, bank_path)
    assert not app.exception
    assert "16 errors were not measured" in text(app)
    assert len(app.selectbox(key="measure_which").options) == 2
    shutil.rmtree(shapes_folder)
    assert {p.key for p in places(bank, store) if p.arguments} == {CODE}


# ---- removing ------------------------------------------------------------------------------------------


def test_only_what_people_added_can_be_removed(bank, tmp_path):
    from t2v_core.new_experts import add_experts

    assert added_by_people(bank, set()) == []
    torch.manual_seed(0)
    save_file(ResNet20(3).state_dict(), tmp_path / "mine.safetensors")
    given = (str(tmp_path / "mine.safetensors"), "resnet20", "shapes")
    for name in ("one", "two"):  # the same weights under two names
        (row,) = add_experts(bank, *given, name, None, torch.device("cpu"), quiet)["rows"]
    assert [e.name for e in added_by_people(bank, set())] == ["one", "two"]
    file = bank.weights / row["weights_file"]
    before = bank.errors()
    first, second = (e.id for e in added_by_people(bank, set()))
    delete_expert(bank, first)
    assert file.is_file()  # the other has the same weights
    delete_expert(bank, second)
    assert not file.exists()
    np.testing.assert_array_equal(bank.errors().to_numpy(), before.to_numpy())
    with pytest.raises(InputError, match="no expert"):
        delete_expert(bank, second)


def test_cards_are_those_of_all_tasks_as_far_as_they_fit_and_of_the_chosen(monkeypatch):
    from pages.common import hover

    found = {f"t{n}": "x" * 100 for n in range(10)}
    sent = []
    monkeypatch.setattr(hover, "pictures", lambda _: found)
    monkeypatch.setattr(hover, "MOST_BYTES", 250)
    monkeypatch.setattr(hover, "_mount", lambda key, data, height: sent.append(list(data["pictures"])))
    hover.hover_cards(None, ["chart"])
    hover.hover_cards(None, ["chart"], ["t1", "t7"])
    assert sent == [["t0", "t1"], ["t0", "t1"], ["t7"]]
