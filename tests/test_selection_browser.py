"""Journeys through "Expert selection" in a real browser, on the demo bank and on a person's own tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.browser import chromium, dashboard, settled

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The dashboard with the bank that ships with the program."""
    place = tmp_path_factory.mktemp("selection")
    with dashboard(place / "bank", place / "server.log") as address:
        yield address


def save(page, target: Path) -> pd.DataFrame:
    """Take away the table of the expander that stands open."""
    settled(page)
    with page.expect_download() as waiting:
        page.get_by_test_id("stDownloadButton").filter(has_text="Download as CSV").get_by_role("button").click()
    waiting.value.save_as(target)
    return pd.read_csv(target)


def choose(page, label: str, option: str) -> None:
    page.get_by_test_id("stButtonGroup").filter(has_text=label).get_by_text(option, exact=True).click()
    settled(page)


@pytest.mark.slow
def test_rules_come_and_go_in_a_figure_that_stays_whole(app):
    with chromium() as page:
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{app}/Expert_selection?source=Published%3A+iNat%2BCUB&view=Task+by+task")
        settled(page)
        names = "[...document.querySelectorAll('.st-key-violins .legendtext')].map(name => name.textContent)"
        assert "static + 3 heads" in page.evaluate(names)
        page.get_by_role("combobox", name="Rules beside").press("Backspace")
        page.wait_for_function(f"!{names}.includes('static + 3 heads')", timeout=10_000)
        settled(page)
        assert problems == []


def test_from_the_rules_to_one_task_whose_address_opens_the_same_view(app, tmp_path):
    with chromium() as page:
        page.goto(app)
        settled(page)
        page.get_by_test_id("stSidebar").get_by_text("Expert selection").click()
        page.get_by_text("beats static by").first.wait_for()
        page.get_by_text("All numbers, and what the rules mean").click()
        numbers = save(page, tmp_path / "audit.csv")
        assert {"static", "chance", "asymmetric"} <= set(numbers["rule"])
        assert numbers["vs_static_low"].notna().any()
        choose(page, "View", "Task by task")
        page.locator(".scatterlayer .trace").last.locator(".point").nth(5).click(force=True)
        page.get_by_text("picks").first.wait_for()
        chosen = page.get_by_role("combobox", name="One task from near").input_value()
        assert chosen
        page.get_by_text("candidates as a table").click()
        candidates = save(page, tmp_path / "candidates.csv")
        assert candidates["error"].is_monotonic_increasing
        address = page.url
        assert "task=" in address
        page.goto("about:blank")
        page.goto(address)
        page.get_by_text("picks").first.wait_for()
        assert page.get_by_role("combobox", name="One task from near").input_value() == chosen
        choose(page, "View", "Every error")
        choose(page, "Picks of", "static")
        choose(page, "Colour shows", "error")
        page.get_by_text("picked, and the best").first.wait_for()
        assert page.get_by_test_id("stException").count() == 0


@pytest.mark.slow
def test_a_persons_own_tables_are_judged(app, tmp_path):
    rng = np.random.default_rng(0)
    errors = pd.DataFrame(rng.uniform(5, 60, (30, 12)).round(1))
    errors.index, errors.columns = [f"task {t}" for t in range(30)], [f"expert {e}" for e in range(12)]
    errors.to_csv(tmp_path / "errors.csv")
    errors.to_csv(tmp_path / "scores.csv")  # as good as knowing the errors
    (tmp_path / "bad.csv").write_text("task,x\na,oops\n")
    with chromium() as page:
        page.goto(f"{app}/Expert_selection")
        settled(page)
        page.get_by_text("Your own tables").click()
        page.get_by_text("Give a table of errors").wait_for()
        files = page.locator("input[type=file]")
        files.first.set_input_files(tmp_path / "bad.csv")
        page.get_by_text("holds 'oops' for task 'a'").wait_for()
        page.reload()
        settled(page)
        files.first.set_input_files(tmp_path / "errors.csv")
        page.get_by_text("static + 3 heads").first.wait_for()
        files.last.set_input_files(tmp_path / "scores.csv")
        page.get_by_text("Loses 0.0 % [0.0, 0.0] against the best expert").first.wait_for()
        assert page.get_by_test_id("stException").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("source", ["This+bank", "Published%3A+iNat%2BCUB"])
@pytest.mark.parametrize("view", ["How+good+is+each+rule%3F", "Task+by+task", "Every+error"])
def test_views_paint_and_fit_a_narrow_window(app, source, view):
    with chromium(width=820) as page:
        page.goto(f"{app}/Expert_selection?source={source}&view={view}")
        settled(page)
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        assert page.get_by_test_id("stException").count() == 0
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 1
