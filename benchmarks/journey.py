"""How long a person waits: ``recommend`` as a whole process, reading a large zip, painting the pages.

    python -m benchmarks.journey --data cifar100.zip [--out benchmarks/results/journey.json]

Each figure is the median of ``--runs`` whole processes, process start included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.distances import command

ROOT = Path(__file__).parents[1]
CLASSES = 5


def small_images(data: Path, target: Path, count: int, least: int = CLASSES) -> Path:
    """A zip of ``count`` CIFAR-100 test and training images in ``least`` (or as many as needed) classes."""
    with zipfile.ZipFile(data) as source, zipfile.ZipFile(target, "w") as out:
        by_class: dict[str, list[str]] = {}
        for name in sorted(source.namelist()):
            if not name.endswith("/"):
                by_class.setdefault(name.split("/")[1], []).append(name)
        classes = list(by_class)[: max(least, -(-count // 600))]
        for label in classes:
            for name in by_class[label][: count // len(classes)]:
                out.writestr(f"{label}/{Path(name).name}", source.read(name))
    return target


def photographs(target: Path, count: int, seed: int = 0) -> Path:
    """A zip of ``count`` noisy 500x375 JPEG files in five classes of colour: decoding costs what photographs cost."""
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(target, "w") as out:
        for n in range(count):
            small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8) // 2 + np.uint8(20 * (n % CLASSES))
            image = Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC)
            with out.open(f"class {n % CLASSES}/{n}.jpg", "w") as file:
                image.save(file, "JPEG", quality=92)
    return target


def timed(*arguments: object, **environment: str) -> tuple[float, dict]:
    """Seconds and JSON output of one ``python -m t2v_core`` process."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "t2v_core", *map(str, arguments), "--json"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - begin, json.loads(done.stdout)


def reading(images: Path, side: int) -> tuple[float, float]:
    """Seconds, and the most GiB of memory, of a process that reads a zip to squares of ``side`` pixels."""
    code = (
        "import re, sys; from pathlib import Path; from t2v_core.task.reading import scan;"
        "from t2v_core.task.decoding import decode; from t2v_core.task.record import InputSpec;"
        f"decode(scan(Path(sys.argv[1])).tasks[0], InputSpec({side}, {side}, (0, 0, 0), (1, 1, 1)));"
        "print(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(images)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - begin, int(done.stdout) / 2**20


def paint_times(bank: Path, log: Path) -> dict[str, float]:
    """Seconds from the start of the server to a painted Home page, then for each page when warm."""
    from tests.browser import chromium, dashboard, settled

    found = {}
    with chromium() as page:
        begin = time.perf_counter()
        with dashboard(bank, log) as address:
            page.goto(address)
            page.locator(".js-plotly-plot .main-svg").first.wait_for()
            settled(page)
            found["first start to Home"] = time.perf_counter() - begin
            for path, ready in (
                ("Task_map", ".js-plotly-plot .main-svg"),
                ("Get_an_expert", "[data-testid=stFileUploader]"),
                ("Bank", "[data-testid=stDataFrame]"),
                ("Taxonomy", ".js-plotly-plot .main-svg"),
                ("Similarity_matrix", ".js-plotly-plot .main-svg"),
                ("Compare?task=b-fish&task=b-trees", ".js-plotly-plot .main-svg"),
                ("Expert_selection", ".js-plotly-plot .main-svg"),
                ("Methods", ".js-plotly-plot .main-svg"),
                ("", ".js-plotly-plot .main-svg"),
            ):
                for visit in ("first visit", "again"):
                    begin = time.perf_counter()
                    page.goto(f"{address}/{path}")
                    page.locator(ready).first.wait_for()
                    found[f"{path.partition('?')[0] or 'Home'}, {visit}"] = time.perf_counter() - begin
    return found


def main() -> None:
    """Measure and print; keep JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--resnet34", action="store_true", help="also 500 photographs with ResNet-34 (random weights)")
    options = parser.parse_args()
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        timed("bank", "info", "--bank", place / "bank")  # puts the demo bank in place
        for count in (500, 1000):
            images = small_images(options.data, place / f"{count}.zip", count)
            runs = [timed("recommend", images, "--bank", place / "bank")[0] for _ in range(options.runs)]
            results[f"recommend, {count} images of 32x32, s"] = statistics.median(runs)
        images = small_images(options.data, place / "10000.zip", 10_000)
        for side in (32, 224):
            seconds, peak = reading(images, side)
            results[f"reading a zip of 10,000 images to {side} pixels, s"] = seconds
            results[f"reading a zip of 10,000 images to {side} pixels, peak GiB"] = peak
        if options.resnet34:
            results |= with_resnet34(place)
        results |= {f"{name}, s": value for name, value in paint_times(place / "painted", place / "log").items()}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    for name, value in results.items():
        print(f"{name:<55} {value:8.2f}")
    print(machine)
    if options.out:
        options.out.parent.mkdir(exist_ok=True)
        record = {
            "machine": machine,
            "command": command("benchmarks.journey"),
            "seed": 0,
            "results": results,
        }
        options.out.write_text(json.dumps(record, indent=2) + "\n")


def with_resnet34(place: Path) -> dict[str, float]:
    """``recommend`` for 500 photographs by a ResNet-34; the weights' values do not change the time.

    The bank holds two experts, whose own tasks (20 photographs each) were embedded by it.
    """
    import torch
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(torchvision.models.resnet34().state_dict(), place / "resnet34.safetensors")
    by = ("--probe", "resnet34", "--bank", place / "by_resnet34")
    for number in (1, 2):
        few = photographs(place / f"expert {number}.zip", 20, seed=number)
        timed("experts", "train", few, "--network", "bundled", "--epochs", 1, *by, T2V_WEIGHTS=str(place))
    images = photographs(place / "photographs.zip", 500)
    seconds, found = timed("recommend", images, *by, T2V_WEIGHTS=str(place))
    return {"recommend, 500 photographs of 500x375 with ResNet-34, s": seconds} | {
        f"  of which {stage}, s": value for stage, value in found["seconds"].items()
    }


if __name__ == "__main__":
    main()
