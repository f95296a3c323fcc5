"""When the norm of an embedding rises with the error of its task, and with its number of images.

    python -m benchmarks.norms --data cifar100.zip [--robust 12] [--robust-small 4] [--only-robust] [--out FILE]

Task2Vec claims both (T2V Fig. 2 right, supplement Fig. 2). With the bundled probe, on tasks over CIFAR-100's training
images, for every head and estimator:
- rank correlation of the norm ||F||_1 with the head's own error on held-out images, over the 20 superclasses (five
  classes each), with 400 and with 40 images a class,
- the same over tasks of 2 to 100 classes, four random choices each, with 40 images a class,
- the slope of log ||F||_1 over log N within a superclass, 10 to 400 images a class (median; 0 means that the norm does
  not know N, and what is scaled by N has a slope larger by 1).

The variational estimate takes minutes a task: the first ``--robust`` superclasses, the first ``--robust-small`` with
40 images a class too. Its precision Lambda is that of noise on the weights, which has N in its scale. With
``--only-robust`` the rows of the other estimators stay as FILE has them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.distances import command, processor
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.fisher.variational import variational_fisher
from t2v_core.probe.bundled import load_bundled
from t2v_core.probe.heads import Head, fit_heads, fit_regularised_head, fit_two_epochs
from t2v_core.space.correlation import rank_correlation
from t2v_core.task.record import BoolArray, IntArray
from t2v_core.task.worlds.cifar100 import Share, read_cifar100
from t2v_core.task.worlds.taxonomy import CLASSES, SUPERCLASSES

MOST = 150
"""Images that a Fisher pass takes at most; heads see all of them."""
SIZES = (10, 40, 100, 400)
WAYS = (2, 5, 10, 20, 50, 100)
CHOICES = 4
SMALL, LARGE = 40, 400
EXACT, ONE_DRAW, ROBUST = "exact", "Monte Carlo, one draw", "variational"
DIAGONALS = {EXACT: DiagonalSettings("montecarlo", 4), ONE_DRAW: DiagonalSettings("montecarlo", 1)}
"""Four draws are the exact expectation up to five classes; with more it would be too dear, and they estimate it."""


def two_epochs_standardised(z: Tensor, labels: np.ndarray, count: int) -> Head:
    """The papers' two epochs on features of mean 0 and deviation 1, folded back to act on raw ones."""
    mean, std = z.mean(0), z.std(0).clamp_min(1e-6)
    head = fit_two_epochs((z - mean) / std, labels, count)
    weight = head.weight / std.numpy()
    return Head(weight, head.bias - weight @ mean.numpy(), head.validation_accuracy, 0, head.steps)


HEADS: dict[str, Callable[[Tensor, np.ndarray, int], Head]] = {
    "two epochs of Adam": fit_two_epochs,
    "two epochs, features standardised": two_epochs_standardised,
    "early stopping, 0.0005": lambda z, y, k: fit_heads(z[None], y, k)[0],
    "optimum, 0.002": partial(fit_regularised_head, weight_decay=0.002, validate=False),
    "optimum, 0.2": partial(fit_regularised_head, weight_decay=0.2, validate=False),
}
DEFAULT = "optimum, 0.2"
"""The engine's own, from which the variational estimate starts."""


@dataclass(frozen=True)
class Case:
    """A task: its name, classes, images a class to train on, and by what it is measured."""

    name: str
    classes: tuple[str, ...]
    images: int
    estimators: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """The norm of a task's embedding and the error, in %, of the head behind it."""

    case: Case
    head: str
    estimator: str
    norm: float
    error: float


def measured(case: Case, pixels: NDArray[np.uint8], labels: IntArray, held: BoolArray) -> list[Found]:
    """The norms of one task, whose images stand in the order in which they were drawn, class by class."""
    torch.set_num_threads(1)
    probe, count = load_bundled(torch.device("cpu")), len(case.classes)
    z, train = probe.features(pixels), np.flatnonzero(~held)

    def error(head: Head) -> float:
        return 100 * float(np.mean(head.logits(z[held]).argmax(1).numpy() != labels[held]))

    few = np.concatenate([train[labels[train] == k][: MOST // count] for k in range(count)])
    heads = {name: fit(z[train], labels[train], count) for name, fit in HEADS.items()}
    found = []
    for name, head in heads.items():
        for estimator in set(case.estimators) & set(DIAGONALS):
            fisher = fisher_diagonal(probe, head, pixels[few], labels[few], DIAGONALS[estimator]).mean
            found.append(Found(case, name, estimator, float(fisher.sum()), error(head)))
    if ROBUST in case.estimators:
        robust = variational_fisher(probe, heads[DEFAULT], pixels[train], labels[train])
        for estimator, vector in ((ROBUST, robust.fisher), (f"{ROBUST}, Lambda", robust.precision)):
            found.append(Found(case, f"{DEFAULT}, then noise", estimator, float(vector.sum()), error(robust.head)))
    return found


def cases(robust: int, robust_small: int) -> tuple[list[Case], list[Case]]:
    """Superclasses in every size, and tasks of every number of classes; the slow ones first."""
    rng = np.random.default_rng(0)
    slow = {LARGE: robust, SMALL: robust_small}
    superclasses = [
        Case(name, classes, size, (EXACT, ONE_DRAW, ROBUST)[: 1 + (size in slow) + (i < slow.get(size, 0))])
        for i, (name, classes) in enumerate(SUPERCLASSES.items())
        for size in SIZES
    ]
    ways = [
        Case(f"{count} classes, {i}", tuple(str(c) for c in rng.choice(CLASSES, count, replace=False)), SMALL, (EXACT,))
        for count in WAYS
        for i in range(CHOICES)
    ]
    return sorted(superclasses, key=lambda case: -len(case.estimators)), ways


def slopes(found: Iterable[Found]) -> list[float]:
    """Of log norm over log N, for each task that was measured in more than one size."""
    by_task: dict[str, list[Found]] = defaultdict(list)
    for f in found:
        by_task[f.case.name].append(f)
    lines = [np.log([(f.case.images, f.norm) for f in sizes]).T for sizes in by_task.values() if len(sizes) > 1]
    return [float(np.polyfit(n, norm, 1)[0]) for n, norm in lines]


def row(head: str, estimator: str, superclasses: list[Found], ways: list[Found]) -> dict[str, object]:
    """What is told of one head and estimator."""

    def correlation(found: list[Found]) -> dict[str, float]:
        return asdict(rank_correlation(np.array([f.norm for f in found]), np.array([f.error for f in found])))

    sloping = slopes(superclasses)
    return {
        "head": head,
        "estimator": estimator,
        "error, 400 a class": correlation([f for f in superclasses if f.case.images == LARGE]),
        "error, 40 a class": correlation([f for f in superclasses if f.case.images == SMALL]),
        "error, 2 to 100 classes": correlation(ways),
        "slope over N": float(np.median(sloping)) if sloping else None,
        "tasks in which it rises with N": sum(slope > 0 for slope in sloping),
        "tasks in several sizes": len(sloping),
        "mean error, 400 a class": float(np.mean([f.error for f in superclasses if f.case.images == LARGE])),
    }


def main() -> None:
    """Measure, print, and keep JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--robust", type=int, default=12)
    parser.add_argument("--robust-small", type=int, default=4)
    parser.add_argument("--only-robust", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    begin = time.perf_counter()
    superclasses, ways = cases(options.robust, options.robust_small)
    kept, earlier = [], {}
    if options.only_robust:
        superclasses, ways = [replace(c, estimators=(ROBUST,)) for c in superclasses if ROBUST in c.estimators], []
        before = json.loads(options.out.read_text())
        kept = [r for r in before["rows"] if not r["estimator"].startswith(ROBUST)]
        earlier = {"command of the other rows": before["command"]}
    names = {case.name for case in superclasses}
    large = read_cifar100(options.data).large
    found: list[Found] = []
    with ProcessPoolExecutor() as workers:
        running = []
        for case in superclasses + ways:
            chosen, labels = large.choose(case.classes, Share(case.images / 500, 0.2), 0)
            running.append(workers.submit(measured, case, chosen.pixels, labels, chosen.held_out))
        for done, some in enumerate(as_completed(running), 1):
            found += some.result()
            print(f"{done} of {len(running)} tasks, {time.perf_counter() - begin:.0f} s", flush=True)
    groups: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for f in found:
        groups[f.head, f.estimator].append(f)
    rows = kept + [
        row(*names_of, [f for f in group if f.case.name in names], [f for f in group if f.case.name not in names])
        for names_of, group in groups.items()
    ]
    for r in sorted(rows, key=lambda r: (str(r["estimator"]), str(r["head"]))):
        rhos = "  ".join(f"{r[name]['rho']:+.2f}" for name in r if name.startswith("error"))
        slope = r["slope over N"]
        print(f"{r['head']:<36} {r['estimator']:<24} {rhos}  {float('nan') if slope is None else slope:+.2f}")
    if options.out:
        facts = {"machine": processor(), "torch": torch.__version__, "command": command("benchmarks.norms"), "seed": 0}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**facts, **earlier, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
