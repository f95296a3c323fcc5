"""What the Task Tangent Kernel and PseudoTask cost, and how often the kernel finds a task's twin.

    python -m benchmarks.tangent [--networks 100] [--resnet18 3] [--device cpu] [--threads 2] [--out FILE]
    python -m benchmarks.tangent --data cifar100.zip [--networks 12]

Without ``--data``: seconds on the wall for a task of 500 random images, one network after the other and several
stacked into one call; the kernel of 1,000 tasks; and PseudoTask with the bundled probe. With it: the rank of a
superclass's twin (same classes, other images) among the 20 superclasses of CIFAR-100, by the number of networks, and
the error of the sketched cosines, averaged over disjoint sets of networks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.distances import processor
from t2v_core.embedding.batches import balanced_batch
from t2v_core.embedding.pseudotask import embed_pseudotask
from t2v_core.embedding.tangent import KEPT, TangentSettings, embed_tangent, embed_tangents
from t2v_core.embedding.tangent_kernel import cosines, gradients, tangent_kernel, unit
from t2v_core.fisher.mcr2 import mcr2_loss
from t2v_core.probe.bundled import load_bundled
from t2v_core.probe.probe import normalise
from t2v_core.probe.random_networks import SPECS, Architecture, random_network
from t2v_core.task.record import DecodedTask, Task
from t2v_core.task.sources import ArraySource
from t2v_core.task.worlds import WorldTask
from t2v_core.task.worlds.cifar100 import read_cifar100
from t2v_core.task.worlds.photographs import tasks as photographs

IMAGES, CLASSES, STACKED = 500, 5, 8


def random_task(architecture: Architecture) -> DecodedTask:
    """A task of random pixels: what a task looks like does not change the work."""
    side = SPECS[architecture].crop
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    names = tuple(f"{i}.png" for i in range(IMAGES))
    index = np.arange(IMAGES)
    task = Task(
        "random", tuple("abcde"), ArraySource(pixels, names), index, index % CLASSES, np.zeros(IMAGES, dtype=bool)
    )
    return DecodedTask(task, pixels, names)


def cost(networks: int, resnets: int, device: torch.device) -> dict[str, float]:
    """Seconds."""
    small = random_task("small")
    found = {
        f"TTK, {networks} small networks": embed_tangent(
            small, TangentSettings("small", networks), device=device
        ).seconds,
        f"TTK, {networks} small networks, four batches each": embed_tangent(
            small, TangentSettings("small", networks, batches=4), device=device
        ).seconds,
        f"TTK, the {KEPT.networks} small networks of a bank": embed_tangent(small, KEPT, device=device).seconds,
        "TTK, a small network, one after the other": embed_tangent(
            small, TangentSettings("small", STACKED), device=device
        ).seconds
        / STACKED,
        f"TTK, a small network, {STACKED} stacked by vmap": stacked_seconds(small, device) / STACKED,
    }
    if resnets:
        settings = TangentSettings("resnet18", resnets)
        found["TTK, a ResNet-18 at 224"] = (
            embed_tangent(random_task("resnet18"), settings, device=device).seconds / resnets
        )
    found["PseudoTask, bundled probe"] = embed_pseudotask(small, load_bundled(device)).seconds
    rng = np.random.default_rng(0)
    bank = unit(rng.normal(size=(1000, 100, 1024)).astype(np.float32))
    found["kernel: GB of 1,000 tasks x 100 networks"] = bank.nbytes / 1e9
    for name, part in (("a new task to 1,000", bank[:1]), ("all pairs of 1,000", bank)):
        begin = time.perf_counter()
        tangent_kernel(part, bank)
        found[f"kernel: {name}"] = time.perf_counter() - begin
    return found


def stacked_seconds(task: DecodedTask, device: torch.device) -> float:
    """The same gradients with the networks' weights stacked and one call for all."""
    networks = [random_network("small", 0, number, device) for number in range(STACKED)]
    trunk, block = networks[0].trunk, networks[0].block
    weights = [stack_module_state([getattr(n, part) for n in networks])[0] for part in ("trunk", "block")]

    def one(trunk_weights: dict, block_weights: dict, images: torch.Tensor, labels: torch.Tensor) -> dict:
        entered = functional_call(trunk, trunk_weights, (images,))
        return grad(lambda w: mcr2_loss(functional_call(block, w, (entered,)).mean((2, 3)), labels))(block_weights)

    begin = time.perf_counter()
    drawn = [balanced_batch(task.task.labels, 128, np.random.default_rng(n)) for n in range(STACKED)]
    images = torch.stack([normalise(task.pixels[rows], SPECS["small"], device) for rows in drawn])
    labels = torch.from_numpy(np.stack([task.task.labels[rows] for rows in drawn])).to(device)
    vmap(one)(*weights, images, labels)["conv1.weight"].detach().cpu()  # waits for the device
    return time.perf_counter() - begin


def twin_ranks(similarity: np.ndarray) -> tuple[float, float, float]:
    """Share of the twins (the diagonal) that come first, and among the first three, and their mean rank."""
    rank = 1 + (similarity > np.diag(similarity)[:, None]).sum(1)
    return float((rank == 1).mean()), float((rank <= 3).mean()), float(rank.mean())


def twins(data: Path, networks: int, device: torch.device) -> dict[str, object]:
    """Ranks of the twins, and the error of the sketch."""
    worlds = {t.id: t for t in photographs(read_cifar100(data), 0)}
    small = [t for t in worlds.values() if t.kind == "twin"]
    large = [worlds[f"a{t.id[1:]}"] for t in small]
    settings = TangentSettings("small", networks)
    found: dict[str, object] = {}
    for dimension in (256, 1024, 4096):
        embedded = gradients(embed_all([*small, *large], replace(settings, dimension=dimension), device))
        each = np.stack(list(cosines(embedded[: len(small)], embedded[len(small) :])))
        for count in (n for n in (1, 4, 12, 24, 48, 100) if n <= networks):
            sets = [twin_ranks(each[k : k + count].mean(0)) for k in range(0, networks - count + 1, count)]
            found[f"P {dimension:,}: {count} networks, first / first three / mean rank"] = np.mean(sets, 0).tolist()
        if dimension == 256:
            exact = whole_cosines(small, large, device)
        found[f"P {dimension:,}: error of a cosine, network 0"] = float(np.sqrt(np.mean((each[0] - exact) ** 2)))
    return found


def embed_all(tasks: list[WorldTask], settings: TangentSettings, device: torch.device) -> list:
    """Their embeddings."""
    return embed_tangents([t.decoded for t in tasks], settings, device=device)


def whole_cosines(small: list[WorldTask], large: list[WorldTask], device: torch.device) -> np.ndarray:
    """Network 0's cosines from the whole gradients, on the images that ``embed_tangents`` draws."""
    network = random_network("small", 0, 0, device)
    found = []
    for decoded in (t.decoded for t in [*small, *large]):
        rows = np.flatnonzero(~decoded.task.held_out)
        rows = rows[balanced_batch(decoded.task.labels[rows], 128, np.random.default_rng([0, 0, 3, 0]))]
        features = network.features(normalise(decoded.pixels[rows], SPECS["small"], device))
        loss = mcr2_loss(features, torch.from_numpy(decoded.task.labels[rows]).to(device))
        parts = torch.autograd.grad(loss, list(network.block.parameters()))
        found.append(torch.cat([g.flatten() for g in parts]).cpu().numpy())
    whole = np.stack(found)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    return whole[: len(small)] @ whole[len(small) :].T


def main() -> None:
    """Measure and print; write JSON with the machine named where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--resnet18", type=int, default=0, help="how many ResNet-18 to time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    before = os.getloadavg()[0]
    if options.data:
        results = twins(options.data, options.networks, device)
    else:
        results = dict(cost(options.networks, options.resnet18, device))
    for name, value in results.items():
        print(f"{name:<64} {np.round(value, 4)}")
    record = {
        "machine": f"{processor()}, {os.cpu_count()} cores, {options.threads} threads, {device}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "load_average_before_and_after": [round(before, 2), round(os.getloadavg()[0], 2)],
        "results": results,
    }
    print(record["machine"], record["versions"], "load", record["load_average_before_and_after"])
    if options.out:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
