"""The page Compare: from any bank, by clicks, and from a link."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from t2v_core.bank.bank import Bank
from t2v_core.selection.meta_task import GENERIC
from tests.conftest import text

PAGE = "pages/5_Compare.py"
VIEWS = ["Side by side", "Layers and filters", "Neighbours", "Experts"]


@pytest.fixture
def compare(open_page, bank_path):
    """Opens the page with the small bank."""

    def open_(**query) -> AppTest:
        app = open_page(PAGE, bank_path, **query)
        assert not app.exception
        assert not app.error
        return app

    return open_


def some(bank_path: Path, count: int) -> dict[str, str]:
    """The first tasks by id, with their names."""
    return {t.id: t.name for t in Bank(bank_path).tasks()[:count]}


def test_a_bank_of_one_task_cannot_be_compared(open_page, one_task_bank):
    app = open_page(PAGE, one_task_bank)
    assert not app.exception
    assert "single task" in app.info[0].value


def test_without_a_choice_pairs_are_suggested_and_one_click_compares_them(compare):
    app = compare()
    assert "start with one of these pairs" in app.info[0].value
    assert app.button(key="suggest_nearest").label.startswith("**Nearest:**")
    app.button(key="suggest_nearest").click().run()
    assert not app.exception
    assert len(app.multiselect(key="compare").value) == 2
    assert app.query_params["task"] == app.multiselect(key="compare").value
    assert not app.info


def test_one_task_asks_for_another_and_suggests_pairs_with_it(compare):
    app = compare(task="digits")
    assert "Choose one task more" in app.info[0].value
    app.button(key="suggest_nearest").click().run()
    assert "digits" in app.multiselect(key="compare").value


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("count", [2, 3])
def test_a_link_restores_tasks_and_view(compare, bank_path, view, count):
    tasks = some(bank_path, count)
    app = compare(task=list(tasks), view=view)
    assert app.multiselect(key="compare").value == list(tasks)
    assert app.segmented_control(key="view").value == view
    assert app.get("download_button")
    assert app.caption


def test_side_by_side_gives_every_pair_and_every_fact(compare, bank_path):
    tasks = some(bank_path, 3)
    app = compare(task=list(tasks))
    pairs, facts = app.dataframe[0].value, app.dataframe[1].value
    assert len(pairs) == 3
    assert (pairs["from"] < pairs["to"]).all()
    assert list(facts.columns) == list(tasks.values())
    assert {"level 1", "norm", "training images", "head accuracy %"} <= set(facts.index)


def test_the_pair_looked_at_is_part_of_the_link(compare, bank_path):
    a, b, c = some(bank_path, 3)
    app = compare(task=[a, b, c], view=VIEWS[1], pair=[b, c])
    assert app.selectbox(key="pair_choice").value == (b, c)
    app.selectbox(key="pair_choice").set_value((a, c)).run()
    assert app.query_params["pair"] == [a, c]
    filters = app.dataframe[0].value
    assert filters["share"].is_monotonic_decreasing
    app = compare(task=[a, b], view=VIEWS[1], pair=[b, c])  # no longer compared
    assert "Distance between" in text(app)


def test_the_experts_of_each_are_those_with_the_lowest_errors(compare, bank_path):
    tasks = some(bank_path, 2)
    errors = Bank(bank_path).errors().drop(columns=GENERIC)
    shown = compare(task=list(tasks), view=VIEWS[3]).dataframe[0].value
    for task, name in tasks.items():
        candidates = shown[name].drop("generic (not fine-tuned)").dropna()
        assert set(candidates.round(6)) <= set(errors.loc[task].round(6))
    assert "generic (not fine-tuned)" in shown.index


def test_what_is_not_there_is_passed_over(compare, bank_path):
    app = compare(task=["nobody", "digits", "digits"])
    assert app.multiselect(key="compare").value == ["digits"]
    app = compare(task=list(some(bank_path, 2)), view="no view", k="many")
    assert app.segmented_control(key="view").value == VIEWS[0]


def test_of_many_tasks_the_first_are_compared_and_the_choice_is_left_alone(compare, bank_path, monkeypatch):
    monkeypatch.setattr("pages.common.compare.MOST", 3)
    tasks = list(some(bank_path, 5))
    app = compare(task=tasks)
    assert app.info[0].value == "5 tasks are chosen; the first 3 are compared."
    assert app.multiselect(key="compare").value == tasks[:3]
    assert app.query_params["task"] == tasks


def test_clearing_the_choice_clears_the_address(compare, bank_path):
    app = compare(task=list(some(bank_path, 2)))
    app.multiselect(key="compare").set_value([]).run()
    assert "task" not in app.query_params
    assert "start with one of these pairs" in app.info[0].value


def test_names_are_shown_letter_by_letter(open_page, bank_path):
    from sqlalchemy import update

    from t2v_core.bank import schema

    a, b = some(bank_path, 2)
    hostile = "[free](http://evil.example) *<b>*"
    with Bank(bank_path).engine.begin() as connection:
        connection.execute(update(schema.task).where(schema.task.c.id == a).values(name=hostile))
    for view in VIEWS:
        app = open_page(PAGE, bank_path, task=[a, b], view=view)
        assert not app.exception
        assert "[free](http" not in text(app)
