"""The main journeys in a real browser: images in, expert out, and the expert works by itself."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from t2v_core.bank.bank import Bank
from t2v_core.jobs.store import DONE, JobStore
from tests.browser import chromium, dashboard, give_zip, settled
from tests.conftest import zip_folder

pytestmark = pytest.mark.browser


@pytest.fixture
def app(bank_path, tmp_path):
    with dashboard(bank_path, tmp_path / "server.log") as address:
        yield address


def find_expert(page) -> None:
    page.get_by_role("button", name="Find my expert").click()
    page.get_by_role("heading", name="Start from:").wait_for(timeout=120_000)
    settled(page)


def download(page, target) -> None:
    with page.expect_download() as waiting:
        page.get_by_test_id("stDownloadButton").filter(has_text="Download the expert").get_by_role("button").click()
    waiting.value.save_as(target)


def test_a_zip_becomes_an_expert_that_runs(app, tmp_path, shapes_folder):
    archive = zip_folder(shapes_folder, tmp_path / "my shapes.zip")
    with chromium() as page:
        page.goto(f"{app}/Get_an_expert")
        settled(page)
        give_zip(page, archive)
        page.get_by_role("heading", name="my shapes: 60 images, 5 classes").wait_for()
        find_expert(page)
        address = page.url
        download(page, tmp_path / "expert.zip")
        page.goto("about:blank")
        page.goto(address)  # the result outlives the page
        page.get_by_role("heading", name="Start from:").wait_for()
    with zipfile.ZipFile(tmp_path / "expert.zip") as archive:
        archive.extractall(tmp_path / "expert")
    image = next((shapes_folder / "star").glob("*.png"))
    command = [sys.executable, "classify.py", str(image)]
    found = subprocess.run(command, cwd=tmp_path / "expert", capture_output=True, text=True, check=True)
    assert found.stdout.split("\t")[1] in {"circle", "square", "triangle", "star", "cross"}


@pytest.mark.slow
def test_a_running_job_outlives_the_page_and_the_server(bank_path, tmp_path, shapes_folder):
    store = JobStore(Bank(bank_path))
    with dashboard(bank_path, tmp_path / "first.log") as address, chromium() as page:
        page.goto(f"{address}/Get_an_expert")
        settled(page)
        give_zip(page, zip_folder(shapes_folder, tmp_path / "my shapes.zip"))
        page.get_by_role("button", name="Find my expert").click()
        page.wait_for_url("**job=*")
        link = page.url.removeprefix(address)
        page.goto("about:blank")
    (job,) = store.list()
    assert job.active  # the server is gone, the work is not
    with dashboard(bank_path, tmp_path / "second.log") as address, chromium() as page:
        page.goto(f"{address}{link}")
        page.get_by_role("heading", name="Start from:").wait_for(timeout=120_000)
    assert store.get(job.id).state == DONE


def test_a_folder_is_previewed_ranked_kept_and_found_on_the_map(app, tmp_path, shapes_folder):
    (shapes_folder / "circle" / "readme.txt").write_text("no image")
    with chromium() as page:
        page.goto(f"{app}/Get_an_expert")
        settled(page)
        page.locator("input[type=file]").set_input_files(shapes_folder)
        page.get_by_role("heading", name="shapes: 60 images, 5 classes").wait_for()
        page.get_by_text("1 file is left out").wait_for()
        find_expert(page)
        page.get_by_role("button", name="Keep this task in the bank").click()
        page.get_by_text("The task is kept in the bank.").wait_for()
        page.goto(f"{app}/Task_map")
        settled(page)
        page.get_by_text("your uploads").first.wait_for()


def test_a_hostile_zip_is_one_sentence_and_the_server_lives(app, tmp_path):
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../../outside/1.png", b"x")
    with chromium() as page:
        page.goto(f"{app}/Get_an_expert")
        settled(page)
        give_zip(page, bad)
        message = page.get_by_test_id("stAlert").first
        message.wait_for()
        assert "../../outside/1.png" in message.inner_text()
        page.goto(app)
        page.get_by_role("heading", name="Which expert should I start from?").wait_for()
    assert not (tmp_path / "outside").exists()


@pytest.mark.slow
def test_pages_ask_nobody_else_for_anything(app):
    """No font, symbol or statistics from another host: nobody learns of a visit, and all works without a network."""
    asked = set()
    with chromium() as page:
        page.on("request", lambda request: asked.add(request.url))
        for path in ("", "Task_map", "Get_an_expert", "Bank"):
            page.goto(f"{app}/{path}")
            settled(page)
    elsewhere = {url for url in asked if url.startswith("http") and not url.startswith(app)}
    assert asked and not elsewhere


@pytest.mark.parametrize("path", ["", "Task_map", "Get_an_expert", "Bank"])
def test_pages_paint_and_fit_a_narrow_window(app, path):
    with chromium(width=820) as page:
        page.goto(f"{app}/{path}")
        settled(page)
        assert page.get_by_test_id("stException").count() == 0
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 1


@pytest.mark.parametrize("width", [820, pytest.param(1440, marks=pytest.mark.slow)])
def test_a_toolbar_stands_above_its_figure_and_can_be_used(app, width):
    with chromium(width=width) as page:
        page.goto(f"{app}/Task_map")
        settled(page)
        bar, figure = (page.locator(s).first.bounding_box() for s in (".modebar", ".js-plotly-plot"))
        assert bar["y"] + bar["height"] <= figure["y"]
        page.locator("[data-title='Lasso Select']").first.click()


def test_a_failure_tells_what_the_page_showed():
    page_itself = "<p>Nothing to see</p><script>console.error('so be it'); throw new Error('not me')</script>"
    with pytest.raises(AssertionError) as caught, chromium() as page:
        page.goto(f"data:text/html,{page_itself}")
        raise AssertionError
    (note,) = caught.value.__notes__
    assert "The page is at data:text/html" in note
    assert "Nothing to see" in note
    assert "console: so be it" in note
    assert "page error: not me" in note
