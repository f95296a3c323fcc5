"""The page Methods: toy tasks from its controls, from a link, and without waiting for torch."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[1]
PAGE = "pages/6_Methods.py"


@pytest.fixture
def methods(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("T2V_BANK", str(tmp_path / "bank"))
    monkeypatch.setattr("t2v_core.bank.bank.DEMO", tmp_path / "no demo")

    def open_(**query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).switch_page(PAGE)
        for key, value in query.items():
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
    assert len(app.get("plotly_chart")) == 4


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
