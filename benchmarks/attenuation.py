"""Why the Task Tangent Kernel prefers experts of broad tasks, and what averaging batches does about it.

    python -m benchmarks.attenuation --data cifar100.zip [--bank DIR] [--networks 16] [--batches 6] [--out FILE]

A cosine of two noisy gradients is that of their expectations times sqrt(r_a r_b), r the cosine of two batches of one
task (attenuation, Spearman 1904). On the twins and mixtures of the demo bank, with one batch a target and B batches of
each expert's own task, the mean relative error increase of the pick
- by the plain kernel and by one corrected for attenuation, k / sqrt(r_source);
- with few networks of many batches and the other way round (WLF Fig. 7); and
- r of the experts' own tasks by their number of classes.

Mixtures are split into odd and even ones: settings were chosen on the twins and the odd ones.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank
from t2v_core.embedding.tangent import KEPT, embed_tangents
from t2v_core.embedding.tangent_kernel import cosines, gradients
from t2v_core.measuring.bench import Bench
from t2v_core.selection.regret import chosen_error, relative_increase
from t2v_core.task.record import DecodedTask
from t2v_core.task.worlds.demo import demo_tasks


class Judge:
    """The targets' errors by expert, and what a similarity loses on them."""

    def __init__(self, bench: Bench) -> None:
        meta = bench.meta.of_kinds(("twin", "mixed"))
        self.tasks, self.kinds = meta.tasks, np.array(meta.kinds)
        self.columns = [i for i, e in enumerate(meta.experts) if e in bench.source]
        self.sources = [bench.source[meta.experts[i]] for i in self.columns]
        self.errors = meta.candidate_errors[:, self.columns]

    def losses(self, similarity: NDArray) -> dict[str, float]:
        """Mean relative error increase in % by group of targets."""
        increase = relative_increase(chosen_error(self.errors, -similarity), np.nanmin(self.errors, axis=1))
        mixed = increase[self.kinds == "mixed"]
        return {
            "twin": float(increase[self.kinds == "twin"].mean()),
            "mixed, odd": float(mixed[1::2].mean()),
            "mixed, even": float(mixed[::2].mean()),
        }


def single_batches(tasks: list[DecodedTask], networks: int, batches: int) -> NDArray[np.float32]:
    """Unit gradients ``[T, M, B, P]`` of single batches, each drawn anew."""
    settings = replace(KEPT, networks=networks, batches=1)
    found = [gradients(embed_tangents(tasks, replace(settings, seed=seed))) for seed in range(batches)]
    return np.stack(found, axis=2).astype(np.float32)


def reliability(single: NDArray) -> NDArray[np.float64]:
    """``[T]`` mean cosine of two batches ``[T, M, B, P]`` of one task and network."""
    count = single.shape[2]
    total = (single.sum(2).astype(np.float64) ** 2).sum(-1).mean(1)
    return (total - count) / (count * (count - 1))


def several(r: NDArray, batches: int) -> NDArray:
    """Reliability of the mean of several batches (Spearman and Brown 1910)."""
    return batches * r / (1 + (batches - 1) * r)


def compare(targets: NDArray, single: NDArray, judge: Judge) -> dict[str, dict[str, float]]:
    """Losses by how many batches and networks, plain and corrected.

    Args:
        targets: ``[T, M, P]``.
        single: ``[E, M, B, P]`` of the experts' own tasks.
        judge: what the losses are measured by.
    """
    r = reliability(single)
    networks, most = single.shape[1], single.shape[2]

    def losses(count: int, batches: int, corrected: bool) -> dict[str, float]:
        each = np.stack(list(cosines(targets, single[:, :, :batches].mean(2))))
        if corrected:
            each = each / np.sqrt(several(r, batches))
        sets = [judge.losses(each[k : k + count].mean(0)) for k in range(0, networks - count + 1, count)]
        return {name: float(np.mean([s[name] for s in sets])) for name in sets[0]}

    found = {}
    for batches in (b for b in (1, 2, 3, 4, 6) if b <= most):
        for corrected in (False, True):
            name = f"{networks} networks, {batches} batches{', corrected' if corrected else ''}"
            found[name] = losses(networks, batches, corrected)
    for count in (c for c in range(1, min(most, networks) + 1) if most % c == 0):
        for corrected in (False, True):
            name = f"sharing {most}: {count} networks, {most // count} batches{', corrected' if corrected else ''}"
            found[name] = losses(count, most // count, corrected)
    return found


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bank", default="bank", help="a bank, filled with the demo bank where it is new")
    parser.add_argument("--networks", type=int, default=KEPT.networks)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    begin = time.perf_counter()
    bench = Bench(Bank(options.bank, demo=True), demo_tasks(options.data, 0), 0, lambda *_: None)
    judge = Judge(bench)
    sources = [bench.tasks[t].decoded for t in judge.sources]
    single = single_batches(sources, options.networks, options.batches)
    targets = single_batches([bench.tasks[t].decoded for t in judge.tasks], options.networks, 1)[:, :, 0]
    rows = compare(targets, single, judge)
    for name, losses in rows.items():
        print(f"{name:<44} " + "   ".join(f"{kind} {value:5.1f}" for kind, value in losses.items()))
    classes = np.array([len(np.unique(s.task.labels)) for s in sources])
    r = reliability(single)
    by_classes = {int(k): [round(float(v), 2) for v in np.sort(r[classes == k])] for k in np.unique(classes)}
    print("reliability of one batch, by classes:", by_classes)
    if options.out:
        facts = {"machine": platform.machine(), "networks": options.networks, "dimension": KEPT.dimension, "seed": 0}
        facts |= {"reliability by classes": by_classes, "seconds": round(time.perf_counter() - begin, 1)}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
