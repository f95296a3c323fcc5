"""The README's screenshots, made from the running app: ``python -m benchmarks.screenshots --data cifar100.zip``.

A task of five CIFAR-100 classes is uploaded, so that the pictures show a real result.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path

from PIL import Image

from tests.browser import chromium, dashboard, give_zip, settled

CLASSES = ("bear", "leopard", "wolf", "fox", "raccoon")
PER_CLASS = 60


def sample(data: Path, target: Path) -> Path:
    """A small upload from the test images of ``CLASSES``."""
    with zipfile.ZipFile(data) as source, zipfile.ZipFile(target, "w") as out:
        for name in CLASSES:
            files = sorted(n for n in source.namelist() if n.startswith(f"test/{name}/"))[:PER_CLASS]
            for file in files:
                out.writestr(f"my wildlife/{name}/{Path(file).name}", source.read(file))
    return target


def main() -> None:
    """Start the app, go through its pages, write a PNG of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "screenshots")
    parser.add_argument("--width", type=int, default=1440)
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        upload = sample(options.data, place / "my wildlife.zip")
        with dashboard(place / "bank", place / "log") as address, chromium(options.width, 900) as page:

            def shoot(name: str, full: bool = False) -> None:
                settled(page)
                page.wait_for_timeout(1500)
                page.screenshot(path=options.out / f"{name}.png", full_page=full)

            page.goto(address)
            shoot("home")
            page.goto(f"{address}/Task_map?task=b-large-carnivores")
            shoot("task_map")
            page.goto(f"{address}/Get_an_expert")
            settled(page)
            shoot("get_an_expert_start")
            give_zip(page, upload)
            page.get_by_role("button", name="Find my expert").wait_for()
            shoot("get_an_expert_preview")
            page.get_by_role("button", name="Find my expert").click()
            page.get_by_role("button", name="Cancel").wait_for()
            page.wait_for_timeout(2500)
            page.screenshot(path=options.out / "get_an_expert_working.png")
            page.get_by_role("heading", name="Start from:").wait_for(timeout=120_000)
            page.get_by_text("with six small pictures").click()  # no image of the data set is kept here
            # Plotly and images settle after the text: let the tall page be drawn whole.
            page.set_viewport_size({"width": options.width, "height": 1360})
            shoot("get_an_expert_result")
            page.set_viewport_size({"width": options.width, "height": 900})
            for path in ("Bank", "Taxonomy", "Similarity_matrix", "Compare", "Expert_selection", "Methods"):
                page.goto(f"{address}/{path}")
                shoot(path.casefold())
    for file in options.out.glob("*.png"):
        shrink(file)


def shrink(file: Path) -> None:
    """80 colours are enough for a page, rare ones kept, at half of the size."""
    with Image.open(file) as picture:
        few = picture.convert("RGB").quantize(80, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


if __name__ == "__main__":
    main()
