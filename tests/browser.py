"""A running dashboard and a headless Chromium, for tests and for screenshots."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    return os.environ.get("T2V_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def dashboard(bank: Path, log: Path, **environment: str) -> Iterator[str]:
    """The app as a person starts it, on a free port; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"],
            cwd=ROOT,
            env=os.environ | {"T2V_BANK": str(bank)} | environment,
            stdout=out,
            stderr=out,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        limit = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
                break
            except OSError:
                if time.monotonic() > limit or process.poll() is not None:
                    raise RuntimeError(f"the dashboard did not start: {log.read_text()}") from None
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def chromium(width: int = 1440, height: int = 900) -> Iterator:
    """A page in a fresh headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
            page = context.new_page()
            page.set_default_timeout(60_000)
            yield page
        finally:
            browser.close()


def settled(page) -> None:
    """Wait until Streamlit has drawn everything and no script runs."""
    page.wait_for_selector("h1")
    page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')")
    page.wait_for_timeout(400)


def give_zip(page, archive: Path) -> None:
    """On "Get an expert", choose to give a zip and give it."""
    page.get_by_text("A zip file", exact=True).click()
    page.locator("input[type=file]:not([webkitdirectory])").set_input_files(archive)
