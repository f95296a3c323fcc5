"""The pages Taxonomy and Similarity matrix: from any bank, by their controls, and from a link."""

from __future__ import annotations

import re
import shutil
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest

from t2v_core.bank.bank import Bank, content_key
from tests.conftest import charts, text

TAXONOMY, SIMILARITY = "pages/4_Taxonomy.py", "pages/4_Similarity_matrix.py"
VIEWS = ["Nearest tasks", "Level by level", "Where they disagree", "Norm, error and size"]


@pytest.mark.parametrize("page", [TAXONOMY, SIMILARITY])
def test_an_empty_bank_says_where_to_go(open_page, tmp_path, monkeypatch, page):
    monkeypatch.setattr("t2v_core.bank.opening.DEMO", tmp_path / "no demo")
    app = open_page(page, tmp_path / "empty")
    assert not app.exception
    assert not app.error
    assert "No task is in this bank yet" in app.info[0].value


@pytest.mark.parametrize("view", VIEWS)
def test_one_task_cannot_be_held_against_anything(open_page, one_task_bank, view):
    app = open_page(TAXONOMY, one_task_bank, view=view)
    assert not app.exception
    assert not app.error
    if view != VIEWS[-1]:
        assert "1 task has both a place in the taxonomy" in app.info[-1].value
    else:
        assert "too few tasks to say" in text(app)
        assert "So the paper's finding" not in text(app)


def test_chosen_tasks_have_a_curve_of_their_own(open_page, bank_path):
    def lines(**query):
        return [trace.get("name", "") for trace in charts(open_page(TAXONOMY, bank_path, **query))[0]["figure"]["data"]]

    tasks = [t.id for t in Bank(bank_path).tasks()[:2]]
    assert not any("chosen" in name for name in lines())
    assert [n for n in lines(task=tasks) if "chosen" in n] == [
        "Task2Vec, symmetric: the 2 chosen tasks",
        "domain (images only): the 2 chosen tasks",
        "ideal for the 2 chosen tasks: the taxonomy itself",
        "chance for the 2 chosen tasks",
    ]
    by_level = {"view": "Level by level"}
    assert lines(**by_level) == ["all pairs"]
    assert lines(task=tasks, **by_level) == ["all pairs", "pairs of the 2 chosen tasks"]


@pytest.mark.parametrize("page", [TAXONOMY, SIMILARITY, "pages/5_Expert_selection.py", "pages/6_Methods.py"])
def test_the_choice_stands_in_the_address_of_every_page(open_page, bank_path, page):
    app = open_page("pages/1_Task_map.py", bank_path, task="stripes")
    app = app.switch_page(page).run()
    assert not app.exception
    assert app.query_params["task"] in ("stripes", ["stripes"])


def test_one_task_is_no_cluster(open_page, one_task_bank):
    app = open_page(SIMILARITY, one_task_bank)
    assert not app.exception
    assert app.info[-1].value == "1 task to show; clusters need 3 or more."


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_draws_and_says_what_it_shows(open_page, bank_path, view):
    app = open_page(TAXONOMY, bank_path, view=view)
    assert not app.exception
    assert not app.error
    assert app.segmented_control(key="view").value == view
    assert len(charts(app)) == {VIEWS[0]: 1, VIEWS[1]: 1, VIEWS[2]: 0, VIEWS[3]: 2}[view]
    assert app.caption


def test_every_method_is_held_against_the_taxonomy(open_page, tmp_path):
    app = open_page(TAXONOMY, tmp_path / "demo", view="Every method")
    assert not app.exception
    assert not app.error
    assert len(charts(app)) == 1
    rules = app.multiselect(key="rules")
    scores = {"logme", "knn", "h_score", "h_score_shrunk", "leep", "nce", "h_divergence", "emd", "rsa"}
    assert scores | {"symmetric", "domain", "pseudotask", "tangent", "task2vec-random"} <= set(rules.options)
    rules.set_value(rules.options).run()
    assert not app.exception
    assert len(charts(app)) == 1
    rules.set_value([]).run()
    assert "Choose at least one rule" in app.info[-1].value


def test_a_bank_without_errors_has_no_rules_to_hold_against_a_taxonomy(open_page, one_task_bank):
    app = open_page(TAXONOMY, one_task_bank, view="Every method")
    assert not app.exception
    assert "No errors of experts were measured" in app.info[-1].value


def test_a_link_restores_settings_and_the_pair_looked_at(open_page, bank_path):
    tasks = [t.id for t in Bank(bank_path).tasks()[:2]]
    app = open_page(TAXONOMY, bank_path, view=VIEWS[2], distances=["Task2Vec, asymmetric"], look=tasks)
    assert not app.exception
    assert app.multiselect(key="distances").value == ["asymmetric"]
    names = {t.id: t.name for t in Bank(bank_path).tasks()}
    assert f"{names[tasks[0]]} and {names[tasks[1]]}" in [s.value for s in app.subheader]


def test_what_is_looked_at_stands_below_the_table_it_was_chosen_in(open_page, bank_path):
    app = open_page(TAXONOMY, bank_path, view=VIEWS[2])
    ids = {t.name: t.id for t in Bank(bank_path).tasks()}
    for table, title in zip(app.dataframe, ("Related", "Near, but", "Tasks whose"), strict=False):
        row = table.value.iloc[0]
        names = [row[column] for column in ("one task", "other task", "task") if column in row]
        found = open_page(TAXONOMY, bank_path, view=VIEWS[2], look=[ids[name] for name in names])
        shown = [e.value for e in found.main if e.type in ("markdown", "subheader")]
        at = next(i for i, value in enumerate(shown) if value.startswith(f"##### {title}"))
        assert shown[at + 1] == " and ".join(names)
        assert ("Compare the two" in [link.proto.label for link in found.get("page_link")]) == (len(names) == 2)


def test_a_link_to_what_is_not_there_is_passed_over(open_page, bank_path):
    for query in ({"view": "no view"}, {"view": VIEWS[2], "look": ["nobody"]}, {"distances": ["none"]}):
        app = open_page(TAXONOMY, bank_path, **query)
        assert not app.exception
        assert not app.error
    app = open_page(SIMILARITY, bank_path, cluster="99", linkage="ward", clusters="many")
    assert not app.exception
    assert not app.error


def test_choosing_nothing_leaves_a_hint(open_page, bank_path):
    app = open_page(TAXONOMY, bank_path)
    app.multiselect(key="distances").set_value([]).run()
    assert "Choose at least one kind" in app.info[0].value
    app = open_page(SIMILARITY, bank_path)
    app.multiselect(key="kinds").set_value([]).run()
    assert "0 tasks to show" in app.info[0].value


def own(open_page, bank_path, content: str) -> AppTest:
    app = open_page(TAXONOMY, bank_path)
    app.segmented_control(key="taxonomy").set_value("Your own").run()
    assert "Labels are names of tasks or of classes" in app.info[0].value
    app.file_uploader(key="taxonomy_file").set_value(("mine.csv", content.encode(), "text/csv")).run()
    assert not app.exception
    return app


def test_an_own_taxonomy_replaces_the_banks(open_page, bank_path):
    names = [t.name for t in Bank(bank_path).tasks()]
    rows = [f"{name},{'left' if i % 2 else 'right'}" for i, name in enumerate(names[:6])]
    app = own(open_page, bank_path, "label,side\n" + "\n".join(rows))
    assert not app.error
    assert "1: nothing in common" in text(app)
    assert "6 tasks take part" in text(app)
    app = own(open_page, bank_path, "label,side\nno such task,left\n")
    assert not any("into the link" in button.label for button in app.button)
    assert "None of the bank's tasks" in app.info[0].value


def test_a_link_carries_an_own_taxonomy_once_it_is_asked_to(open_page, tmp_path, bank_path):
    other = shutil.copytree(bank_path, tmp_path / "other")
    names = [t.name for t in Bank(bank_path).tasks()]
    content = "label,side\n" + "\n".join(f"{name},{'left' if i % 2 else 'right'}" for i, name in enumerate(names[:6]))
    app = own(open_page, bank_path, content)
    assert "tree" not in app.query_params
    link = next(b for b in app.button if b.label == "Put this taxonomy into the link")
    link.click().run()
    name = app.query_params["tree"]
    app = open_page(TAXONOMY, bank_path, taxonomy="Your own", tree=name)
    assert not app.exception
    assert not app.error
    assert "6 tasks take part" in text(app)
    app = app.switch_page(SIMILARITY).run().switch_page(TAXONOMY)  # a page's link leaves the address of this one
    app.query_params["taxonomy"] = "Your own"
    assert "6 tasks take part" in text(app.run())
    assert app.query_params["tree"] in (name, [name])
    app.file_uploader(key="taxonomy_file").set_value(("b.csv", f"label,side\n{names[0]},x".encode(), "text/csv")).run()
    assert "tree" not in app.query_params  # the address no longer fits
    app = open_page(TAXONOMY, other, taxonomy="Your own", tree=name)
    assert "made with another one" in app.warning[0].value


@pytest.mark.parametrize("content", ["label,side\ncats\n", "((a,b),c", ""])
def test_a_bad_taxonomy_is_one_sentence(open_page, bank_path, content):
    app = own(open_page, bank_path, content)
    assert len(app.error) == 1
    assert app.error[0].value.endswith(".")
    assert "axonomy" in app.error[0].value or "Newick" in app.error[0].value


@pytest.mark.parametrize("metric", ["Task2Vec, symmetric", "domain (images only)", "Task2Vec, asymmetric"])
def test_a_link_restores_the_matrix(open_page, bank_path, metric):
    app = open_page(SIMILARITY, bank_path, distance=metric, linkage="average", clusters="3", cluster="2")
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="linkage").value == "average"
    assert app.number_input(key="clusters").value == 3
    assert app.selectbox(key="cluster").value == 2
    assert app.dataframe[0].value["tasks"].sum() == 8
    assert "**Cluster 2," in text(app)
    (link,) = [link for link in app.get("page_link") if "on the Task map" in link.proto.label]
    assert len(parse_qs(link.proto.query_string)["task"]) == app.dataframe[0].value["tasks"].iloc[1]
    assert ("Rows are the task to be solved" in text(app)) == ("asymmetric" in metric)


def test_a_cluster_is_enlarged_until_it_is_gone(open_page, bank_path):
    app = open_page(SIMILARITY, bank_path)
    app.selectbox(key="cluster").set_value(1).run()
    assert "**Cluster 1," in text(app)
    app.selectbox(key="cluster").set_value(8).run()
    app.number_input(key="clusters").set_value(2).run()  # there is no eighth any more
    assert not app.exception
    assert app.selectbox(key="cluster").value is None
    assert "The 2 clusters and the colour bar" in text(app)


def test_names_stay_with_what_a_cluster_holds(open_page, bank_path):
    app = open_page(SIMILARITY, bank_path, clusters="3", cluster="2")
    ids = {t.name: t.id for t in Bank(bank_path).tasks()}
    (held,) = [m.value.split(":** ")[1] for m in app.markdown if m.value.startswith("**Cluster 2,")]
    cluster = content_key("cluster", sorted(ids[name] for name in held.split(" · ")))[:10]
    app = open_page(SIMILARITY, bank_path, clusters="3", cluster="2", named=[f"{cluster} my find", "no cluster", ""])
    assert not app.exception
    assert app.dataframe[0].value["name"].tolist().count("my find") == 1
    assert app.dataframe[0].value["name"][2] == "my find"
    assert "**Cluster 2, my find:**" in text(app)
    app.number_input(key="clusters").set_value(8).run()  # every task by itself
    assert ("my find" in app.dataframe[0].value["name"].tolist()) == (" · " not in held)


def test_a_cluster_is_mostly_of_a_group_that_most_of_it_belong_to(open_page, bank_path):
    app = open_page(SIMILARITY, bank_path, clusters="2", colour="role in this bank")
    for _, row in app.dataframe[0].value.iterrows():
        share, count = map(int, re.search(r"\((\d+) of (\d+)\)$", row["largest group"]).groups())
        assert row["name"].startswith("mostly ") == (count > share > count / 2)
        assert row["name"].startswith("mixed, most often ") == (share <= count / 2)


def test_tree_and_taxonomy_are_compared_over_the_tasks_of_the_page_taxonomy(open_page, bank_path):
    found = re.search(r"over (\d+) tasks, those that the page Taxonomy takes", text(open_page(SIMILARITY, bank_path)))
    assert f"{found[1]} tasks take part" in text(open_page(TAXONOMY, bank_path))


def test_names_at_the_edges_can_be_hidden(open_page, bank_path):
    for query, visible in (({}, True), ({"names": "hidden"}, False)):
        app = open_page(SIMILARITY, bank_path, **query)
        layout = charts(app)[0]["figure"]["layout"]
        assert layout["xaxis"].get("showticklabels", True) == visible


def test_a_link_says_which_distance_is_looked_at_closer(open_page, bank_path):
    app = open_page(TAXONOMY, bank_path, view="Where they disagree", closer="domain (images only)")
    (closer,) = (group for group in app.button_group if group.key == "closer")
    assert closer.value == "domain"
