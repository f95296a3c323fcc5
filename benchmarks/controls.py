"""Pages of the app and controls on them: what ``benchmarks.explore`` times."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.distances import paths
from t2v_core.selection.published import ERRORS

FIGURE = ".js-plotly-plot .main-svg"
SHOWN = f"{FIGURE}, [data-testid=stDataFrame]"
UPLOADER = "[data-testid=stFileUploader]"
TAXONOMY_VIEWS = "Level by level", "Where they disagree", "Every method", "Norm, error and size", "Nearest tasks"

Act = Callable[[], None]

ROW, ROWS, NAME_COLUMN = 35, 5, 150
"""Pixels of a table's row, rows that are clicked, and where the table of clusters has its names."""

OWN_TAXONOMY = "Taxonomy?taxonomy=Your+own"
"""Where nothing is drawn before a file is brought."""

TAXONOMY_TASKS = 1460
"""Tasks that a brought taxonomy names."""

PAUSE = 400
"""Milliseconds between two actions: Plotly takes two clicks within 300 for a double click, which chooses nothing."""

PAGES = {
    "Home": ("", FIGURE),
    "Task map": ("Task_map", FIGURE),
    "Taxonomy": ("Taxonomy", FIGURE),
    "Taxonomy, level by level": ("Taxonomy?view=Level+by+level", FIGURE),
    "Taxonomy, where they disagree": ("Taxonomy?view=Where+they+disagree", "[data-testid=stDataFrame]"),
    "Taxonomy, every method": ("Taxonomy?view=Every+method", FIGURE),
    "Taxonomy, norms": ("Taxonomy?view=Norm%2C+error+and+size", FIGURE),
    "Similarity matrix": ("Similarity_matrix", FIGURE),
    "Compare": ("Compare?task=t0&task=t192&task=t1", FIGURE),
    "Compare, layers": ("Compare?task=t0&task=t192&view=Layers+and+filters", FIGURE),
    "Compare, neighbours": ("Compare?task=t0&task=t192&view=Neighbours", "[data-testid=stDataFrame]"),
    "Compare, experts": ("Compare?task=t40&task=t192&view=Experts", FIGURE),
    "Expert selection": ("Expert_selection", FIGURE),
    "Expert selection, task by task": ("Expert_selection?view=Task+by+task", FIGURE),
    "Expert selection, every error": ("Expert_selection?view=Every+error", FIGURE),
    "Expert selection, 50 x 50": ("Expert_selection?source=Published%3A+iNat%2BCUB", FIGURE),
    "Get an expert": ("Get_an_expert", UPLOADER),
    "Methods, toy tasks": ("Methods?view=Toy+tasks", FIGURE),
    "Bank": ("Bank", "[data-testid=stDataFrame]"),
}
"""Address and what must be there, by name."""

MAP, VIOLINS = ".st-key-map_left_chart", ".st-key-violins"


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

    def behind(label: str, act: Callable[[str], Callable[[int], Act]], role: str = "combobox") -> Callable[[int], Act]:
        """Open the options of the map first; where they close after an answer, again."""

        def other(number: int) -> Act:
            if not page.get_by_role(role, name=label).is_visible():
                page.get_by_role("button", name="Options").click()
            return act(label)(number)

        return other

    def one_step(label: str) -> Callable[[int], Act]:
        """A slider to its next value, there and back."""
        return lambda number: partial(
            page.get_by_role("slider", name=label).press, "ArrowLeft" if number % 2 else "ArrowRight"
        )

    def switch(label: str) -> Callable[[int], Act]:
        """A switch, on and off."""
        # The box itself lies hidden below its label, which is what people click.
        return lambda _: page.locator("[data-testid=stCheckbox] label", has_text=label).click

    def row(table: str) -> Callable[[int], Act]:
        """Choose one of a table's first rows by its marker; tables are drawn, so that a place is all there is."""

        def other(number: int) -> Act:
            drawn = page.locator(f".st-key-{table} canvas").first
            drawn.scroll_into_view_if_needed()
            box = drawn.bounding_box()
            return partial(page.mouse.click, box["x"] + ROW / 2, box["y"] + ROW * (1.5 + number % ROWS))

        return other

    def call_cluster(number: int) -> Act:
        """Write another name into the table of clusters; what counts is the answer to the key that ends it."""
        drawn = page.locator("[class*=st-key-cluster_editor_] canvas").first
        drawn.scroll_into_view_if_needed()
        box = drawn.bounding_box()
        page.mouse.click(box["x"] + NAME_COLUMN, box["y"] + ROW * (1.5 + number % ROWS))
        page.wait_for_timeout(PAUSE)  # the cell becomes a field, which takes the first letters for itself
        page.keyboard.type(f"name {number}", delay=30)
        page.wait_for_timeout(PAUSE)
        return partial(page.keyboard.press, "Enter")

    def bring_taxonomy(number: int) -> Act:
        """Another taxonomy of all tasks, as a table."""
        level = 2 + number % 2
        lines = [f"{place[-1]} task {i},{','.join(place[:level])}" for i, place in enumerate(paths(TAXONOMY_TASKS))]
        content = "\n".join(["label," + ",".join(f"level{i}" for i in range(level)), *lines]).encode()
        file = {"name": f"own{number}.csv", "mimeType": "text/csv", "buffer": content}
        return partial(page.locator("input[type=file]").first.set_input_files, file)

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
        "Task map: map on the left": (PAGES["Task map"][0], behind("Map on the left", partial(pick, options=2))),
        "Task map: map on the right": (PAGES["Task map"][0], behind("Map on the right", partial(pick, options=2))),
        "Task map: kinds": (PAGES["Task map"][0], behind("Kinds of tasks", one_of_several)),
        "Task map: perplexity": (
            PAGES["Task map"][0],
            behind("Perplexity", one_step, role="slider"),
        ),
        "Task map: neighbours drawn": ("Task_map?task=t0", switch("Draw its neighbours")),
        "Taxonomy: kinds": (PAGES["Taxonomy"][0], one_of_several("Kinds of tasks that take part")),
        "Taxonomy: look closer": (
            PAGES["Taxonomy, level by level"][0],
            choose("domain (images only)", "Task2Vec, symmetric"),
        ),
        "Taxonomy: rules": (PAGES["Taxonomy, every method"][0], one_of_several("Rules of choice")),
        "Taxonomy: distances": (PAGES["Taxonomy"][0], one_of_several("Distances")),
        "Task map: a row of the table": ("Task_map?" + "&".join(f"task=t{i}" for i in range(8)), row("map_table")),
        "Taxonomy: a row of the pairs": (PAGES["Taxonomy, where they disagree"][0], row("far_pairs")),
        "Taxonomy: one's own": (OWN_TAXONOMY, bring_taxonomy),
        "Taxonomy: view": (PAGES["Taxonomy"][0], choose(*TAXONOMY_VIEWS)),
        "Similarity matrix: clusters": (PAGES["Similarity matrix"][0], one_more),
        "Similarity matrix: enlarge a cluster": (PAGES["Similarity matrix"][0], pick("Enlarge a cluster")),
        "Similarity matrix: colour bar": (PAGES["Similarity matrix"][0], pick("Colour bar")),
        "Similarity matrix: linkage": (PAGES["Similarity matrix"][0], pick("Linkage")),
        "Similarity matrix: names": (PAGES["Similarity matrix"][0], pick("Names at the edges", 2)),
        "Similarity matrix: distance": (PAGES["Similarity matrix"][0], pick("Distance")),
        "Similarity matrix: name of a cluster": (PAGES["Similarity matrix"][0], call_cluster),
        "Similarity matrix: kinds": (PAGES["Similarity matrix"][0], one_of_several("Kinds of tasks")),
        "Compare: neighbours that count": (PAGES["Compare, neighbours"][0], one_step("Neighbours of each that count")),
        "Compare: tasks": (PAGES["Compare"][0], one_of_several("Tasks to compare")),
        "Compare: which two": ("Compare?task=t0&task=t192&task=t1&view=Layers+and+filters", pick("Which two", 3)),
        "Compare: view": (PAGES["Compare"][0], choose("Neighbours", "Experts", "Layers and filters", "Side by side")),
        "Expert selection: view": (own, choose(*views)),
        "Expert selection: rules": (own, one_of_several("Rules beside")),
        "Expert selection: choose a task": (f"{own}?view=Task+by+task", pick("One task from near", 7)),
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
        "Methods, toy tasks: look at": (PAGES["Methods, toy tasks"][0], pick("Look at", 7)),
        "Similarity matrix: only the chosen": (
            "Similarity_matrix?" + "&".join(f"task=t{i}" for i in range(40)),
            switch("Only the 40 chosen"),
        ),
        "Bank: only the chosen": ("Bank?task=t0&task=t192", switch("Only the 2 chosen tasks")),
        "Bank: roles": (PAGES["Bank"][0], one_of_several("Show")),
    }
