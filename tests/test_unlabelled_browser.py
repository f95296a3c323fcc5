"""Images without labels in a real browser: a zip in, an expert out, and its script runs by itself."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from tests.browser import chromium, dashboard, give_zip, settled
from tests.conftest import zip_folder
from tests.test_browser import download, find_expert
from tests.unlabelled import write_flat

pytestmark = pytest.mark.browser


@pytest.mark.slow
def test_an_unlabelled_zip_becomes_an_expert_that_gives_features(methods_path, tmp_path, shapes):
    flat = write_flat(tmp_path / "holiday photos", shapes.take(shapes.task.held_out), 40)
    archive = zip_folder(flat, tmp_path / "holiday photos.zip")
    with dashboard(methods_path, tmp_path / "server.log") as app, chromium() as page:
        page.goto(f"{app}/Get_an_expert")
        settled(page)
        give_zip(page, archive)
        page.get_by_role("heading", name="holiday photos: 40 images, no labels").wait_for()
        page.get_by_text("What is given up").wait_for()
        find_expert(page)
        page.get_by_text("In place of labels.").wait_for()
        assert page.get_by_test_id("stException").count() == 0
        download(page, tmp_path / "expert.zip")
        page.get_by_role("button", name="Keep this task in the bank").click()
        page.get_by_text("The task is kept in the bank.").wait_for()
        page.goto(f"{app}/Bank")
        settled(page)
        assert page.get_by_test_id("stException").count() == 0
    with zipfile.ZipFile(tmp_path / "expert.zip") as packed:
        packed.extractall(tmp_path / "expert")
    image = next(flat.glob("*.png"))
    command = [sys.executable, "features.py", str(image)]
    found = subprocess.run(command, cwd=tmp_path / "expert", capture_output=True, text=True, check=True)
    path, *features = found.stdout.strip().split("\t")
    assert path == str(image)
    assert len([float(value) for value in features]) == 64


@pytest.mark.slow
def test_a_folder_of_images_alone_dropped_into_the_browser_is_unlabelled(methods_path, tmp_path, shapes):
    flat = write_flat(tmp_path / "scans", shapes, 12)
    with dashboard(methods_path, tmp_path / "server.log") as app, chromium(width=820) as page:
        page.goto(f"{app}/Get_an_expert")
        settled(page)
        page.locator("input[type=file]").set_input_files(flat)
        page.get_by_role("heading", name="scans: 12 images, no labels").wait_for()
        settled(page)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 1
