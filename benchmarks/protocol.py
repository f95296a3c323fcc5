"""The Fisher diagonal against the public protocol, and beside libraries that give per-sample gradients.

    python -m benchmarks.protocol --data cifar100.zip [--images 1000] [--rounds 3] [--out FILE]

The public protocol, with the defaults of the authors' code (awslabs/aws-cv-task2vec), caches features, trains the head
for ten epochs, draws 10,000 labels and squares the gradient of the mean of each batch of 64. An epoch is 10,000 images
drawn with replacement, balanced over classes, without the last batch, which is not full. Its error is how far its F
(times the batch size, which undoes its scale) lies from the exact one of the same head. Ours takes as many images, and
then draws of each, as it needs to be no farther, and its time holds everything too: features of all images, the head,
F. The libraries then do what ours does, the square per sample, for one draw an image in batches of the same size:
BackPACK (``pip install backpack-for-pytorch``), Opacus and torch.func, each where it can.
One task of five CIFAR-100 classes, the bundled probe, all in turn in one run.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from benchmarks.distances import processor
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.bundled import load_bundled
from t2v_core.probe.heads import Head, class_weights, fit_regularised_head
from t2v_core.probe.probe import Probe
from t2v_core.task.sampling import quotas
from t2v_core.task.worlds.cifar100 import read_cifar100
from t2v_core.task.worlds.taxonomy import CLASSES as ALL

CLASSES = ("rose", "tulip", "maple tree", "pine tree", "mushroom")
BATCH = 32
"""Of ours and of the libraries."""
PUBLIC_BATCH, PUBLIC_EPOCH, PUBLIC_EPOCHS = 64, 10_000, 10
SIZES = (50, 75, 100, 150, 200, 300, 400, 500, 700, 1000)
DRAWS = (1, 2, 3)
"""Of each image: more than one only where all images are not enough."""

BACKPACK, OPACUS, FUNC = "BackPACK", "Opacus", "torch.func"


def read_task(data: Path, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels ``[N, 32, 32, 3]`` and labels ``[N]`` of a balanced task from the training images."""
    pool = read_cifar100(data).large
    rows = [np.flatnonzero(pool.labels == ALL.index(name))[: images // len(CLASSES)] for name in CLASSES]
    return pool.pixels[np.concatenate(rows)], np.repeat(np.arange(len(CLASSES)), [len(r) for r in rows])


class Model(nn.Module):
    """The probe with a head, trainable: what the other implementations differentiate."""

    def __init__(self, probe: Probe, head: Head) -> None:
        super().__init__()
        self.network = copy.deepcopy(probe.network).requires_grad_(True)
        self.head = nn.Linear(head.weight.shape[1], len(head.bias))
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.weight))
            self.head.bias.copy_(torch.from_numpy(head.bias))
        self.eval().requires_grad_(True)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.network(images))


def filters_of(model: Model, squares: Callable[[nn.Module], Tensor]) -> np.ndarray:
    """Per-filter means ``[D]`` of squared gradients, layer after layer as the probe orders them."""
    layers = [m for m in model.network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return torch.cat([squares(layer).flatten(1).mean(1) for layer in layers]).double().numpy()


# ---- the public protocol ---------------------------------------------------------------------------------


def public(probe: Probe, pixels: np.ndarray, labels: np.ndarray, head: Head, seed: int) -> np.ndarray:
    """F ``[D]`` by the public protocol, in the end for the given head, so that one exact F is the truth for all."""
    features = probe.features(pixels)
    classifier = nn.Linear(features.shape[1], len(CLASSES))
    optimiser = torch.optim.Adam(classifier.parameters(), lr=4e-4, weight_decay=1e-4)
    targets = torch.from_numpy(labels)
    generator = torch.Generator().manual_seed(seed)
    balance = torch.from_numpy(class_weights(labels, len(CLASSES)))

    def epoch() -> list[Tensor]:
        drawn = torch.multinomial(balance, PUBLIC_EPOCH, replacement=True, generator=generator)
        return [rows for rows in drawn.split(PUBLIC_BATCH) if len(rows) == PUBLIC_BATCH]

    for _ in range(PUBLIC_EPOCHS):
        for rows in epoch():
            optimiser.zero_grad()
            functional.cross_entropy(classifier(features[rows]), targets[rows]).backward()
            optimiser.step()
    model = Model(probe, head)
    batches = epoch()
    total = np.zeros(probe.info.dimension)
    for rows in batches:
        model.zero_grad()
        logits = model(probe.normalise(pixels[rows.numpy()]))
        drawn = torch.multinomial(logits.detach().softmax(1), 1, generator=generator)[:, 0]
        functional.cross_entropy(logits, drawn).backward()
        total += len(rows) * filters_of(model, lambda layer: layer.weight.grad.square())
    return total / len(batches)


def ours(
    probe: Probe, pixels: np.ndarray, labels: np.ndarray, images: int, draws: int, seed: int, precision: str
) -> np.ndarray:
    """F ``[D]`` from so many of the images, balanced, with a head fitted on all."""
    head = fit_regularised_head(probe.features(pixels), labels, len(CLASSES))
    return diagonal(probe, head, pixels, labels, images, draws, seed, precision)


def diagonal(
    probe: Probe, head: Head, pixels: np.ndarray, labels: np.ndarray, images: int, draws: int, seed: int, precision: str
) -> np.ndarray:
    """F ``[D]`` from so many draws an image."""
    rng = np.random.default_rng(seed)
    shares = quotas(np.bincount(labels), images)
    rows = np.concatenate([rng.permutation(np.flatnonzero(labels == k))[:n] for k, n in enumerate(shares)])
    settings = DiagonalSettings(
        chunks=1,
        draws=draws,
        seed=seed,
        batch_size=BATCH,
        precision=precision,  # type: ignore[arg-type]
    )
    return fisher_diagonal(probe, head, pixels[rows], labels[rows], settings).mean


# ---- libraries -------------------------------------------------------------------------------------------


def per_sample(library: str, probe: Probe, head: Head, pixels: np.ndarray, drawn: Tensor) -> np.ndarray:
    """F ``[D]`` by per-sample gradients for given labels ``[N]``."""
    model = Model(probe, head)
    batches = [slice(i, i + BATCH) for i in range(0, len(drawn), BATCH)]
    step = {BACKPACK: _backpack, OPACUS: _opacus, FUNC: _func}[library](model)
    return sum(step(probe.normalise(pixels[b]), drawn[b]) for b in batches) / len(drawn)  # type: ignore[return-value]


def _backpack(model: Model) -> Callable[[Tensor, Tensor], np.ndarray]:
    from backpack import backpack, extend
    from backpack.extensions import SumGradSquared

    network = extend(model, use_converter=True)
    loss = extend(nn.CrossEntropyLoss(reduction="sum"))

    def step(images: Tensor, labels: Tensor) -> np.ndarray:
        network.zero_grad()
        with backpack(SumGradSquared()):
            loss(network(images), labels).backward()
        layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)][:-1]
        return torch.cat([m.weight.sum_grad_squared.flatten(1).mean(1) for m in layers]).double().numpy()

    return step


def _opacus(model: Model) -> Callable[[Tensor, Tensor], np.ndarray]:
    from opacus import GradSampleModule

    # Of channels-last images and weights it makes something else: 39 % off, with nothing said.
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model.train()  # it watches nothing else, and refuses to train what keeps statistics of a batch
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().requires_grad_(False)
    wrapped = GradSampleModule(model, strict=False, loss_reduction="sum")

    def step(images: Tensor, labels: Tensor) -> np.ndarray:
        wrapped.zero_grad()
        functional.cross_entropy(wrapped(images.contiguous()), labels, reduction="sum").backward()
        return filters_of(model, lambda layer: layer.weight.grad_sample.square().sum(0))

    return step


def _func(model: Model) -> Callable[[Tensor, Tensor], np.ndarray]:
    weights = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())
    layers = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and n != "head"]

    def loss(parameters: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, (parameters, buffers), (image[None],))
        return functional.cross_entropy(logits, label[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))

    def step(images: Tensor, labels: Tensor) -> np.ndarray:
        found = gradients(weights, images, labels)
        return torch.cat([found[f"{n}.weight"].square().sum(0).flatten(1).mean(1) for n in layers]).double().numpy()

    return step


# ---- the run ---------------------------------------------------------------------------------------------


def timed(work: Callable[..., np.ndarray], *arguments: object) -> tuple[np.ndarray, float]:
    """A result and the seconds it took."""
    begin = time.perf_counter()
    found = work(*arguments)
    return found, time.perf_counter() - begin


def error(found: np.ndarray, truth: np.ndarray) -> float:
    """Relative error of F."""
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def main() -> None:
    """Run and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    probe = load_bundled(torch.device("cpu"))
    pixels, labels = read_task(options.data, options.images)
    head = fit_regularised_head(probe.features(pixels), labels, len(CLASSES))
    truth = fisher_diagonal(probe, head, pixels, labels, DiagonalSettings(estimator="exact")).mean
    rounds = range(options.rounds)

    results = [timed(public, probe, pixels, labels, head, seed) for seed in rounds]
    aim = statistics.mean(error(f, truth) for f, _ in results)
    rows = [{"how": "public protocol", "images": PUBLIC_EPOCH, "error": aim, "seconds": [s for _, s in results]}]
    for precision in ("float32", "bfloat16"):
        sizes = [n for n in SIZES if n < len(labels)]
        for images, draws in [*((n, 1) for n in sizes), *((len(labels), n) for n in DRAWS)]:
            found = [diagonal(probe, head, pixels, labels, images, draws, seed, precision) for seed in rounds]
            reached = statistics.mean(error(f, truth) for f in found)
            if reached <= aim or images == len(labels):  # what all images with fewer draws take is told, too
                times = [timed(ours, probe, pixels, labels, images, draws, s, precision)[1] for s in rounds]
                rows.append({"how": f"ours, {precision}", "images": images * draws, "error": reached, "seconds": times})
            if reached <= aim:
                break
    base = statistics.median(rows[0]["seconds"])
    for row in rows:
        row["times faster"] = base / statistics.median(row["seconds"])
        print(
            f"{row['how']:<18} {row['images']:>6} draws  error {row['error']:.1%}  "
            f"{statistics.median(row['seconds']):7.2f} s  {row['times faster']:5.1f} times as fast",
            flush=True,
        )

    drawn = torch.multinomial(head.logits(probe.features(pixels)).softmax(1), 1, generator=torch.manual_seed(0))[:, 0]
    own = [timed(diagonal, probe, head, pixels, labels, len(labels), 1, s, "float32") for s in rounds]
    by_library: dict[str, np.ndarray] = {}
    beside = [{"how": "ours", "seconds": [t for _, t in own], "error": error(own[0][0], truth)}]
    for library in (BACKPACK, OPACUS, FUNC):
        try:
            runs = [timed(per_sample, library, probe, head, pixels, drawn) for _ in rounds]
            by_library[library] = runs[0][0]
            beside.append({"how": library, "seconds": [s for _, s in runs], "error": error(runs[0][0], truth)})
        except Exception as failure:  # whatever stops a library is the finding
            beside.append({"how": library, "cannot": f"{type(failure).__name__}: {failure}"[:200]})
    apart = {n: error(f, by_library[FUNC]) for n, f in by_library.items() if n != FUNC and FUNC in by_library}
    print("of the same labels, apart from torch.func by", apart, flush=True)
    for row in beside:
        shown = f"{statistics.median(row['seconds']):7.2f} s" if "seconds" in row else row["cannot"]
        print(f"one draw an image, {row['how']:<12} {shown}", flush=True)
    if options.out:
        facts = {"machine": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__, "seed": 0}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        kept = facts | {"images": len(labels), "protocol": rows, "one draw an image": beside, "apart": apart}
        options.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
