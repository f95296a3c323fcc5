"""Is it the missing labels that PseudoTask loses by on mixtures? Task2Vec with labels that say nothing, beside it.

    python -m benchmarks.blind --data cifar100.zip [--bank DIR] [--out FILE]

Every target's and every expert's own task's labels are permuted over its images: the images and the number and sizes
of the classes stay, what is asked is gone. Mean relative error increase on the demo bank's mixtures of the nearest
expert by d_sym, by true labels, permuted ones, PseudoTask and the domain embedding: among all experts, and without
those that were trained on the very same images as another, which no method without labels can tell apart.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import kept_methods
from t2v_core.embedding.record import DOMAIN, TASK2VEC
from t2v_core.embedding.task2vec import Task2VecSettings, embed_task
from t2v_core.measuring.bench import Bench
from t2v_core.measuring.by_embedding import DRAWS
from t2v_core.selection.regret import chosen_error, relative_increase
from t2v_core.space.distances import cosine, symmetric
from t2v_core.task.record import DecodedTask
from t2v_core.task.worlds.demo import demo_tasks


def permuted(decoded: DecodedTask) -> DecodedTask:
    """The same images and classes with the labels dealt out anew."""
    labels = np.random.default_rng(0).permutation(decoded.task.labels)
    return replace(decoded, task=replace(decoded.task, labels=labels))


def judge(errors: NDArray, distance: NDArray, names: list[str]) -> dict[str, object]:
    """Mean loss in %, of odd and even targets too, and the experts picked most."""
    increase = relative_increase(chosen_error(errors, distance), np.nanmin(errors, axis=1))
    picks = np.where(np.isnan(errors), np.inf, distance).argmin(1)
    return {
        "all": float(increase.mean()),
        "odd": float(increase[1::2].mean()),
        "even": float(increase[::2].mean()),
        "picks": Counter(names[k] for k in picks).most_common(5),
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bank", default="bank", help="a bank, filled with the demo bank where it is new")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    bench = Bench(Bank(options.bank, demo=True), demo_tasks(options.data, 0), 0, lambda *_: None)
    meta = bench.meta.of_kinds(("mixed",))
    columns = [i for i, e in enumerate(meta.experts) if e in bench.source]
    experts = [meta.experts[i] for i in columns]
    sources = [bench.source[e] for e in experts]
    settings = Task2VecSettings(total_draws=DRAWS)

    def embed(task: str) -> NDArray[np.float32]:
        return embed_task(permuted(bench.tasks[task].decoded), bench.probe, settings).fisher.vector

    blind = symmetric(np.stack([embed(t) for t in meta.tasks]), np.stack([embed(t) for t in sources]))
    assert meta.vectors is not None
    targets, known = meta.vectors.targets, meta.vectors.sources
    distance = {
        "Task2Vec": symmetric(targets[TASK2VEC], known[TASK2VEC][columns]),
        "Task2Vec, labels permuted": blind,
        "PseudoTask": kept_methods(bench.bank)["pseudotask"].scores.loc[list(meta.tasks), experts].to_numpy(float),
        "domain": cosine(targets[DOMAIN], known[DOMAIN][columns]),
    }
    errors = meta.candidate_errors[:, columns]
    images = Counter(bench.tasks[t].images for t in sources)
    alone = np.array([images[bench.tasks[t].images] == 1 for t in sources])
    rows = {}
    for name, d in distance.items():
        for group, chosen in (("all experts", np.ones(len(alone), bool)), ("with images of their own", alone)):
            found = judge(errors[:, chosen], d[:, chosen], [e for e, c in zip(experts, chosen, strict=True) if c])
            rows[f"{name}, {group}"] = found
            print(f"{name + ', ' + group:<52} {found['all']:5.1f}   {found['picks']}")
    if options.out:
        facts = {"machine": platform.machine(), "seed": 0, "targets": len(meta.tasks), "rows": rows}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
