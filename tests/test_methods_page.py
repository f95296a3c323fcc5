"""The page Methods: toy tasks from its controls and from a link, all methods side by side, and nothing to wait for."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from t2v_core.bank.thumbnails import keep_thumbnails
from tests.conftest import charts
from tests.selection.metas import ROLES, keep_records, make_bank

ROOT = Path(__file__).parents[1]
PAGE = "pages/6_Methods.py"


@pytest.fixture
def methods(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("T2V_BANK", str(tmp_path / "bank"))
    monkeypatch.setattr("t2v_core.bank.opening.DEMO", tmp_path / "no demo")

    def open_(**query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).switch_page(PAGE)
        for key, value in ({"view": "Toy tasks"} | query).items():
            app.query_params[key] = value
        return app.run()

    return open_


def text(app: AppTest) -> str:
    return "\n".join(str(part.value) for part in [*app.markdown, *app.subheader, *app.caption])


def test_opens_and_says_what_is_seen(methods):
    app = methods()
    assert not app.exception
    assert not app.error
    shown = text(app)
    assert shown.count("**group apart**") == 2
    assert "the **larger** its norm" in shown
    assert len(charts(app)) == 4


def test_controls_and_choice_change_what_is_drawn(methods):
    app = methods()
    before = text(app)
    app.slider(key="toy_clusters").set_value((3, 5))
    app.slider(key="toy_noise").set_value(30)
    app.number_input(key="toy_seed").set_value(2)
    app.selectbox(key="toy_task").set_value(64).run()
    assert not app.exception
    assert text(app) != before
    assert app.selectbox(key="toy_task").value == 64
    assert "task 64, 5 clusters" in app.selectbox(key="toy_task").options


def test_a_link_opens_the_same_view(methods):
    app = methods(toy_seed="2", toy_noise="30")
    assert not app.exception
    assert app.number_input(key="toy_seed").value == 2
    assert app.slider(key="toy_noise").value == 30


def test_the_table_can_be_taken_away(methods, monkeypatch):
    offered = []
    monkeypatch.setattr("streamlit.download_button", lambda label, data, *rest, **options: offered.append(data))
    methods()
    table = pd.read_csv(io.StringIO(offered[0]))
    assert len(table) == 128
    assert table["probe"].nunique() == 2
    assert {"task", "clusters", "boundary", "accuracy", "norm", "x", "y"} <= set(table.columns)


def test_paints_before_torch_is_loaded():
    tree = ast.parse((ROOT / PAGE).read_text())
    imports = "\n".join(ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom))
    code = f"{imports}\nimport sys\nassert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# ---- methods side by side ------------------------------------------------------------------------------

VIEWS = {"All methods": 1, "Example picks": 0, "Without training": 2, "Inside the embeddings": 1}


@pytest.fixture
def measured(tmp_path):
    """The place that ``methods`` opens, with a bank on which methods were measured."""
    bank = make_bank(tmp_path / "bank")
    keep_records(bank)
    bank.close()


@pytest.mark.parametrize(("view", "figures"), VIEWS.items())
def test_every_view_of_the_methods_opens(methods, measured, view, figures):
    app = methods(view=view)
    assert not app.exception
    assert not app.error
    assert len(charts(app)) == figures


@pytest.mark.parametrize("view", VIEWS)
def test_a_bank_without_measured_methods_names_the_command(methods, view):
    app = methods(view=view)
    assert not app.exception
    assert "bank methods cifar100" in app.code[0].value


def test_the_table_holds_all_rules_with_what_they_need_and_cost(methods, measured):
    table = methods(view="All methods").dataframe[0].value.set_index("method")
    assert {"oracle", "static", "generic", "chance", "asymmetric", "pseudotask", "pseudotask-norm", "tangent"} <= set(
        table.index
    )
    assert (
        table.loc["oracle", [c for c in table if table[c].dtype == float and c not in ("target", "seconds", "once")]]
        == 0
    ).all()
    assert table.loc["pseudotask", "needs"] == "images"
    assert table.loc["tangent", "needs"] == "images, labels"
    assert table.loc["oracle", "needs"] == "images, labels, every expert"
    assert table.loc["tangent", "seconds"] == 0.5
    assert table.loc["tangent", "target"] == 1.5
    assert table.loc["chance", "seconds"] == 0
    assert table["All targets"].is_monotonic_increasing


def test_picks_of_other_targets_and_methods(methods, measured):
    app = methods(view="Example picks")
    app.multiselect(key="picks_targets").set_value(["b-mixed"])
    app.multiselect(key="picks_methods").set_value(["tangent"]).run()
    assert not app.exception
    shown = app.dataframe[0].value
    assert list(shown) == ["target", "kind", "best possible", "tangent"]
    assert shown["best possible"].str.endswith("\u2713").all()
    app.multiselect(key="picks_methods").set_value([]).run()
    assert "at least one" in app.info[0].value


def test_the_images_of_a_target_stand_beside_those_of_what_was_picked(methods, tmp_path):
    bank = make_bank(tmp_path / "bank")
    keep_records(bank)
    rules = ["tangent", "pseudotask"]
    app = methods(view="Example picks")
    app.multiselect(key="picks_methods").set_value(rules).run()
    assert [box.key for box in app.selectbox] == []  # no picture, nothing to choose
    row = app.dataframe[0].value.set_index("target").loc["the b-mixed"]
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "WEBP")
    keep_thumbnails(bank, dict.fromkeys(["b-mixed", *(t for t in ROLES if t.startswith("a-"))], file.getvalue()))
    bank.close()
    app = methods(view="Example picks")
    app.multiselect(key="picks_methods").set_value(rules).run()
    assert not app.exception
    assert "the b-mixed" in app.selectbox(key="picks_images").options
    app.selectbox(key="picks_images").set_value("b-mixed").run()
    captions = [image.captions[0].replace("\\", "") for image in app.get("image")]
    by_expert = pd.Series(rules).groupby(
        [row[rule].split("!")[0].removeprefix("expert-") for rule in rules], sort=False
    )
    assert captions == ["target: the b-mixed"] + [f"the {own}, picked by {', '.join(by)}" for own, by in by_expert]
