"""The page "Expert selection" by itself: every meta-task, every view, and tables that cannot be used."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete
from streamlit.testing.v1 import AppTest

from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import TrialEntry
from t2v_core.selection.published import ERRORS
from t2v_core.selection.trials import roles
from tests.conftest import charts, text
from tests.selection.metas import make_bank

ROOT = Path(__file__).parents[1]
PUBLISHED, OWN = "Published: iNat+CUB", "Your own tables"
VIEWS = ["How good is each rule?", "Task by task", "Every error"]
TABLE = "task,x,y,z,pre-trained\na,10,20,30,15\nb,40,20,,25\nx,5,50,10,35\n"


@pytest.fixture
def open_page(monkeypatch):
    monkeypatch.chdir(ROOT)

    def open_(bank: Path, **query: str) -> AppTest:
        monkeypatch.setenv("T2V_BANK", str(bank))
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        app.switch_page("pages/5_Expert_selection.py")
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return open_


@pytest.fixture
def place(tmp_path) -> Path:
    """A bank of two twins, two attributes and two mixed tasks, three experts and the generic one."""
    make_bank(tmp_path / "bank").close()
    return tmp_path / "bank"


def bring(app: AppTest, key: str, content: str | bytes, name: str = "mine.csv") -> AppTest:
    data = content.encode() if isinstance(content, str) else content
    return app.file_uploader(key=f"selection_{key}").set_value((name, data, "text/csv")).run()


def drawn(app: AppTest) -> list[str]:
    return [chart["alt"] for chart in charts(app)]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("source", ["This bank", PUBLISHED])
def test_every_view_of_every_meta_task_opens(open_page, place, source, view):
    app = open_page(place, source=source, view=view)
    assert not app.exception
    assert not app.error
    assert len(drawn(app)) == 1


def test_static_always_stands_beside_the_rules(open_page, place):
    app = open_page(place)
    rules = app.multiselect[0]
    assert rules.value == ["asymmetric"]
    app = rules.set_value([]).run()
    assert not app.exception
    assert "**static**: Loses" in text(app)


def test_the_numbers_hold_every_kind_and_rule_with_intervals(open_page, place):
    app = open_page(place)
    app.session_state["numbers_open"] = True
    table = app.run().dataframe[0].value
    assert set(table["targets"]) == {
        "Same classes, new images",
        "Mixed classes",
        "Same images, new labels",
        "New labels, no expert for them",
        "All targets",
    }
    assert {"chance", "generic", "static", "asymmetric", "asymmetric + 3 heads"} == set(table["rule"]) - {
        "symmetric",
        "domain",
    }
    everything = table[table["targets"] == "All targets"].set_index("rule")
    assert everything.loc["asymmetric + 3 heads", "heads"] == 3
    assert " to " in everything.loc["asymmetric", "better than static: 95 %"]


def test_one_kind_alone(open_page, place):
    app = open_page(place)
    app.session_state["numbers_open"] = True
    app = app.selectbox(key="kind").select("mixed").run()
    assert not app.exception
    assert set(app.dataframe[0].value["targets"]) == {"Mixed classes"}


def test_alpha_is_tuned_when_asked_for(open_page, place):
    app = open_page(place)
    app.session_state["alpha_open"] = True
    app = app.run()
    assert not app.exception
    assert "With alpha chosen for every task on all *other* tasks" in text(app)
    assert "Loss against alpha" in drawn(app)


def test_a_link_to_a_task_explains_the_picks(open_page, place):
    app = open_page(place, view="Task by task", task="b-mixed")
    assert app.selectbox(key="selection_task").value == "b-mixed"
    assert "**static** picks expert-" in text(app)
    assert "lowest mean error on the other tasks" in text(app)
    assert "distance" in text(app)
    assert "trained on the a-" in text(app)  # this bank's experts are not called by their tasks
    app.session_state["candidates_open"] = True
    table = app.run().dataframe[0].value
    assert table["error"].is_monotonic_increasing
    assert len(table) == 3
    assert "trained on" in table


def test_choosing_a_task_is_kept_for_other_pages_and_in_the_address(open_page, place):
    app = open_page(place, view="Task by task")
    app = app.selectbox(key="selection_task").select("b-cats").run()
    assert app.session_state["tasks"] == ["b-cats"]
    assert app.query_params["task"] in ("b-cats", ["b-cats"])
    app = app.selectbox(key="selection_task").set_value(None).run()
    assert app.selectbox(key="selection_task").value is None
    assert not app.exception


def test_a_task_of_another_meta_task_is_simply_not_chosen(open_page, place):
    app = open_page(place, source=PUBLISHED, view="Task by task", task="b-cats")
    assert app.selectbox(key="selection_task").value is None
    assert not app.exception


def test_all_tasks_as_a_table(open_page, place):
    app = open_page(place, view="Task by task")
    app.session_state["listing_open"] = True
    table = app.run().dataframe[0].value
    assert table["norm"].is_monotonic_increasing
    assert {"static_increase", "asymmetric_increase"} <= set(table)


def test_the_matrix_answers_to_its_controls(open_page, place):
    app = open_page(place, view="Every error", task="b-cats")
    for key, value in (("matrix_rule", "static"), ("matrix_colour", "error")):
        app = app.segmented_control(key=key).set_value(value).run()
        assert not app.exception
        assert not app.error
        rule = app.segmented_control(key="matrix_rule").value
        offered = [d.label for d in app.get("download_button")]
        assert offered == ["Download the errors as CSV", f"Download the scores by {rule} as CSV"]


def test_what_has_no_say_in_a_view_is_disabled(open_page, place):
    for view, idle in (("How many images?", True), ("Task by task", False)):
        app = open_page(place, view=view, kind="Mixed classes")
        assert app.selectbox(key="kind").disabled == idle
        assert app.multiselect[0].disabled == idle
        assert app.selectbox(key="kind").value == "mixed"


def test_a_missing_model2vec_says_why(open_page, place):
    assert "has not learned from this bank's errors as they are now" in text(open_page(place))


def test_model2vec_is_learned_beside_the_page_and_then_judged(open_page, place):
    app = open_page(place)
    assert "model2vec" not in app.multiselect[0].options
    app = next(b for b in app.button if b.label == "Learn MODEL2VEC").click().run()
    assert not app.exception
    from pages.common.selection import learn_model2vec

    learn_model2vec(Bank(place)).future.result(60)
    app = app.run()
    if "model2vec" not in app.multiselect[0].options:
        app = app.run()  # the fragment that watches asked for another run
    assert not app.exception
    assert app.multiselect[0].value == ["asymmetric", "model2vec"]
    assert not [b for b in app.button if b.label == "Learn MODEL2VEC"]
    assert "model2vec" in open_page(place).multiselect[0].options


def test_learning_that_fails_is_one_sentence_and_can_be_tried_again(open_page, place, monkeypatch):
    from t2v_core.selection.model2vec import Model2Vec

    monkeypatch.setattr(Model2Vec, "scores", lambda self, meta: 1 / 0)
    app = open_page(place)
    app = next(b for b in app.button if b.label == "Learn MODEL2VEC").click().run()
    for _ in range(20):
        if app.error:
            break
        time.sleep(0.1)
        app = app.run()
    assert not app.exception
    assert "could not learn" in app.error[0].value
    assert [b for b in app.run().button if b.label == "Learn MODEL2VEC"]


def test_the_published_errors_give_the_published_figures(open_page, place):
    app = open_page(place, source=PUBLISHED)
    assert "**static**: Loses 14.5 %" in text(app)
    app.session_state["numbers_open"] = True
    table = app.run().dataframe[0].value
    whole = table[table["targets"] == "All targets"].set_index("rule")
    assert round(whole.loc["static", "best error %"], 2) == 31.18
    assert round(whole.loc["chance", "loses %"], 2) == 59.77
    assert set(table["targets"]) == {"CUB", "iNat", "All targets"}


def test_without_embeddings_the_order_is_told(open_page, place):
    assert "ordered by their best error" in text(open_page(place, source=PUBLISHED, view="Task by task"))
    shown = text(open_page(place, view="Task by task"))
    assert "norm of the task's embedding grows; here, " in shown
    assert "the norm and the best error" in shown


def test_a_persons_distances_are_judged_on_the_published_errors(open_page, place):
    app = bring(open_page(place, source=PUBLISHED), "scores", ERRORS.read_bytes())  # an oracle
    assert not app.exception
    assert "**selected**: Loses 0.0 %" in text(app)


def test_a_persons_own_tables(open_page, place):
    app = open_page(place, source=OWN)
    assert "Give a table of errors" in text(app)
    app = bring(app, "errors", TABLE)
    assert not app.exception
    assert not app.error
    assert "Missing: 1 of 11 errors" in text(app)  # x is no candidate for x
    app = app.selectbox[0].select("pre-trained").run()
    assert not app.exception
    assert "cannot be told apart from generic" in text(app)  # over two tasks
    app = bring(app, "scores", "task,z,x,y\nx,1,2,3\na,3,2,1\nb,3,1,2\nunknown,1,1,1\n")
    assert "The errors do not know the tasks 'unknown'" in text(app)
    losses = [line for line in text(app).splitlines() if line.startswith("- **selected**")]
    app = app.checkbox(key="larger").check().run()
    assert [line for line in text(app).splitlines() if line.startswith("- **selected**")] != losses
    for view in VIEWS:
        app = app.segmented_control(key="view").set_value(view).run()
        assert not app.exception
        assert not app.error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("task,x,y\na,1,oops\n", "'oops' for task 'a' and expert 'y'"),
        ("task,x,x\na,1,2\n", "several experts called 'x'"),
        ("task,x,y\na,1,2\na,2,3\n", "several tasks called 'a'"),
        ("task,x,y\na,1\n", "ine 2 of 'mine.csv' has 2 cells"),
        ("task,x,y\na,1,101\n", "from 0 to 100"),
        ("", "holds no table"),
        (b"\xff\xfe\x00\x01", "cannot be read as a CSV"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence(open_page, place, content, words):
    app = bring(open_page(place, source=OWN), "errors", content)
    assert not app.exception
    assert words in app.error[0].value
    assert len(app.error) == 1


def test_scores_by_other_labels_are_one_sentence(open_page, place):
    app = bring(bring(open_page(place, source=OWN), "errors", TABLE), "scores", "task,x\nq,1\n")
    assert not app.exception
    assert "have no task in common" in app.error[0].value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("task,x,y\na,0,20\nb,30,20\n", "1 is added to every best error"),
        ("task,x,y\na,20,20\nb,30,30\n", "there is nothing to select"),
        ("task,x,y\na,20,30\n", "only one task"),
        ("task,x\na,20\nb,30\n", "there is nothing to select"),
    ],
)
def test_poor_tables_are_told(open_page, place, content, words):
    app = bring(open_page(place, source=OWN), "errors", content)
    assert not app.exception
    assert words in text(app)
    for view in VIEWS[1:]:
        app = app.segmented_control(key="view").set_value(view).run()
        assert not app.exception


def test_a_table_of_experts_own_tasks_alone_is_told(open_page, place):
    app = bring(open_page(place, source=OWN), "errors", "task,x,y\nx,5,\ny,,7\n")
    assert not app.exception
    assert "no error of an expert on a task that is not its own" in text(app)


def test_very_many_tasks_and_experts_are_shown_by_the_page(open_page, place):
    errors = np.random.default_rng(0).uniform(5, 60, (250, 450)).round(1)
    rows = [f"t{t}," + ",".join(map(str, row)) for t, row in enumerate(errors)]
    table = "\n".join(["task," + ",".join(f"e{e}" for e in range(450)), *rows])
    app = bring(open_page(place, source=OWN, view="Task by task"), "errors", table)
    assert app.selectbox(key="violins_page").options == [
        "1 to 60",
        "61 to 120",
        "121 to 180",
        "181 to 240",
        "241 to 250",
    ]
    app = app.selectbox(key="violins_page").select("241 to 250").run()
    assert not app.exception
    app = app.segmented_control(key="view").set_value("Every error").run()
    assert not app.exception
    assert "Of 450 experts, the 400 with the lowest mean error." in text(app)


def test_an_empty_bank_says_what_to_do(open_page, tmp_path, monkeypatch):
    monkeypatch.setattr("t2v_core.bank.opening.DEMO", tmp_path / "no demo")
    app = open_page(tmp_path / "empty")
    assert not app.exception
    assert "Nothing can be judged yet" in text(app)
    assert not app.error


def test_a_bank_of_one_task_is_judged_with_a_warning(open_page, place):
    bank = Bank(place)
    for task in bank.tasks():
        if task.id.startswith("b-") and task.id != "b-cats":
            bank.delete_task(task.id)
    bank.close()
    for view in VIEWS:
        app = open_page(place, view=view, task="b-cats")
        assert not app.exception
        assert not app.error
    assert "There is only one task" in text(open_page(place))


def test_a_best_error_of_zero_in_a_bank_is_told(open_page, tmp_path):
    make_bank(tmp_path / "zero", zero_error=True).close()
    app = open_page(tmp_path / "zero")
    assert not app.exception
    assert "1 is added to every best error" in text(app)


def test_a_bank_that_cannot_be_opened_is_one_sentence(open_page, tmp_path):
    (tmp_path / "file").write_text("")
    app = open_page(tmp_path / "file")
    assert not app.exception
    assert "cannot open a bank" in app.error[0].value.casefold()


EFFICIENCY = "How many images?"


def try_out(place: Path) -> None:
    """Trials of two targets: the generic expert errs twice as much as the others, and more images help everyone."""
    bank = Bank(place)
    chosen = roles(bank)
    for task in ("b-mixed", "b-cats"):
        for expert in sorted(set(chosen[task].values())):
            for mode in ("frozen", "fine-tuned"):
                for size in (2, 20):
                    for seed in (0, 1):
                        error = (40 if expert == "generic" else 20) - size / 2 + seed
                        key = f"{task}{expert}{mode}{size}{seed}"
                        schedule = "" if mode == "frozen" else "brief-0"
                        entry = TrialEntry(key, task, expert, mode, schedule, size, 2 * size, seed, error, 100, 1.0)
                        bank.save_trial(entry)
    bank.close()


def test_how_many_images_waits_for_an_experiment_under_way(open_page, place):
    """Frozen trials come first."""
    try_out(place)
    bank = Bank(place)
    with bank.engine.begin() as connection:
        connection.execute(delete(schema.trial).where(schema.trial.c.mode == "fine-tuned"))
    bank.close()
    app = open_page(place, view=EFFICIENCY)
    assert not app.exception
    assert "No size has been tried with every expert" in text(app)


def test_how_many_images_names_its_command_where_nothing_was_measured(open_page, place):
    app = open_page(place, view=EFFICIENCY)
    assert not app.exception
    assert "experts efficiency --data" in app.code[0].value
    assert drawn(app) == []


def test_how_many_images_is_drawn_told_and_taken_away(open_page, place):
    try_out(place)
    app = open_page(place, view=EFFICIENCY)
    assert not app.exception
    assert drawn(app) == ["Error against the number of training images"]
    assert "With **2 images** of each class and frozen features the picked expert errs in 19.5 %" in text(app)
    assert "the generic one in 39.5 %" in text(app)
    assert "At every size the frozen picked expert errs less" in text(app)
    numbers = app.dataframe[1].value
    assert set(numbers["per_class"]) == {2, 20}
    assert set(numbers["tasks"]) == {2}
    app = app.selectbox(key="target").select("b-mixed").run()
    assert not app.exception
    assert set(app.dataframe[1].value["tasks"]) == {1}


def test_a_link_to_a_view_that_a_source_lacks_still_opens(open_page, place):
    app = open_page(place, source=PUBLISHED, view=EFFICIENCY)
    assert not app.exception
    assert len(drawn(app)) == 1


def test_every_measured_method_stands_in_the_violins_of_the_demo_bank(open_page, tmp_path):
    app = open_page(tmp_path / "demo", view="Task by task")
    rules = app.multiselect[0]
    every = ["asymmetric", "pseudotask", "tangent", "logme", "leep", "h_score", "domain"]
    assert set(every) <= set(rules.options)
    rules.set_value(every).run()
    assert not app.exception
    (chart,) = charts(app)
    assert set(every) <= {trace.get("name") for trace in chart["figure"]["data"]}
