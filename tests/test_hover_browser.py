"""Pictures beside the pointer, in a real browser: on both maps, after a map is drawn anew, nowhere without pictures."""

from __future__ import annotations

import pytest

from t2v_core.bank.bank import Bank
from t2v_core.bank.thumbnails import forget_thumbnails, thumbnails
from tests.browser import chromium, dashboard, settled

pytestmark = pytest.mark.browser

PLACE = """([side, task]) => {
  const plot = document.querySelector(`.st-key-map_${side}_chart .js-plotly-plot`);
  if (!plot || !plot.calcdata) return null;
  const box = plot.getBoundingClientRect(), {_size, xaxis, yaxis} = plot._fullLayout;
  for (const points of plot.calcdata) for (const point of points) {
    const data = points[0].trace.customdata;
    if (data && data[point.i] && data[point.i][0] === task)
      return [box.left + _size.l + xaxis.d2p(point.x), box.top + _size.t + yaxis.d2p(point.y)];
  }
  return null;
}"""


def hover(page, side: str, task: str) -> None:
    place = page.wait_for_function(PLACE, arg=[side, task]).json_value()
    page.mouse.move(place[0] - 90, place[1] - 40)
    page.mouse.move(*place, steps=5)


def card(page):
    return page.get_by_test_id("hover-card")


@pytest.mark.slow
def test_a_point_shows_its_tasks_pictures(bank_path, tmp_path):
    forget_thumbnails(Bank(bank_path), "counts")
    with dashboard(bank_path, tmp_path / "log") as address, chromium() as page:
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{address}/Task_map")
        settled(page)
        for side, task in (("left", "digits"), ("right", "shapes")):
            hover(page, side, task)
            card(page).wait_for(state="visible")
            assert card(page).get_attribute("data-task") == task
            page.wait_for_function(
                "i => i.complete && i.naturalWidth === 288", arg=card(page).locator("img").element_handle()
            )
            box, pointer = card(page).bounding_box(), page.evaluate(PLACE, [side, task])
            assert abs(box["x"] - pointer[0]) < 400
            assert abs(box["y"] - pointer[1]) < 200
        page.mouse.move(5, 5)
        card(page).wait_for(state="hidden")
        hover(page, "left", "counts")  # the bank has no pictures of it
        page.wait_for_timeout(500)
        assert not card(page).is_visible()

        page.get_by_role("combobox", name="Colour by").click()  # both maps are drawn anew
        page.get_by_role("option", name="role in this bank").click()
        settled(page)
        hover(page, "left", "shapes")
        card(page).wait_for(state="visible")
        assert card(page).get_attribute("data-task") == "shapes"
        page.mouse.move(5, 5)

        page.get_by_role("link", name="Taxonomy").click()  # and here there are other charts, or none
        settled(page)
        page.get_by_role("link", name="Task map").click()
        settled(page)
        card(page).first.wait_for(state="attached")
        assert card(page).count() == 1
        hover(page, "right", "digits")
        card(page).wait_for(state="visible")
        assert problems == []


@pytest.mark.slow
def test_without_pictures_there_is_no_card(bank_path, tmp_path):
    bank = Bank(bank_path)
    for task in thumbnails(bank):
        forget_thumbnails(bank, task)
    with dashboard(bank_path, tmp_path / "log") as address, chromium() as page:
        page.goto(f"{address}/Task_map")
        settled(page)
        hover(page, "left", "digits")
        page.wait_for_timeout(500)
        assert card(page).count() == 0
