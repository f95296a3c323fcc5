"""How the pages answer with many tasks: the real app in a headless Chromium, on synthetic banks.

    python -m benchmarks.explore [--tasks 1460 10000] [--repeats 20] [--only "Task map"] [--out FILE]

A bank of Fisher diagonals of ResNet-34's size (8,512 filters) in a taxonomy of four levels, with experts and errors,
is written through the Bank's own interface into a temporary folder. Then, in seconds: the kept matrix and map, first
and again; each page from its address to the drawn figure, warm (median), with the megabytes that a browser with an
empty cache receives; each control from the moment the browser gets the key or click to the finished answer (95th
percentile over the repeats, and the slowest of the first three); a choice on a map, too, until it has lit up on the
other one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import TimeoutError

from benchmarks.controls import OWN_TAXONOMY, PAGES, PAUSE, SHOWN, UPLOADER, Act, bring_scores, controls
from benchmarks.distances import command, processor, seconds
from benchmarks.synthetic_bank import build
from t2v_core.bank.bank import Bank
from t2v_core.space.kept import kept_map
from t2v_core.space.matrix import task_distances
from tests.browser import chromium, dashboard

WATCH = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  window.answered = 0;
  new MutationObserver(() => {
    if (app.dataset.testScriptState === 'notRunning') window.answered += 1;
  }).observe(app, {attributes: true, attributeFilter: ['data-test-script-state']});
  for (const kind of ['pointerdown', 'pointerup', 'keydown', 'change']) {
    addEventListener(kind, event => { window.began ??= event.timeStamp; }, {capture: true});
  }
  document.querySelector('.st-key-map_right_chart .js-plotly-plot')
    ?.on('plotly_afterplot', () => { window.lit ??= performance.now(); });
}"""
"""Counts the finished runs of the page's script; takes the time of the first key or click, and of what it lit."""

FORGET = "() => { window.began = window.lit = null; return window.answered; }"

IDLE = "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
PASSED = "() => [performance.now(), window.lit].map(time => time && (time - window.began) / 1000)"


# ---- the browser -----------------------------------------------------------------------------------------


@contextmanager
def received(page: Any) -> Iterator[dict[str, float]]:
    """Megabytes that come over the wire while the block runs, to a browser that has kept nothing from before."""
    session, found = page.context.new_cdp_session(page), {"MB": 0.0}

    def add(size: float) -> None:
        found["MB"] += size / 1e6

    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    session.on("Network.loadingFinished", lambda event: add(event["encodedDataLength"]))
    # Binary frames arrive as base64.
    session.on("Network.webSocketFrameReceived", lambda event: add(0.75 * len(event["response"]["payloadData"])))
    try:
        yield found
    finally:
        session.detach()


ONCE = 3
"""Answers told apart: another linkage or distance is worked out when it is first chosen, and kept."""

LIT = ("Task map: click a task", "Task map: draw around tasks")
"""On one map, and so on the other."""

LONGEST, LONGEST_ONCE = 15, 120
"""Seconds within which a control must have been seen to answer: later on, and among the first ``ONCE`` times."""


def paint(page: Any, address: str, ready: str) -> float:
    """Seconds from going to an address until the figure is drawn and the script is done."""
    begin = time.perf_counter()
    page.goto(address)
    page.locator(ready).first.wait_for()
    page.wait_for_function(IDLE)
    page.evaluate(DRAWN)
    return time.perf_counter() - begin


def answer(page: Any, prepare: Callable[[], Act], longest: float) -> tuple[float, float | None] | None:
    """Seconds from a key or click until the script has answered and the browser has drawn; and until it lit up.

    They begin where the browser gets the key or click: the driver may first have to wait until it can click.
    None where no run was seen to end within ``longest`` seconds: a browser that was held up takes its beginning and
    its end for no change at all, about once in a hundred times.
    """
    page.wait_for_function(IDLE)
    page.wait_for_timeout(PAUSE)
    act = prepare()
    before = page.evaluate(FORGET)
    act()
    try:
        page.wait_for_function("before => window.answered > before", arg=before, timeout=1000 * longest)
    except TimeoutError:
        return None
    page.wait_for_function(IDLE)
    page.evaluate(DRAWN)
    return tuple(page.evaluate(PASSED))


def drive(bank: Path, log: Path, repeats: int, only: str) -> dict[str, float]:
    """Paint every page and use every control whose name begins like this."""
    found: dict[str, float] = {}
    answers: list[float] = []
    with dashboard(bank, log) as site, chromium() as page:
        page.set_default_timeout(300_000)
        for name, (path, ready) in PAGES.items():
            if not name.startswith(only):
                continue
            address = f"{site}/{path}"
            found[f"{name}: first visit, s"] = paint(page, address, ready)
            page.goto("about:blank")
            with received(page) as over_the_wire:
                paint(page, address, ready)
            found[f"{name}: received, MB"] = over_the_wire["MB"]
            found[f"{name}: warm, s"] = statistics.median(
                paint(page, address, ready) for _ in range(max(1, repeats // 4))
            )
        for name, (where, act) in controls(page).items():
            if not name.startswith(only):
                continue
            paint(page, f"{site}/{where}", UPLOADER if where == OWN_TAXONOMY else SHOWN)
            if "published" in where.lower():
                bring_scores(page)
            page.evaluate(WATCH)
            asked = [
                answer(page, partial(act, number), LONGEST_ONCE if number < ONCE else LONGEST)
                for number in range(ONCE + repeats)
            ]
            first = [seconds for seconds, _ in filter(None, asked[:ONCE])]
            found[f"{name}, slowest of the first {ONCE}, s"] = max(first, default=float("nan"))
            seen = [both for both in asked[ONCE:] if both is not None]
            times = [seconds for seconds, _ in seen]
            answers += times
            if len(times) < repeats:
                found[f"{name}, answers not seen"] = repeats - len(times)
            found[f"{name}, 95th percentile, s"] = float(np.percentile(times, 95))
            found[f"{name}, median, s"] = statistics.median(times)
            if name in LIT:
                found[f"{name}, lit, 95th percentile, s"] = float(np.percentile([lit for _, lit in seen if lit], 95))
    if answers:
        found["Any control: answers"] = len(answers)
        found["Any control: 95th percentile, s"] = float(np.percentile(answers, 95))
        found["Any control: within 0.4 s, share"] = float(np.mean(np.array(answers) <= 0.4))
    return found


def measure(tasks: int, repeats: int, seed: int, folder: Path, only: str) -> dict[str, float]:
    """All figures of one bank."""
    place = folder / f"bank{tasks}"
    bank = Bank(place)
    found = {"build the bank, s": seconds(lambda: build(bank, tasks, seed))}
    found["all distances, first, s"] = seconds(lambda: task_distances(bank))
    found["all distances, kept, s"] = seconds(lambda: task_distances(bank))
    distance = task_distances(bank)
    for when in ("first", "kept"):
        begin = time.perf_counter()
        kept_map(bank, distance)
        found[f"t-SNE, {when}, s"] = time.perf_counter() - begin
    del distance
    bank.close()
    return found | drive(place, folder / "log", repeats, only)


def main() -> None:
    """Measure and print; keep JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1460])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="pages and controls whose names begin like this; all by default")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    results = {}
    for tasks in options.tasks:
        with tempfile.TemporaryDirectory() as folder:
            results[f"{tasks:,} tasks"] = measure(tasks, options.repeats, options.seed, Path(folder), options.only)
        print(f"\n{tasks:,} tasks")
        for name, value in results[f"{tasks:,} tasks"].items():
            print(f"  {name:<60} {value:10.3f}")
    names = ("streamlit", "plotly", "numpy", "pandas", "scikit-learn", "playwright")
    record = {
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command("benchmarks.explore"),
        "seed": options.seed,
        "load_average_before_and_after": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "results": results,
    }
    print(record["machine"], record["versions"], "load", record["load_average_before_and_after"])
    if options.out:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
