"""How often "first in 80 % of cases" comes true.

    python -m benchmarks.calibration --data cifar100.zip [--rule RULE] [--images 40 100] [--every 1] [--plain]
        [--out FILE]

The images of each of the demo bank's mixtures, those to learn from and those to test on together, are parted into
disjoint folders of so many images, the same number of every class, as if as many people had uploaded the task. Each
is embedded and ranked by itself, as the rule asks: by Task2Vec or PseudoTask with the head of its own images, or by the
Task Tangent Kernel. ``--plain`` leaves out that this head has noise of its own, or that the kernel's images do. Said is
the share of bootstrap rounds in which the expert that a folder puts first came first; held is the share of the other
folders that put the same expert first.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.distances import processor
from t2v_core.bank.bank import Bank
from t2v_core.embedding.pseudotask import PseudoTaskSettings, embed_pseudotask
from t2v_core.embedding.record import PSEUDOTASK, Embedding
from t2v_core.embedding.tangent import TangentSettings, embed_tangent
from t2v_core.embedding.tangent_kernel import TANGENT
from t2v_core.embedding.task2vec import Task2VecSettings, embed_task
from t2v_core.probe.bundled import load_bundled
from t2v_core.selection.candidates import unseen
from t2v_core.selection.ranking import rank_experts
from t2v_core.selection.ways import way
from t2v_core.task.record import DecodedTask
from t2v_core.task.worlds.demo import demo_tasks

MOST = 6
"""Folders of one task."""
BANDS = (0.0, 0.6, 0.9, 1.01)
"""Of what was said, as the words "open", "likely" and "clear" part it."""


def folders(decoded: DecodedTask, images: int, seed: int) -> list[DecodedTask]:
    """Disjoint parts of a task of ``images`` images each, classes in equal numbers, none held out."""
    rng = np.random.default_rng(seed)
    labels = decoded.task.labels
    share = images // len(decoded.task.classes)
    order = [rng.permutation(np.flatnonzero(labels == k)) for k in range(len(decoded.task.classes))]
    count = min(MOST, min(len(rows) for rows in order) // share)
    parts = [np.sort(np.concatenate([rows[i * share : (i + 1) * share] for rows in order])) for i in range(count)]
    taken = [decoded.take(rows) for rows in parts]
    return [replace(part, task=replace(part.task, held_out=np.zeros(len(part), bool))) for part in taken]


def embed(decoded: DecodedTask, method: str, settings: dict[str, Any], refits: bool) -> Embedding:
    """One folder's embedding, in a process of its own."""
    torch.set_num_threads(1)
    if method == TANGENT:
        return embed_tangent(decoded, TangentSettings(**settings), refits=refits)
    probe = load_bundled(torch.device("cpu"))
    if method == PSEUDOTASK:
        return embed_pseudotask(decoded, probe, PseudoTaskSettings(**settings), refits=refits)
    return embed_task(decoded, probe, Task2VecSettings(**settings), refits=refits).fisher


def agreement(firsts: list[str]) -> np.ndarray:
    """Of each folder, the share of the others that put the same expert first."""
    same = np.array(firsts)[:, None] == np.array(firsts)[None]
    return (same.sum(1) - 1) / (len(firsts) - 1)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, nargs="+", default=[40, 100])
    parser.add_argument("--every", type=int, default=1, help="take every n-th mixture only")
    parser.add_argument("--rule", choices=["asymmetric", PSEUDOTASK, TANGENT], default="asymmetric")
    parser.add_argument("--plain", action="store_true", help="draw no other head, or for the kernel no other images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    begin = time.perf_counter()
    mixtures = [t.decoded for t in demo_tasks(options.data, 0) if t.kind == "mixed"][:: options.every]
    results = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(mp_context=get_context("spawn")) as pool,
    ):
        bank = Bank(folder, demo=True)
        info = next(iter(bank.probes().values()))
        method = way(options.rule).method
        kept = bank.embeddings(method)
        settings = next(iter(kept.values())).settings
        for images in options.images:
            said, held = [], []
            for decoded in mixtures:
                parts = folders(decoded, images, options.seed)
                sources = unseen(bank, kept, list(decoded.digests))
                found = pool.map(partial(embed, method=method, settings=settings, refits=not options.plain), parts)
                ranked = [rank_experts(one, sources, info, options.rule)[0] for one in found]
                said += [first.p_first for first in ranked]
                held += agreement([first.expert_id for first in ranked]).tolist()
            band = np.digitize(said, BANDS) - 1
            results[f"{images} images"] = {
                "folders": len(said),
                "said": float(np.mean(said)),
                "held": float(np.mean(held)),
                "by what was said": {
                    f"{low:.0%} to {min(high, 1):.0%}": {
                        "folders": int((band == b).sum()),
                        "said": float(np.mean(np.array(said)[band == b])),
                        "held": float(np.mean(np.array(held)[band == b])),
                    }
                    for b, (low, high) in enumerate(pairwise(BANDS))
                    if (band == b).any()
                },
            }
            print(json.dumps(results[f"{images} images"], indent=2), flush=True)
        bank.close()
    facts = {
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "mixtures": len(mixtures),
        "seed": options.seed,
        "rule": options.rule,
        "plain": options.plain,
        "seconds": round(time.perf_counter() - begin),
    }
    if options.out:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(facts | {"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
