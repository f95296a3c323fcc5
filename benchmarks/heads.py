"""What the head behind an embedding does to the choice of experts, and to the norm of the embedding.

    python -m benchmarks.heads --data cifar100.zip [--bank DIR] [--images 300] [--every 1] [--out FILE]

Embeds the demo bank's targets (twins, mixtures, attributes) and the experts' own tasks anew under several
heads, all with the same images and draws, and reports for each head
- the mean relative error increase of the symmetric pick on each kind of target (from the bank's errors),
- Spearman's rho of the norm ||F||_1 with the error of the generic expert over the 20 large tasks (T2V Fig.
  2 right says it rises), and
- the ratio of the norms of a small and a large task of the same classes, 40 and 400 images a class (T2V
  supplement Fig. 2 says the norm rises with the number of images).

The Fisher passes use at most ``--images`` images of a task, the heads all of them.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from t2v_core.bank.bank import Bank
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.bundled import load_bundled
from t2v_core.probe.heads import Head, fit_heads, fit_regularised_head, fit_two_epochs
from t2v_core.selection.meta_task import GENERIC, from_bank
from t2v_core.selection.regret import chosen_error, relative_increase
from t2v_core.space.distances import symmetric
from t2v_core.task.record import DecodedTask
from t2v_core.task.worlds import photographs
from t2v_core.task.worlds.cifar100 import read_cifar100

DRAWS = 4
KINDS = ("twin", "mixed", "attribute", "attribute without expert")
HEADS: dict[str, Callable[[Tensor, np.ndarray, int], Head]] = {
    "two epochs of Adam": fit_two_epochs,
    "early stopping, 0.0005": lambda z, y, k: fit_heads(z[None], y, k)[0],
    **{
        f"optimum, {decay}": lambda z, y, k, decay=decay: fit_regularised_head(z, y, k, weight_decay=decay)
        for decay in (0.002, 0.02, 0.05, 0.2)
    },
}


def embed(decoded: DecodedTask, images: int) -> dict[str, np.ndarray]:
    """The Fisher diagonal of one task under every head."""
    torch.set_num_threads(1)
    probe = load_bundled(torch.device("cpu"))
    rows = np.flatnonzero(~decoded.task.held_out)
    pixels = decoded.pixels[rows]
    classes, labels = np.unique(decoded.task.labels[rows], return_inverse=True)
    z = probe.features(pixels)
    rng = np.random.default_rng(0)
    share = max(1, images // len(classes))
    few = np.concatenate([rng.permutation(np.flatnonzero(labels == k))[:share] for k in range(len(classes))])
    settings = DiagonalSettings(draws=DRAWS, chunks=1)
    return {
        name: fisher_diagonal(probe, fit(z, labels, len(classes)), pixels[few], labels[few], settings).mean
        for name, fit in HEADS.items()
    }


def main() -> None:
    """Run and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bank", default="bank", help="a bank, filled with the demo bank where it is new")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--every", type=int, default=1, help="use every n-th mixture and attribute without expert")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    begin = time.perf_counter()
    bank = Bank(options.bank, demo=True)
    meta = from_bank(bank)
    known = {t.id: t.decoded for t in photographs.tasks(read_cifar100(options.data), 0)}
    trained_on = {e.id: e.task_id for e in bank.experts() if e.task_id in known}
    experts = [i for i, e in enumerate(meta.experts) if e in trained_on]
    sources = [trained_on[meta.experts[i]] for i in experts]
    thin = {"mixed", "attribute without expert"}
    targets = [i for i, kind in enumerate(meta.kinds) if kind in KINDS]
    targets = [i for n, i in enumerate(targets) if meta.kinds[i] not in thin or n % options.every == 0]
    ids = list(dict.fromkeys([*sources, *(meta.tasks[i] for i in targets)]))
    with ProcessPoolExecutor() as pool:
        found = dict(zip(ids, pool.map(embed, [known[i] for i in ids], [options.images] * len(ids)), strict=True))
    errors = meta.candidate_errors[np.ix_(targets, experts)]
    generic = bank.errors()[GENERIC]
    large = [t.id for t in bank.tasks() if t.kind == "large" and t.id in found]
    pairs = [(f"b{i[1:]}", i) for i in large]
    rows = []
    for name in HEADS:
        distance = symmetric(
            np.stack([found[meta.tasks[i]][name] for i in targets]), np.stack([found[i][name] for i in sources])
        )
        increase = relative_increase(chosen_error(errors, distance), np.nanmin(errors, axis=1))
        kinds = np.array([meta.kinds[i] for i in targets])
        norms = {i: float(v[name].sum()) for i, v in found.items()}
        rows.append(
            {
                "head": name,
                "increase": {k: float(np.nanmean(increase[kinds == k])) for k in KINDS},
                "norm_and_error": float(spearmanr([norms[i] for i in large], generic[large]).statistic),
                "norm_small_over_large": float(np.median([norms[b] / norms[a] for b, a in pairs])),
            }
        )
        r = rows[-1]
        picks = "  ".join(f"{k} +{v:.1f}" for k, v in r["increase"].items())
        print(f"{name:<24} {picks}   rho {r['norm_and_error']:+.2f}   small/large {r['norm_small_over_large']:.2f}")
    if options.out:
        facts = {"machine": platform.machine(), "torch": torch.__version__, "seed": 0, "images": options.images}
        facts |= {"draws": DRAWS, "tasks": len(ids), "seconds": round(time.perf_counter() - begin, 1)}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
