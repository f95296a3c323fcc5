"""How the pages answer with many tasks: the real app in a headless Chromium, on synthetic banks.

    python -m benchmarks.explore [--tasks 1460 10000] [--repeats 20] [--only "Task map"] [--out FILE]

A bank of Fisher diagonals of ResNet-34's size (8,512 filters) in a taxonomy of four levels, with experts and errors,
is written through the Bank's own interface into a temporary folder. Then, in seconds: the kept matrix and map, first
and again; each page from its address to the drawn figure, warm (median), with the megabytes it receives; each control
from the key or click to the finished answer (95th percentile over the repeats, and the slowest of the first three).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from playwright.sync_api import TimeoutError

from benchmarks.distances import processor, seconds
from benchmarks.synthetic_bank import build
from t2v_core.bank.bank import Bank
from t2v_core.selection.published import ERRORS
from t2v_core.space.kept import kept_map
from t2v_core.space.matrix import task_distances
from tests.browser import chromium, dashboard

FIGURE = ".js-plotly-plot .main-svg"
PAGES = {
    "Home": ("", FIGURE),
    "Task map": ("Task_map", FIGURE),
    "Taxonomy": ("Taxonomy", FIGURE),
    "Similarity matrix": ("Similarity_matrix", FIGURE),
    "Compare": ("Compare?task=t0&task=t192&task=t1", FIGURE),
    "Compare, layers": ("Compare?task=t0&task=t192&view=Layers+and+filters", FIGURE),
    "Expert selection": ("Expert_selection", FIGURE),
    "Expert selection, 50 x 50": ("Expert_selection?source=Published%3A+iNat%2BCUB", FIGURE),
    "Bank": ("Bank", "[data-testid=stDataFrame]"),
}
"""Address and what must be there, by name."""

MAP, VIOLINS = ".st-key-map_left_chart", ".st-key-violins"

WATCH = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  window.answered = 0;
  new MutationObserver(() => {
    if (app.dataset.testScriptState === 'notRunning') window.answered += 1;
  }).observe(app, {attributes: true, attributeFilter: ['data-test-script-state']});
}"""
"""Counts the finished runs of the page's script."""

IDLE = "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


# ---- the browser -----------------------------------------------------------------------------------------


@contextmanager
def received(page: Any) -> Iterator[dict[str, float]]:
    """Megabytes that come over the wire while the block runs; what the browser has kept is not sent again."""
    session, found = page.context.new_cdp_session(page), {"MB": 0.0}

    def add(size: float) -> None:
        found["MB"] += size / 1e6

    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: add(event["encodedDataLength"]))
    # Binary frames arrive as base64.
    session.on("Network.webSocketFrameReceived", lambda event: add(0.75 * len(event["response"]["payloadData"])))
    try:
        yield found
    finally:
        session.detach()


PAUSE = 400
"""Milliseconds between two actions: Plotly takes two clicks within 300 for a double click, which chooses nothing."""


ONCE = 3
"""Answers told apart: another linkage or distance is worked out when it is first chosen, and kept."""

LONGEST = 15
"""Seconds within which a control must have been seen to answer."""


def paint(page: Any, address: str, ready: str) -> float:
    """Seconds from going to an address until the figure is drawn and the script is done."""
    begin = time.perf_counter()
    page.goto(address)
    page.locator(ready).first.wait_for()
    page.wait_for_function(IDLE)
    page.evaluate(DRAWN)
    return time.perf_counter() - begin


def answer(page: Any, prepare: Callable[[], Act]) -> float | None:
    """Seconds from an action until the script has answered and the browser has drawn.

    None where no run was seen to end: a browser that was held up takes its beginning and its end for no change at all,
    about once in a hundred times.
    """
    page.wait_for_function(IDLE)
    page.wait_for_timeout(PAUSE)
    act = prepare()
    before = page.evaluate("window.answered")
    begin = time.perf_counter()
    act()
    try:
        page.wait_for_function("before => window.answered > before", arg=before, timeout=1000 * LONGEST)
    except TimeoutError:
        return None
    page.wait_for_function(IDLE)
    page.evaluate(DRAWN)
    return time.perf_counter() - begin


Act = Callable[[], None]


def click(page: Any, plot: str, number: int) -> Act:
    """A click on the ``number``-th task that a figure draws."""
    place = page.evaluate(
        """([selector, number]) => {
          const plot = document.querySelector(selector + ' .js-plotly-plot');
          const {xaxis, yaxis} = plot._fullLayout;
          const tasks = plot._fullData.filter(trace => trace.customdata && trace.type.startsWith('scatter'));
          const drawn = tasks.flatMap(({x, y}) => Array.from(x, (across, i) => [across, y[i]]));
          const [x, y] = drawn[number % drawn.length];
          const area = () => plot.querySelector('.nsewdrag').getBoundingClientRect();
          const main = document.querySelector('[data-testid=stMain]');
          main.scrollBy({top: area().y + yaxis.d2p(y) - innerHeight / 2, behavior: 'instant'});
          return [area().x + xaxis.d2p(x), area().y + yaxis.d2p(y)];
        }""",
        [plot, number],
    )
    page.mouse.move(*place)  # Plotly clicks on what it has seen the pointer over
    page.wait_for_timeout(PAUSE)
    return partial(page.mouse.click, *place)


def bring_scores(page: Any) -> None:
    """Give the published tasks a person's scores: a rule of their own, beside static."""
    rng = np.random.default_rng(0)
    scores = pd.read_csv(ERRORS, index_col=0).map(lambda error: error * rng.uniform(0.5, 1.5))
    file = {"name": "scores.csv", "mimeType": "text/csv", "buffer": scores.to_csv().encode()}
    page.locator("input[type=file]").first.set_input_files(file)
    page.get_by_text("selected", exact=True).first.wait_for()


def controls(page: Any) -> dict[str, tuple[str, Callable[[int], Act]]]:
    """Address and what to do there at each repeat, by what is done; a list is opened before its option is clicked."""

    def choose(*labels: str) -> Callable[[int], Act]:
        order = cycle(labels)

        def other(_: int) -> Act:
            radio = page.get_by_role("radio", name=next(order), exact=True)
            # What is chosen already would give no answer.
            return (page.get_by_role("radio", name=next(order), exact=True) if radio.is_checked() else radio).click

        return other

    def one_more(_: int) -> Act:
        return partial(page.get_by_role("spinbutton", name="Clusters").press, "ArrowUp")

    def pick(label: str, options: int = 3) -> Callable[[int], Act]:
        def other(number: int) -> Act:
            box = page.get_by_role("combobox", name=label)
            box.scroll_into_view_if_needed()
            box.click()
            return page.get_by_role("option").nth((1 + number) % options).click

        return other

    def one_of_several(label: str) -> Callable[[int], Act]:
        """Take the last away, and bring one back."""

        def other(number: int) -> Act:
            box = page.get_by_role("combobox", name=label)
            if number % 2 == 0:
                return partial(box.press, "Backspace")
            box.click()
            return page.get_by_role("option").first.click

        return other

    def lasso(number: int) -> Act:
        """Draw around a part of the map; what counts is the answer to letting go."""
        chart = page.locator(MAP)
        chart.locator("[data-title='Lasso Select']").click()
        box = chart.locator(".nsewdrag").first.bounding_box()
        wide = 0.3 + 0.05 * (number % 10)
        for i, (x, y) in enumerate(((0.01, 0.01), (wide, 0.01), (wide, 0.99), (0.01, 0.99), (0.01, 0.01))):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
            if i == 0:
                page.mouse.down()
        page.wait_for_timeout(PAUSE)
        return page.mouse.up

    def unfold(title: str) -> Callable[[int], Act]:
        return lambda _: page.get_by_text(title).click

    own, published = PAGES["Expert selection"][0], PAGES["Expert selection, 50 x 50"][0]
    tasks, matrix = f"{published}&view=Task+by+task", f"{published}&view=Every+error"
    near = f"{tasks}&task=%5BCUB%5D+Corvidae+%28Aves%29"
    views = "Task by task", "Every error", "How good is each rule?"
    return {
        "Task map: click a task": (PAGES["Task map"][0], lambda number: click(page, MAP, 37 * number)),
        "Task map: draw around tasks": (PAGES["Task map"][0], lasso),
        "Task map: find a task": (PAGES["Task map"][0], pick("Find a task")),
        "Task map: select a group": (PAGES["Task map"][0], pick("Select a group")),
        "Task map: colour": (PAGES["Task map"][0], pick("Colour by")),
        "Taxonomy: distances": (PAGES["Taxonomy"][0], one_of_several("Distances")),
        "Taxonomy: view": (PAGES["Taxonomy"][0], choose("Level by level", "Nearest tasks")),
        "Similarity matrix: clusters": (PAGES["Similarity matrix"][0], one_more),
        "Similarity matrix: enlarge a cluster": (PAGES["Similarity matrix"][0], pick("Enlarge a cluster")),
        "Similarity matrix: colour bar": (PAGES["Similarity matrix"][0], pick("Colour bar")),
        "Similarity matrix: linkage": (PAGES["Similarity matrix"][0], pick("Linkage")),
        "Similarity matrix: names": (PAGES["Similarity matrix"][0], pick("Names at the edges", 2)),
        "Compare: tasks": (PAGES["Compare"][0], one_of_several("Tasks to compare")),
        "Compare: view": (PAGES["Compare"][0], choose("Neighbours", "Experts", "Layers and filters", "Side by side")),
        "Expert selection: view": (own, choose(*views)),
        "Expert selection, 50 x 50: view": (published, choose(*views)),
        "Expert selection, 50 x 50: rules": (published, one_of_several("Rules beside")),
        "Expert selection, 50 x 50: all numbers": (published, unfold("All numbers, and what the rules mean")),
        "Expert selection, 50 x 50: rules, task by task": (tasks, one_of_several("Rules beside")),
        "Expert selection, 50 x 50: click a task": (tasks, lambda number: click(page, VIOLINS, 3 * number)),
        "Expert selection, 50 x 50: choose a task": (tasks, pick("One task from near", 7)),
        "Expert selection, 50 x 50: all tasks": (tasks, unfold("All tasks as a table")),
        "Expert selection, 50 x 50: distance of a task": (near, choose("static", "selected")),
        "Expert selection, 50 x 50: candidates of a task": (near, unfold("candidates as a table")),
        "Expert selection, 50 x 50: targets": (published, pick("Which targets")),
        "Expert selection, 50 x 50: picks in the matrix": (matrix, choose("selected", "static")),
        "Expert selection, 50 x 50: colour of the matrix": (matrix, choose("error", "what the rule goes by")),
        "Expert selection, 50 x 50: tables": (published, choose("Your own tables", "Published: iNat+CUB")),
    }


def drive(bank: Path, log: Path, repeats: int, only: str) -> dict[str, float]:
    """Paint every page and use every control whose name begins like this."""
    found: dict[str, float] = {}
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
            paint(page, f"{site}/{where}", FIGURE)
            if "published" in where.lower():
                bring_scores(page)
            page.evaluate(WATCH)
            asked = [answer(page, lambda act=act, number=number: act(number)) for number in range(ONCE + repeats)]
            found[f"{name}, slowest of the first {ONCE}, s"] = max(filter(None, asked[:ONCE]), default=float("nan"))
            times = [seconds for seconds in asked[ONCE:] if seconds is not None]
            if len(times) < repeats:
                found[f"{name}, answers not seen"] = repeats - len(times)
            found[f"{name}, 95th percentile, s"] = float(np.percentile(times, 95))
            found[f"{name}, median, s"] = statistics.median(times)
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
        "command": " ".join(["python", "-m", "benchmarks.explore", *sys.argv[1:]]),
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
