"""The Task map in a real browser: what is chosen on one map shows on the other, in the table, and in a link."""

from __future__ import annotations

import json

import pytest

from tests.browser import chromium, dashboard, settled

pytestmark = pytest.mark.browser

DRAWN = """side => {
  const plot = document.querySelector(`.st-key-map_${side}_chart .js-plotly-plot`);
  if (!plot) return null;
  const marked = plot.data.filter(t => t.customdata && t.selectedpoints);
  return marked.flatMap(t => Array.from(t.selectedpoints).map(i => t.customdata[i][0])).sort();
}"""


@pytest.fixture(scope="module")
def site(built_bank, tmp_path_factory):
    place = tmp_path_factory.mktemp("map")
    with dashboard(built_bank, place / "log") as address, chromium() as page:
        yield address, page


def lasso(page, side: str, left: float, right: float) -> None:
    """Draw around the part of a map between two shares of its width."""
    chart = page.locator(f".st-key-map_{side}_chart")
    chart.locator("[data-title='Lasso Select']").click()
    box = chart.locator(".nsewdrag").first.bounding_box()
    x = [box["x"] + share * box["width"] for share in (left, right)]
    y = [box["y"] + share * box["height"] for share in (0.01, 0.99)]
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    for point in ((x[1], y[0]), (x[1], y[1]), (x[0], y[1]), (x[0], y[0])):
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def test_a_lasso_lights_up_everywhere(site):
    address, page = site
    page.goto(f"{address}/Task_map")
    settled(page)
    assert page.evaluate(DRAWN, "left") == page.evaluate(DRAWN, "right") == []
    lasso(page, "left", 0.01, 0.5)
    page.get_by_role("heading", name="chosen").wait_for()
    settled(page)
    chosen = page.evaluate(DRAWN, "left")
    assert 0 < len(chosen) < 8
    page.wait_for_function(
        f"side => JSON.stringify(({DRAWN})(side)) === '{json.dumps(chosen, separators=(',', ':'))}'", arg="right"
    )
    assert page.get_by_role("heading", name=f"{len(chosen)} chosen").is_visible()
    linked = page.url

    page.get_by_role("link", name="Taxonomy").click()
    settled(page)
    page.get_by_role("link", name="Task map").click()
    settled(page)
    assert page.evaluate(DRAWN, "left") == page.evaluate(DRAWN, "right") == chosen

    page.goto("about:blank")
    page.goto(linked)
    settled(page)
    assert page.evaluate(DRAWN, "left") == page.evaluate(DRAWN, "right") == chosen

    lasso(page, "right", 0.01, 0.99)  # and the other way round
    page.get_by_role("heading", name="8 chosen").wait_for()
    settled(page)
    assert len(page.evaluate(DRAWN, "left")) == 8
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("heading", name="All 8 tasks").wait_for()
    settled(page)
    assert page.evaluate(DRAWN, "left") == page.evaluate(DRAWN, "right") == []
    assert "task=" not in page.url
