"""Task map: what a link or a choice shows on both maps, and what stands beside them."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from pages.common.space import METRICS
from t2v_core.bank.bank import Bank
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.space.tables import kind_words
from tests.conftest import charts, text

MAP = "pages/1_Task_map.py"


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
