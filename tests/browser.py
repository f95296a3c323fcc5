"""A running dashboard and a headless Chromium, for tests and for screenshots."""

from __future__ import annotations

import logging
import os
import shutil
import signal
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


TEXT_SHOWN, LOG_SHOWN, EVENTS_SHOWN = 2000, 6000, 30
"""Characters of a page, characters of a log, and events of a session that are told of a failure."""


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
            start_new_session=True,
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
        os.killpg(process.pid, signal.SIGTERM)  # with all it holds on to, as when a terminal is closed
        process.wait(20)
        text = log.read_text(errors="replace")
        if "Traceback" in text:  # a page shows none
            logging.getLogger(__name__).warning("the dashboard's log ends with\n%s", text[-LOG_SHOWN:])


@contextmanager
def chromium(width: int = 1440, height: int = 900) -> Iterator:
    """A page in a fresh headless Chromium; an error raised meanwhile carries a note of what the page shows by then."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
            page = context.new_page()
            page.set_default_timeout(60_000)
            events = _listen(page)
            try:
                yield page
            except Exception as error:
                error.add_note(_describe(page, events))
                raise
        finally:
            browser.close()


def _listen(page) -> list[str]:
    """A list that grows by every error of a page's session: console, exceptions, requests that failed."""
    events: list[str] = []
    page.on("console", lambda m: events.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: events.append(f"page error: {error}"))
    page.on("requestfailed", lambda request: events.append(f"request failed: {request.url} ({request.failure})"))
    page.on("response", lambda r: events.append(f"status {r.status}: {r.url}") if r.status >= 400 else None)
    page.on("crash", lambda _: events.append("the page crashed"))
    return events


def _describe(page, events: list[str]) -> str:
    """Where a page is, what it shows, and which errors there were."""
    try:
        lines = page.locator("body").inner_text(timeout=5000).splitlines()
        shown = "\n".join(filter(str.strip, lines))[:TEXT_SHOWN]
    except Exception as error:  # closed, crashed, or on its way elsewhere
        shown = f"(cannot be read: {error})"
    happened = "\n".join(f"- {event}" for event in events[-EVENTS_SHOWN:]) or "- none"
    return f"The page is at {page.url}. Its last errors, of {len(events)}:\n{happened}\nIt shows:\n{shown}"


QUIET = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  const charts = [...document.querySelectorAll('.chart')];
  const quiet = app?.dataset.testScriptState === 'notRunning' && document.querySelector('h1')
    && !document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')
    && charts.every(chart => chart.querySelector('.main-svg'));
  window.quietSince = quiet ? window.quietSince ?? performance.now() : undefined;
  return quiet && performance.now() - window.quietSince > 400;
}"""


def settled(page) -> None:
    """Wait until no script has run for 400 ms and Streamlit has drawn everything, charts included."""
    page.evaluate("window.quietSince = undefined")
    page.wait_for_function(QUIET)


def give_zip(page, archive: Path) -> None:
    """On "Get an expert", choose to give a zip and give it."""
    page.get_by_text("A zip file", exact=True).click()
    page.locator("input[type=file]:not([webkitdirectory])").set_input_files(archive)
