"""Filling the demo bank's error matrix, by its own command's code: with nothing cached, and from cached features.

    python -m benchmarks.filling --data cifar100.zip [--every 1] [--processes 2] [--keep FOLDER] [--out FILE]

The bank is copied and its errors are forgotten. They are measured, which caches the features of every image under every
expert; forgotten again; and measured from the cache. Beside the seconds of each pass is the largest difference of any
cell to what was there before: of the first to the bank as it ships, of the second to the first. A pass is as many
processes of one thread as there are cores, as `errors fill` started that often; its seconds are whole processes', the
reading of the images included. With features in the folder kept before, there is the second pass alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
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


def fill(folder: Path, data: Path, every: int) -> None:
    """One process's share of filling the bank in a folder."""
    torch.set_num_threads(1)
    tasks = {task.id: task.decoded for task in demo_tasks(data, 0)[::every]}
    bank = Bank(folder)
    fill_errors(bank, tasks, choose_experts(bank, None), torch.device("cpu"), lambda *_: None)


def fill_together(processes: int, *job: object) -> None:
    """``fill`` by several processes at once."""
    workers = [multiprocessing.get_context("spawn").Process(target=fill, args=job) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not any(worker.exitcode for worker in workers)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="take every n-th task only")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--keep", type=Path, help="where the filled bank goes; by default it is removed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, float] = {}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        bank = Bank(folder, demo=True)
        before = bank.errors()
        nothing = not any(folder.rglob("*.npy"))
        for when in ("nothing cached", "features cached") if nothing else ("features cached",):
            with bank.engine.begin() as connection:
                connection.execute(delete(schema.error))
            begin = time.perf_counter()
            fill_together(options.processes, folder, options.data, options.every)
            results[f"{when}, s"] = time.perf_counter() - begin
            found = bank.errors()
            results["cells"] = int(found.notna().to_numpy().sum())
            results[f"{when}: furthest from before, points"] = furthest(found, before)
            before = found
            print({name: round(value, 2) for name, value in results.items()}, flush=True)
        results["features on disk, GiB"] = sum(f.stat().st_size for f in folder.rglob("*.npy")) / 2**30
        bank.close()
    facts = {
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "processes": options.processes,
        "seed": 0,
        "every": options.every,
        "load_average_before_and_after": [load, os.getloadavg()[0]],
    }
    if options.out:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(facts | {"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
