"""Filling the demo bank's error matrix, by its own command's code: with nothing cached, and from cached features.

    python -m benchmarks.filling --data cifar100.zip [--every 1] [--out FILE]

The bank is copied and its errors are forgotten. They are measured, which caches the features of every image under every
expert; forgotten again; and measured from the cache. Beside the seconds of each pass is the largest difference of any
cell to what was there before: of the first to the bank as it ships, of the second to the first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sqlalchemy import delete

from benchmarks.distances import processor
from t2v_core.bank import schema
from t2v_core.bank.bank import Bank
from t2v_core.filling import choose_experts, fill_errors
from t2v_core.task.worlds.demo import demo_tasks


def furthest(found: pd.DataFrame, before: pd.DataFrame) -> float:
    """The largest difference of two error matrices, over the tasks that the first holds."""
    return float(np.nanmax(np.abs(found - before.loc[found.index, found.columns])))


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="take every n-th task only")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    tasks = {task.id: task.decoded for task in demo_tasks(options.data, 0)[:: options.every]}
    results: dict[str, float] = {}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank(folder, demo=True)
        before = bank.errors()
        for when in ("nothing cached", "features cached"):
            with bank.engine.begin() as connection:
                connection.execute(delete(schema.error))
            begin = time.perf_counter()
            cells = fill_errors(bank, tasks, choose_experts(bank, None), torch.device("cpu"), lambda *_: None)
            results[f"{when}, s"] = time.perf_counter() - begin
            results["cells"] = cells
            results[f"{when}: furthest from before, points"] = furthest(bank.errors(), before)
            before = bank.errors()
            print({name: round(value, 2) for name, value in results.items()}, flush=True)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.npy"))
        results["features on disk, GiB"] = size / 2**30
        bank.close()
    facts = {
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "threads": torch.get_num_threads(),
        "seed": 0,
        "every": options.every,
        "load_average_before_and_after": [load, os.getloadavg()[0]],
    }
    if options.out:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(facts | {"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
