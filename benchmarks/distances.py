"""How long the task space takes: all pairs of d_sym, growing a kept matrix, the curve, clusters, the map.

    python -m benchmarks.distances [--large] [--out benchmarks/results/distances.json]

Synthetic Fisher diagonals of ResNet-34's size (8,512 filters) for 1,460 tasks in a taxonomy of four levels;
with ``--large`` for 10,000 tasks too. Times are seconds on the wall, the median of ``--runs`` where short.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import TaskRecord
from t2v_core.embedding.record import TASK2VEC, Embedding
from t2v_core.figures.similarity import similarity_matrix
from t2v_core.probe.record import ProbeInfo
from t2v_core.space.agreement import agreement, neighbour_curve
from t2v_core.space.clustering import cluster
from t2v_core.space.distances import symmetric, symmetric_rounds
from t2v_core.space.matrix import task_distances
from t2v_core.space.projection import tsne
from t2v_core.space.taxonomy import taxonomic_distance
from t2v_core.task.record import InputSpec

FILTERS = 8512
INFO = ProbeInfo("p", "p", "w", (("all", FILTERS),), (1.0,), InputSpec(224, 224, (0, 0, 0), (1, 1, 1)), 512, "")


def paths(tasks: int) -> list[tuple[str, ...]]:
    """A place in a taxonomy of 4 x 3 x 4 x 4 nodes for every task."""
    return [(f"k{i % 4}", f"p{i % 12}", f"c{i % 48}", f"o{i % 192}") for i in range(tasks)]


def fisher(tasks: int, seed: int) -> np.ndarray:
    """``[tasks, FILTERS]`` float32, log-normal; tasks that share a node share part of their logarithm."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, np.ndarray] = {}
    base = rng.normal(-15, 2, FILTERS)
    rows = np.empty((tasks, FILTERS), dtype=np.float32)
    for row, path in zip(rows, paths(tasks), strict=True):
        parts = [nodes.setdefault(node, rng.normal(0, 0.3, FILTERS).astype(np.float32)) for node in path]
        row[:] = np.exp(base + sum(parts) + rng.normal(0, 0.5, FILTERS))
    return rows


def seconds(call: Callable[[], object], runs: int = 1) -> float:
    """The median time of a call."""
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def wall_and_cores(name: str, call: Callable[[], object], runs: int = 1) -> dict[str, float]:
    """The time of a call, and of all cores in it: what it costs, whatever else the machine does meanwhile."""
    begin = time.process_time()
    wall = seconds(call, runs)
    return {name: wall, f"{name}, time of all cores": (time.process_time() - begin) / runs}


def save(bank: Bank, number: int, vector: np.ndarray, path: tuple[str, ...]) -> None:
    """Put a task with one chunk in the bank."""
    record = TaskRecord(
        f"t{number:05}", f"task {number}", "other", "synthetic", ("a", "b"), (50, 50), path, 20, str(number), ""
    )
    whole = Embedding(vector, TASK2VEC, "p", "w", {"seed": 0}, 100, vector[None], np.ones(1))
    bank.save_task(record, np.array([number], dtype=np.uint64), [whole], INFO)


def matrix_times(F: np.ndarray, folder: Path) -> dict[str, float]:
    """The kept matrix of a bank: measured, read again, and grown by one task."""
    tasks = len(F) - 1
    bank = Bank(folder)
    for number in range(tasks):
        save(bank, number, F[number], paths(tasks)[number] if number < 4 else ("x",))
    found = {f"{tasks:,} tasks, bank: measure and keep": seconds(lambda: task_distances(bank))}
    found[f"{tasks:,} tasks, bank: read what is kept"] = seconds(lambda: task_distances(bank))
    save(bank, tasks, F[tasks], ("x",))
    found[f"{tasks:,} tasks, bank: one task more"] = seconds(lambda: task_distances(bank))
    bank.close()
    return found


def space_times(F: np.ndarray, runs: int) -> dict[str, float]:
    """Everything a page shows of 1,460 tasks."""
    tasks = len(F)
    found = wall_and_cores(f"{tasks:,} tasks: all pairs", lambda: symmetric(F, F), runs)
    found[f"{tasks:,} tasks: 100 new to all"] = seconds(lambda: symmetric(F[:100], F), runs)
    D = symmetric(F, F).astype(np.float32)
    frame = pd.DataFrame(D, index=[f"t{i}" for i in range(tasks)], columns=[f"t{i}" for i in range(tasks)])
    places = [(path,) for path in paths(tasks)]
    T = taxonomic_distance(places)
    found[f"{tasks:,} tasks: taxonomic distances"] = seconds(lambda: taxonomic_distance(places), runs)
    found[f"{tasks:,} tasks: curve with interval"] = seconds(lambda: neighbour_curve(D, T), runs)
    found[f"{tasks:,} tasks: rank correlation"] = seconds(lambda: agreement(frame, T), runs)
    found[f"{tasks:,} tasks: tree, leaves ordered"] = seconds(lambda: cluster(D))
    found[f"{tasks:,} tasks: t-SNE"] = seconds(lambda: tsne(D))
    tree = cluster(D)
    groups = [path[1] for path in paths(tasks)]
    figure = similarity_matrix(frame, tree.leaves, list(frame.index), groups, dendrogram=tree.outline())
    found[f"{tasks:,} tasks: matrix as a figure, MB"] = len(figure.to_json()) / 1e6
    return found


def worst_error(F: np.ndarray) -> float:
    """Largest difference from the formula in float64 over the pairs of twenty tasks."""
    some = F[:: len(F) // 20][:20]
    return float(np.abs(symmetric(some, some) - symmetric(some.astype(np.float64), some.astype(np.float64))).max())


def main() -> None:
    """Measure and print; keep JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also 10,000 tasks")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    small = np.ones((1, 4), dtype=np.float32)
    results = {"first call: load or compile": seconds(lambda: symmetric(small, small))}
    F = fisher(1461, options.seed)
    results |= space_times(F[:-1], options.runs)
    results["largest error against float64"] = worst_error(F)
    rounds = np.broadcast_to(F[:400, None], (400, 1, FILTERS)), F[: 400 * 3].reshape(400, 3, FILTERS)
    experts = np.concatenate([rounds[1]] * 12, axis=1)[:, :34]
    results["400 rounds x 34 experts"] = seconds(lambda: symmetric_rounds(rounds[0], experts), options.runs)
    with tempfile.TemporaryDirectory() as folder:
        results |= matrix_times(F, Path(folder) / "bank")
        if options.large:
            del F, experts, rounds
            F = fisher(10_001, options.seed)
            results |= wall_and_cores("10,000 tasks: all pairs, in parts", lambda: in_parts(F[:-1]))
            results |= matrix_times(F, Path(folder) / "large")
    results["peak memory of this process, GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for name, value in results.items():
        print(f"{name:<50} {value:12.4g}")
    names = ("numpy", "numba", "scipy", "scikit-learn", "plotly")
    record = {
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command("benchmarks.distances"),
        "seed": options.seed,
        "load_average_before_and_after": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "results": results,
    }
    print(record["machine"], record["versions"], "load", record["load_average_before_and_after"])
    if options.out:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(record, indent=2) + "\n")


def in_parts(F: np.ndarray, rows: int = 2048) -> None:
    """All pairs as the kept matrix measures them, none of them held."""
    for begin in range(0, len(F), rows):
        block = F[begin : begin + rows]
        symmetric(block, block)
        symmetric(block, F[begin + rows :])


def command(module: str) -> str:
    """The command this process was started by, with files named but not where they lie."""
    return shlex.join(["python", "-m", module, *(Path(word).name for word in sys.argv[1:])])


def processor() -> str:
    """The processor's name, where the system tells."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
