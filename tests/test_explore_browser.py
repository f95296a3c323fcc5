"""Compare and the report in a real browser: a link restores the view, and the report opens with no server."""

from __future__ import annotations

import pytest
from PIL import Image

from t2v_core.bank.bank import Bank
from t2v_core.report.bank import bank_report
from t2v_core.report.ranking import rank_in_bank
from tests.browser import chromium, dashboard, settled

pytestmark = pytest.mark.browser

DRAWN = "[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.querySelectorAll('.xy, .xy2').length)"


def test_the_report_opens_offline_and_asks_for_nothing(judged_bank, tmp_path):
    bank, file = judged_bank, tmp_path / "report.html"
    file.write_text(bank_report(bank, rank_in_bank(bank, "digits"), ["digits"]), encoding="utf-8")
    asked, problems = [], []
    with chromium() as page:
        page.context.set_offline(True)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 9")
        drawn = page.evaluate(DRAWN)
        page.locator(".js-plotly-plot .nsewdrag").first.hover()
        with page.expect_download() as waiting:
            page.locator("#figure-1 [data-title='Download picture as PNG']").click()
        waiting.value.save_as(tmp_path / "map.png")
        letters = "getComputedStyle(document.querySelector('#figure-1 .legendtext')).fill"
        light = page.evaluate(letters)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(f"light => {letters} !== light", arg=light)
        dark = page.evaluate(f"[{letters}, getComputedStyle(document.body).backgroundColor]")
    # A picture is drawn from an image within the page.
    assert [address for address in asked if not address.startswith(("data:", "blob:"))] == [file.as_uri()]
    assert problems == []
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.width > 1000
        assert picture.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
    assert light == "rgb(32, 33, 36)"
    assert dark == ["rgb(232, 234, 237)", "rgb(23, 22, 20)"]
    assert len(drawn) == 9
    assert all(drawn)


@pytest.mark.slow
def test_the_report_can_be_taken_from_home(bank_path, tmp_path):
    with dashboard(bank_path, tmp_path / "log") as address, chromium() as page:
        one, other = [task.id for task in Bank(bank_path).tasks()[:2]]
        page.goto(f"{address}/?task={one}&task={other}")
        settled(page)
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Report as one HTML file").click()
        waiting.value.save_as(tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Which tasks are alike</h2>" in report
    assert "<h2>How far apart are the chosen tasks?</h2>" in report


def test_pairs_are_compared_by_a_click_and_the_link_restores_them(bank_path, tmp_path):
    with dashboard(bank_path, tmp_path / "log") as address, chromium(820) as page:
        page.goto(f"{address}/Compare")
        settled(page)
        page.get_by_role("button", name="Nearest:").click()
        page.get_by_role("radio", name="Layers and filters").click()
        page.get_by_role("heading", name="Filters").wait_for()
        settled(page)
        said = page.get_by_text("Distance between").inner_text()
        link = page.url
        assert link.count("task=") == 2
        page.goto("about:blank")
        page.goto(link)
        settled(page)
        assert page.get_by_text("Distance between").inner_text() == said
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 1
        assert page.get_by_test_id("stException").count() == 0
