"""The variational estimate of the Fisher diagonal against the exact one: by head, weight of the KL term and seed.

    python -m benchmarks.variational --data cifar100.zip [--images 500] [--out FILE]

One task of five CIFAR-100 classes, the bundled probe. Each run starts from the head and is held against the exact F of
the head that it ends with: Spearman's rho over all filters and within each layer, and the ratio of the sums. Whether it
arrived is told by the F under its own noise, measured once more over all images at the end: at the optimum that is the
estimate.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from benchmarks.distances import command, processor
from benchmarks.protocol import CLASSES, read_task
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.fisher.variational import (
    PUBLISHED_BETA,
    VariationalFisher,
    VariationalSettings,
    fisher_under_noise,
    variational_fisher,
)
from t2v_core.probe.bundled import load_bundled
from t2v_core.probe.heads import Head, fit_regularised_head, fit_two_epochs
from t2v_core.probe.probe import Probe
from t2v_core.probe.record import BETA

BATCH = 50
RUNS = [
    ("default", BETA, 0),
    ("default", BETA, 1),
    ("default", 1e-5, 0),
    ("default", PUBLISHED_BETA, 0),
    ("two epochs", BETA, 0),
    ("two epochs", 1e-5, 0),
    ("two epochs", PUBLISHED_BETA, 0),
]
"""Head, weight of the KL term, seed."""


def by_layer(probe: Probe, *vectors: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """The parts of some vectors that belong to one layer, layer after layer."""
    edges = np.cumsum([count for _, count in probe.info.layers])[:-1]
    return zip(*(np.split(vector, edges) for vector in vectors), strict=True)


def under_noise(probe: Probe, found: VariationalFisher, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """F ``[D]`` of the head that a run ended with, under the noise that it ended with, over all images."""
    linear = nn.Linear(*found.head.weight.T.shape)
    linear.load_state_dict({"weight": torch.from_numpy(found.head.weight), "bias": torch.from_numpy(found.head.bias)})
    (L,) = zip(*by_layer(probe, np.log(found.precision)), strict=True)
    log_precision = [torch.tensor(part, dtype=torch.float32) for part in L]
    generator, total = torch.Generator().manual_seed(0), torch.zeros(len(found.fisher), dtype=torch.float64)
    for begin in range(0, len(pixels), BATCH):
        images: Tensor = probe.normalise(pixels[begin : begin + BATCH])
        _, fisher = fisher_under_noise(probe, linear, images, log_precision, False, generator)
        total += torch.cat(fisher).double() * len(images)
    return (total / len(pixels)).numpy()


def measured(
    probe: Probe, head: Head, pixels: NDArray[np.uint8], labels: NDArray[np.int64], beta: float, seed: int
) -> tuple[VariationalFisher, dict[str, object]]:
    """One run and what is told of it."""
    begin, work = time.perf_counter(), time.process_time()
    found = variational_fisher(probe, head, pixels, labels, VariationalSettings(beta), seed)
    seconds, work = time.perf_counter() - begin, time.process_time() - work
    exact = fisher_diagonal(probe, found.head, pixels, labels, DiagonalSettings("exact")).mean
    again = under_noise(probe, found, pixels)
    rho = [float(spearmanr(a, b).statistic) for a, b in by_layer(probe, found.fisher, exact)]
    arrived = [float(a.sum() / b.sum()) for a, b in by_layer(probe, again, found.fisher)]
    return found, {
        "rho over all filters": float(spearmanr(found.fisher, exact).statistic),
        "rho within a layer": {"median": float(np.median(rho)), "least": min(rho)},
        "size over the exact one's": float(found.fisher.sum() / exact.sum()),
        "F under its noise over the estimate": {
            "all": float(again.sum() / found.fisher.sum()),
            "least layer": min(arrived),
            "greatest layer": max(arrived),
        },
        "loss of the first and last epoch": [float(found.loss[0]), float(found.loss[-1])],
        "seconds": seconds,
        "processor seconds": work,
    }


def main() -> None:
    """Run and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    probe = load_bundled(torch.device("cpu"))
    pixels, labels = read_task(options.data, options.images)
    z = probe.features(pixels)
    heads = {
        "default": fit_regularised_head(z, labels, len(CLASSES)),
        "two epochs": fit_two_epochs(z, labels, len(CLASSES)),
    }
    rows: list[dict[str, object]] = []
    first = None
    for name, beta, seed in RUNS:
        found, row = measured(probe, heads[name], pixels, labels, beta, seed)
        first = found if first is None else first
        if (name, beta) == RUNS[0][:2]:
            away = np.linalg.norm(found.fisher - first.fisher) / np.linalg.norm(first.fisher)
            row["relative distance to the first run"] = float(away)
        rows.append({"head": name, "beta": beta, "seed": seed, **row})
        print(json.dumps(rows[-1]), flush=True)
    if options.out:
        facts = {"machine": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(
            json.dumps({**facts, "command": command("benchmarks.variational"), "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
