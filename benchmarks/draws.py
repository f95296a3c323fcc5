"""How noisy labels or signs drawn from the model leave an embedding, beside the noise of which images a task has.

    python -m benchmarks.draws --data cifar100.zip [--network resnet18] [--images 40] [--classes 10] [--out FILE]

All estimates share one head; each is held against the exact F by d_sym, the mean over ``--seeds``. The noise of the
images is half the d_sym between the exact F of either half of them, as much as two embeddings of so many images each
of one world would differ by; half of that is one embedding's own part. ``bundled`` is the bundled probe; any other
network comes with random weights. From classes - 1 draws on every estimate would be exact.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.distances import processor
from benchmarks.journey import small_images
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.bundled import load_bundled
from t2v_core.probe.heads import fit_regularised_head
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.probe.registry import blank_network
from t2v_core.space.distances import symmetric
from t2v_core.task.decoding import decode
from t2v_core.task.reading import scan
from t2v_core.task.record import DecodedTask


def build(name: str, size: int) -> Probe:
    """The bundled probe, or a torchvision or timm network with random weights and input."""
    cpu = torch.device("cpu")
    if name == "bundled":
        return load_bundled(cpu)
    torch.manual_seed(0)
    blank = blank_network(name)
    network, classifier = blank.detach()
    spec = replace(blank.spec, resize=size, crop=size)
    return make_probe(name, name, network, classifier, spec, "random weights", cpu)


def images(data: Path, count: int, classes: int, probe: Probe) -> DecodedTask:
    """``count`` images of ``classes`` classes of CIFAR-100 at the probe's input size."""
    with tempfile.TemporaryDirectory() as folder:
        return decode(scan(small_images(data, Path(folder) / "images.zip", count, classes)).tasks[0], probe.info.spec)


def main() -> None:
    """Run and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    probe = build(options.network, options.size)
    decoded = images(options.data, options.images, options.classes, probe)
    labels = np.unique(decoded.task.labels, return_inverse=True)[1]
    head = fit_regularised_head(probe.features(decoded.pixels), labels, options.classes)

    def fisher(settings: DiagonalSettings, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        return fisher_diagonal(probe, head, decoded.pixels[rows], labels[rows], settings).mean

    exact = DiagonalSettings(estimator="exact")
    truth = fisher(exact)
    order = np.random.default_rng(0).permutation(len(labels))
    one, other = (fisher(exact, rows)[None] for rows in np.array_split(order, 2))
    noise = {"images, two embeddings": float(symmetric(one, other)[0, 0]) / 2}
    for estimator in ("montecarlo", "signs"):
        for draws in (1, 2, 4, 8):
            found = [
                fisher(DiagonalSettings(estimator=estimator, draws=draws, seed=seed))  # type: ignore[arg-type]
                for seed in range(options.seeds)
            ]
            noise[f"{estimator}, {draws} an image"] = float(np.mean(symmetric(truth[None], np.stack(found))))
    for name, value in noise.items():
        print(f"{name:<28} {value:.4f}")
    if options.out:
        facts = {"machine": processor(), "torch": torch.__version__, "seed": 0, "data": "CIFAR-100"}
        settings = {n: getattr(options, n) for n in ("network", "images", "classes", "size", "seeds")}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(facts | settings | {"d_sym": noise}, indent=1) + "\n")


if __name__ == "__main__":
    main()
