"""The Task map in a real browser: what is chosen on one map shows on the other, in the table, and in a link."""

from __future__ import annotations

import json

import pandas as pd
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


def draw_around(page, side: str, left: float, right: float, tool: str = "Lasso Select") -> None:
    """Draw around the part of a map between two shares of its width."""
    chart = page.locator(f".st-key-map_{side}_chart")
    chart.locator(f"[data-title='{tool}']").click()
    box = chart.locator(".nsewdrag").first.bounding_box()
    x = [box["x"] + share * box["width"] for share in (left, right)]
    y = [box["y"] + share * box["height"] for share in (0.01, 0.99)]
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    around = (x[1], y[0]), (x[1], y[1]), (x[0], y[1]), (x[0], y[0])
    for point in around[1:2] if tool == "Box Select" else around:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def listed(page, place) -> list[str]:
    """The tasks of the table beside the maps, as it is taken away: on the page it is a picture."""
    with page.expect_download() as waiting:
        page.get_by_test_id("stDownloadButton").get_by_role("button", name="Download as CSV").click()
    waiting.value.save_as(place / "tasks.csv")
    return pd.read_csv(place / "tasks.csv")["task"].tolist()


HIDDEN = """side => document.querySelector(`.st-key-map_${side}_chart .js-plotly-plot`)?._fullData
  .filter(trace => trace.visible === 'legendonly').map(trace => trace.meta).sort()"""


@pytest.mark.slow
def test_a_group_seen_alone_is_so_on_both_maps_and_in_the_address(site):
    address, page = site
    page.goto(f"{address}/Task_map")
    settled(page)
    assert page.evaluate(HIDDEN, "left") == page.evaluate(HIDDEN, "right") == []
    page.locator(".st-key-map_left_chart .legendtoggle").nth(1).dblclick()
    page.wait_for_function(f"() => ({HIDDEN})('right').length", timeout=10_000)
    page.wait_for_function("() => location.search.includes('hidden=')", timeout=10_000)
    settled(page)
    hidden = page.evaluate(HIDDEN, "left")
    groups = page.locator(".st-key-map_left_chart .legendtoggle").count()
    assert hidden == page.evaluate(HIDDEN, "right") and len(hidden) == groups - 1
    page.goto(page.url)  # as a link
    settled(page)
    assert page.evaluate(HIDDEN, "left") == page.evaluate(HIDDEN, "right") == hidden
    page.locator(".st-key-map_right_chart .legendtoggle").nth(1).dblclick()
    page.wait_for_function(f"() => !({HIDDEN})('left').length && !({HIDDEN})('right').length", timeout=10_000)
    page.wait_for_function("() => !location.search.includes('hidden=')", timeout=10_000)
    settled(page)
    assert page.evaluate(HIDDEN, "left") == page.evaluate(HIDDEN, "right") == []


@pytest.mark.parametrize("tool", ["Lasso Select", pytest.param("Box Select", marks=pytest.mark.slow)])
def test_what_is_drawn_around_lights_up_everywhere(site, tmp_path, tool):
    address, page = site
    page.goto(f"{address}/Task_map")
    settled(page)
    assert page.evaluate(DRAWN, "left") == page.evaluate(DRAWN, "right") == []
    draw_around(page, "left", 0.01, 0.5, tool)
    page.get_by_role("heading", name="chosen").wait_for()
    settled(page)
    chosen = page.evaluate(DRAWN, "left")
    assert 0 < len(chosen) < 8
    page.wait_for_function(
        f"side => JSON.stringify(({DRAWN})(side)) === '{json.dumps(chosen, separators=(',', ':'))}'", arg="right"
    )
    assert page.get_by_role("heading", name=f"{len(chosen)} chosen").is_visible()
    assert sorted(listed(page, tmp_path)) == chosen
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

    draw_around(page, "right", 0.01, 0.99, tool)  # and the other way round
    page.get_by_role("heading", name="8 chosen").wait_for()
    settled(page)
    assert len(page.evaluate(DRAWN, "left")) == 8
    page.get_by_test_id("stButton").get_by_role("button", name="Clear").click()
    page.get_by_role("heading", name="All 8 tasks").wait_for()
    settled(page)
    assert page.evaluate(DRAWN, "left") == page.evaluate(DRAWN, "right") == []
    assert "task=" not in page.url


def reach(page, role: str, name: str) -> None:
    """Press the tabulator until the keys go to a control."""
    wanted = page.get_by_role(role, name=name).first
    for _ in range(80):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the {role} {name!r} is out of the keys' reach")


def test_the_keys_alone_lead_from_a_task_to_its_matrix(site):
    address, page = site
    page.goto(f"{address}/Task_map")
    settled(page)
    reach(page, "combobox", "Find a task")
    page.keyboard.type("handwritten")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="1 chosen").wait_for()
    settled(page)
    assert page.evaluate(DRAWN, "left") == page.evaluate(DRAWN, "right") == ["digits"]
    reach(page, "combobox", "Colour by")
    page.keyboard.type("role")
    page.keyboard.press("Enter")
    settled(page)
    reach(page, "combobox", "Select a group")
    page.keyboard.type("other worlds")
    page.keyboard.press("Enter")
    page.wait_for_function("() => new URL(location).searchParams.getAll('task').length > 1")
    settled(page)
    chosen = page.evaluate(DRAWN, "left")
    reach(page, "link", "See their matrix")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Similarity matrix").wait_for()
    settled(page)
    reach(page, "switch", f"Only the {len(chosen)} chosen tasks")
    assert page.get_by_test_id("stException").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [820, 1280])
def test_no_page_is_wider_than_its_window(site, width):
    address, page = site
    page.set_viewport_size({"width": width, "height": 900})
    views = ("", "Task_map", "Get_an_expert", "Bank", "Compare?task=digits&task=stripes", "Methods?view=Toy+tasks")
    taxonomy = ("Nearest+tasks", "Level+by+level", "Where+they+disagree", "Every+method", "Norm%2C+error+and+size")
    views += (*(f"Taxonomy?view={view}" for view in taxonomy), "Similarity_matrix", "Expert_selection")
    for view in views:
        page.goto(f"{address}/{view}")
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 1, view
        assert page.get_by_test_id("stException").count() == 0, view


def test_nothing_below_the_maps_is_cut_in_a_narrow_window(site):
    address, page = site
    page.set_viewport_size({"width": 820, "height": 900})
    page.goto(f"{address}/Task_map?task=digits&task=stripes&map_lines=true")
    settled(page)
    cut = """() => [...document.querySelectorAll('.st-key-wrap_chosen :is(button, a, label) p')]
      .filter(text => text.scrollWidth > text.clientWidth + 1).map(text => text.textContent)"""
    assert page.evaluate(cut) == []
    widths = page.evaluate(
        "[...document.querySelectorAll('.st-key-wrap_chosen [data-testid=stDataFrame]')].map(t => t.clientWidth)"
    )
    assert len(widths) == 2
    assert min(widths) >= 330  # names, distance and spread of the neighbours
    page.set_viewport_size({"width": 1440, "height": 900})


LINKS = {
    "Taxonomy": [("radio", "Where they disagree"), ("radio", "domain (images only)")],
    "Similarity_matrix": [("Linkage", "average"), ("Colour bar", "data set"), ("Names at the edges", "hidden")],
    "Task_map": [("Colour by", "norm of the embedding"), ("Find a task", "handwritten digits")],
    "Task_map?task=digits&task=stripes&task=textures": [("row", "map_table"), ("link", "See their matrix")],
    "Taxonomy?view=Where+they+disagree": [("row", "far_pairs")],
    "Similarity_matrix?task=digits&task=stripes&task=textures": [("switch", "Only the 3 chosen")],
    "Methods?view=Toy+tasks": [("Look at", "task 3")],
}


@pytest.mark.slow
@pytest.mark.parametrize("where", LINKS)
def test_a_link_copied_after_clicks_opens_the_same_view(site, where):
    address, page = site
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{address}/{where}")
    settled(page)
    for label, option in LINKS[where]:
        if label == "radio":
            page.get_by_role("radio", name=option).click()
        elif label == "row":  # a table is a picture: its second row, at the mark
            box = page.locator(f".st-key-{option} canvas").first.bounding_box()
            page.mouse.click(box["x"] + 17, box["y"] + 2.5 * 35)
        elif label == "switch":
            page.locator("[data-testid=stCheckbox] label", has_text=option).click()
        elif label == "link":
            page.get_by_role("link", name=option).click()
        else:
            page.get_by_role("combobox", name=label).click()
            page.get_by_role("option", name=option).first.click()
        settled(page)
    seen = """() => [
      ...[...document.querySelectorAll('input[role=combobox]')].map(input => input.value),
      ...[...document.querySelectorAll('[role=radio][aria-checked=true]')].map(radio => radio.textContent),
      ...[...document.querySelectorAll('.js-plotly-plot')].map(plot => JSON.stringify(plot.data).length),
      ...[...document.querySelectorAll('[data-testid=stHeading], [role=switch]')].map(part => part.textContent),
      ...[...document.querySelectorAll('[role=switch]')].map(part => part.ariaChecked ?? part.checked),
    ]"""
    before, link = page.evaluate(seen), page.url
    page.goto("about:blank")
    page.goto(link)
    settled(page)
    assert page.evaluate(seen) == before
    assert len(before) > 1
