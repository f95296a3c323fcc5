"""Our own chart in a real browser: it keeps the zoom, follows theme and width, and says when it cannot draw."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.browser import chromium, dashboard, settled

pytestmark = pytest.mark.browser

LEFT = ".st-key-map_left_chart"
PLOT = f"document.querySelector('{LEFT} .js-plotly-plot')"
ZOOM = f"() => {PLOT}._fullLayout.xaxis.range.map(end => Math.round(1000 * end))"
TITLE = f"() => getComputedStyle(document.querySelector('{LEFT} .gtitle')).fill"


@pytest.fixture(scope="module")
def site(built_bank, tmp_path_factory):
    with dashboard(built_bank, tmp_path_factory.mktemp("chart") / "log") as address:
        yield address


def colour(page, by: str) -> None:
    page.get_by_role("combobox", name="Colour by").click()
    page.get_by_role("option", name=by).click()
    settled(page)


@pytest.mark.slow
def test_zoom_stays_while_the_choice_changes(site):
    with chromium() as page:
        page.goto(f"{site}/Task_map")
        settled(page)
        before = page.evaluate(ZOOM)
        page.locator(f"{LEFT} [data-title='Zoom in']").click()
        page.wait_for_function(f"before => String(({ZOOM})()) !== String(before)", arg=before)
        near = page.evaluate(ZOOM)
        page.get_by_role("combobox", name="Find a task").click()
        page.get_by_role("option").first.click()
        page.get_by_test_id("stButton").get_by_role("button", name="Clear").wait_for()  # a filled search has one too
        settled(page)
        assert page.evaluate(f"() => {PLOT}.data.some(trace => trace.selectedpoints?.length)")
        assert page.evaluate(ZOOM) == near
        colour(page, "norm of the embedding")  # a scale below in place of a legend leaves the map another height
        (left, right), (low, high) = page.evaluate(ZOOM), before
        assert right - left < 0.8 * (high - low)


@pytest.mark.slow
def test_a_group_that_is_hidden_hides_nothing_of_another_colouring(site):
    with chromium() as page:
        page.goto(f"{site}/Task_map")
        settled(page)
        page.locator(f"{LEFT} .legendtoggle").nth(1).dblclick()
        page.wait_for_function(f"() => {PLOT}._fullData.some(trace => trace.visible === 'legendonly')")
        colour(page, "norm of the embedding")
        assert page.evaluate(f"() => {PLOT}._fullData.every(trace => trace.visible === true)")


@pytest.mark.slow
def test_what_was_drawn_around_nothing_goes_again(site):
    with chromium() as page:
        page.goto(f"{site}/Task_map")
        settled(page)
        page.locator(f"{LEFT} [data-title='Lasso Select']").click()
        box = page.locator(f"{LEFT} .nsewdrag").first.bounding_box()
        page.mouse.move(box["x"] + 2, box["y"] + 2)
        page.mouse.down()
        for x, y in ((8, 2), (8, 8), (2, 8), (2, 2)):
            page.mouse.move(box["x"] + x, box["y"] + y, steps=3)
        page.mouse.up()
        page.wait_for_function(f"() => {PLOT}.data.every(trace => !trace.selectedpoints)")
        page.wait_for_function(f"() => !{PLOT}.layout.selections?.length")


@pytest.mark.slow
def test_a_click_is_told_once_however_often_the_map_was_changed(site):
    with chromium() as page:
        page.goto(f"{site}/Task_map")
        settled(page)
        for metric in ("domain (images only)", "Task2Vec, symmetric"):
            page.get_by_role("button", name="Options").click()
            page.get_by_role("combobox", name="Map on the left").click()
            page.get_by_role("option", name=metric).click()
            page.keyboard.press("Escape")
            settled(page)
        assert page.evaluate(f"() => {PLOT}._ev.listeners('plotly_selected').length") == 1


def test_the_toolbar_saves_enlarges_and_sends_nothing(site):
    with chromium() as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{site}/Task_map")
        settled(page)
        titles = page.locator(f"{LEFT} .modebar-btn").evaluate_all("buttons => buttons.map(b => b.dataset.title)")
        assert not [title for title in titles if "hare" in title or "cloud" in title.lower()]
        assert not [url for url in asked if "plotly" in url and not url.startswith(site)]
        with page.expect_download() as waiting:
            page.locator(f"{LEFT} [data-title*='Download plot']").click()
        assert waiting.value.suggested_filename == "task-map-left.svg"
        with page.expect_download() as waiting:
            page.locator(f"{LEFT} [data-title='Download picture as PNG']").click()
        assert waiting.value.suggested_filename == "task-map-left.png"
        with Image.open(waiting.value.path()) as picture:
            box = page.locator(f"{LEFT} .js-plotly-plot").bounding_box()
            assert picture.size == (2 * round(box["width"]), 2 * round(box["height"]))
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
            assert picture.convert("RGBA").getextrema()[3] == (255, 255)  # seen on any slide
        page.locator(f"{LEFT} [data-title='Fullscreen']").click()
        page.wait_for_function(f"() => {PLOT}._fullLayout.height === innerHeight")
        page.locator(f"{LEFT} [data-title='Fullscreen']").click()  # within reach there, too
        page.wait_for_function(f"() => {PLOT}._fullLayout.height === 600")


@pytest.mark.slow
def test_it_follows_the_theme_and_the_window(site):
    with chromium() as page:
        page.emulate_media(color_scheme="light")
        page.goto(f"{site}/Task_map")
        settled(page)
        light = page.evaluate(TITLE)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(f"light => ({TITLE})() !== light", arg=light)
        page.set_viewport_size({"width": 820, "height": 900})
        page.wait_for_function(f"() => {PLOT}._fullLayout.width <= 820 && {PLOT}._fullLayout.width > 400")
        place = page.locator(LEFT).bounding_box()
        page.wait_for_function(f"width => Math.abs({PLOT}._fullLayout.width - width) < 2", arg=place["width"])


@pytest.mark.slow
def test_what_cannot_be_drawn_is_said_and_the_page_goes_on(site):
    with chromium() as page:
        page.route("**/plotly.min.js*", lambda route: route.abort())
        page.goto(f"{site}/Task_map")
        page.get_by_text("The figure could not be drawn").first.wait_for()
        page.unroute("**/plotly.min.js*")
        page.get_by_role("combobox", name="Find a task").click()
        page.get_by_role("option").first.click()  # the next answer tries again
        page.locator(f"{LEFT} .main-svg").first.wait_for()
        assert page.get_by_text("The figure could not be drawn").count() == 0


@pytest.mark.slow
def test_a_legend_answers_to_keys(site):
    with chromium() as page:
        page.goto(f"{site}/Task_map")
        settled(page)
        hidden = f"() => {PLOT}._fullData.filter(trace => trace.visible === 'legendonly').length"
        for key, count in (("Enter", 1), (" ", 0)):
            toggle = page.locator(f"{LEFT} .legendtoggle").nth(1)
            assert toggle.get_attribute("aria-label").startswith("Show or hide ")
            toggle.focus()
            page.keyboard.press(key)
            page.wait_for_function(f"count => ({hidden})() === count", arg=count, timeout=10_000)
            page.wait_for_timeout(500)  # two clicks within 300 ms are a double click


@pytest.mark.slow
def test_names_under_a_matrix_do_not_run_into_each_other(tmp_path):
    with dashboard(tmp_path / "demo", tmp_path / "log") as address, chromium(820) as page:
        for width in (820, 1280, 820):
            page.set_viewport_size({"width": width, "height": 900})
            if width == 820:
                page.goto(f"{address}/Similarity_matrix")
            settled(page)
            names = page.locator(".st-key-matrix .xtick text")
            page.wait_for_function(
                """() => {
                  const boxes = [...document.querySelectorAll('.st-key-matrix .xtick text')]
                    .map(name => name.getBoundingClientRect()).sort((a, b) => a.left - b.left);
                  return boxes.length > 5 && boxes.every((box, i) => !i || box.left >= boxes[i - 1].left + 10);
                }""",
                timeout=15_000,
            )
            assert names.count() <= 55
