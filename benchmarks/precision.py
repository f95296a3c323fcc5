"""What bfloat16 changes: how far it moves embeddings, whether it changes a choice, and how much faster it is.

    python -m benchmarks.precision --data cifar100.zip [--every 4] [--out FILE]

Targets of the demo bank are embedded in both precisions, one after the other in one run; each embedding then picks an
expert of the bank by the symmetric distance.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.distances import processor
from t2v_core.bank.bank import Bank
from t2v_core.embedding.record import TASK2VEC
from t2v_core.embedding.task2vec import Task2VecSettings, embed_task
from t2v_core.probe.bundled import load_bundled
from t2v_core.selection.meta_task import KINDS, from_bank
from t2v_core.space.distances import symmetric
from t2v_core.task.worlds import photographs
from t2v_core.task.worlds.cifar100 import read_cifar100

SETTINGS = Task2VecSettings()


def main() -> None:
    """Run and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bank", default="bank", help="a bank, filled with the demo bank where it is new")
    parser.add_argument("--every", type=int, default=4, help="use every n-th target")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    probe = load_bundled(torch.device("cpu"))
    meta = from_bank(Bank(options.bank, demo=True), probe.info).of_kinds(tuple(KINDS))
    images = {t.id: t.decoded for t in photographs.tasks(read_cifar100(options.data), 0)}
    chosen = [t for t in meta.tasks if t in images][:: options.every]
    sources, allowed = meta.vectors.sources[TASK2VEC], meta.allowed
    moved, ratios, changed = [], [], 0
    for task in chosen:
        vectors, seconds = [], []
        for precision in ("float32", "bfloat16"):
            begin = time.perf_counter()
            found = embed_task(images[task], probe, replace(SETTINGS, precision=precision))  # type: ignore[arg-type]
            seconds.append(time.perf_counter() - begin)
            vectors.append(found.fisher.vector)
        distance = symmetric(np.stack(vectors), sources)
        picks = np.where(allowed[meta.tasks.index(task)], distance, np.inf).argmin(1)
        changed += int(picks[0] != picks[1])
        moved.append(float(symmetric(vectors[0][None], vectors[1][None])[0, 0]))
        ratios.append(seconds[0] / seconds[1])
    result = {
        "tasks": len(chosen),
        "largest d_sym between the two": max(moved),
        "median d_sym between the two": statistics.median(moved),
        "picks that change": changed,
        "times faster": statistics.median(ratios),
    }
    for name, value in result.items():
        print(f"{name}: {value:.3g}" if isinstance(value, float) else f"{name}: {value}")
    if options.out:
        facts = {"machine": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__, "seed": 0}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(facts | result, indent=1) + "\n")


if __name__ == "__main__":
    main()
