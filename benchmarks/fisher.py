"""What the per-sample Fisher pass costs beside an ordinary training step, for many networks.

    python -m benchmarks.fisher [--networks resnet34,...] [--batch 16] [--rounds 5] [--out FILE]

Both are timed in turn in one run, on the same images, type and device: a training step is a forward and
a backward pass with weight gradients; the Fisher pass is one Monte Carlo draw for every sample, every
filter of the network. The ratio is what counts: the machine may be busy. Weights are random: they do not
change the work. Beside it, the peak of the memory taken over the training step's.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn

from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.heads import Head
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.task.record import InputSpec

NETWORKS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "vgg13",
    "densenet121",
    "efficientnet_b0",
    "convnext_tiny",
    "timm/vit_small_patch16_224",
    "swin_t",
)
CLASSES = 20
SPEC = InputSpec(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def build(name: str) -> nn.Module:
    """A network with random weights; torchvision's end in a linear layer of 512, which is measured along."""
    torch.manual_seed(0)
    if name.startswith("timm/"):
        import timm

        return timm.create_model(name.removeprefix("timm/"), pretrained=False, num_classes=0)
    return torchvision.models.get_model(name, num_classes=512)


def wait(device: torch.device) -> None:
    """Let the device finish, so that a clock means something."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call."""
    gc.collect()
    wait(device)
    begin = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - begin


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Peak of the device's allocations by torch during one call, above what was there before."""
    wait(device)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        wait(device)
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    # On a CPU torch keeps no peak; its profiler tells of every block taken and given back.
    blocks = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    return max(accumulate(e.nbytes() for e in sorted(blocks, key=lambda e: e.start_ns())))


def compare(name: str, batch: int, rounds: int, device: torch.device) -> dict[str, object]:
    """Time both for one network."""
    probe = make_probe(name, name, build(name), None, SPEC, "random weights", device)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (batch, 224, 224, 3), dtype=np.uint8)
    labels = np.arange(batch) % CLASSES
    weight = rng.normal(size=(CLASSES, probe.info.feature_dim)) / probe.info.feature_dim**0.5
    head = Head(weight.astype(np.float32), np.zeros(CLASSES, np.float32), 0, 0, 0)

    def train() -> None:
        step(probe, head, pixels, labels)

    def fisher() -> None:
        fisher_diagonal(probe, head, pixels, labels, DiagonalSettings(batch_size=batch, chunks=1))

    train(), fisher()
    times: dict[str, list[float]] = {"train": [], "fisher": []}
    for _ in range(rounds):
        times["train"].append(seconds(train, device))
        times["fisher"].append(seconds(fisher, device))
    ratios = [f / t for f, t in zip(times["fisher"], times["train"], strict=True)]
    memory = {"train": peak_bytes(train, device), "fisher": peak_bytes(fisher, device)}
    return {
        "network": name,
        "filters": probe.info.dimension,
        "train_s": statistics.median(times["train"]),
        "fisher_s": statistics.median(times["fisher"]),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "train_peak_mib": memory["train"] / 2**20,
        "fisher_peak_mib": memory["fisher"] / 2**20,
        "memory_ratio": memory["fisher"] / memory["train"],
    }


def step(probe: Probe, head: Head, pixels: np.ndarray, labels: np.ndarray) -> None:
    """An ordinary training step without the optimiser: forward, backward, every weight's gradient.

    The network stays in eval mode, as for the Fisher pass: statistics of the batch are no part of the comparison.
    """
    probe.network.requires_grad_(True)
    try:
        logits = head.logits(probe.network(probe.normalise(pixels)).float())
        nn.functional.cross_entropy(logits, torch.from_numpy(labels).to(logits.device)).backward()
    finally:
        probe.network.zero_grad(set_to_none=True)
        probe.network.requires_grad_(False)


def main() -> None:
    """Run and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    rows = []
    for name in options.networks.split(","):
        rows.append(compare(name, options.batch, options.rounds, device))
        row = rows[-1]
        print(
            f"{name:<28} train {row['train_s']:7.3f} s  fisher {row['fisher_s']:7.3f} s  x{row['ratio']:.2f}"
            f"  memory x{row['memory_ratio']:.2f}",
            flush=True,
        )
    if options.out:
        machine = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
        facts = {
            "machine": machine,
            "device": str(device),
            "load": os.getloadavg(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "seed": 0,
        }
        settings = {"batch": options.batch, "rounds": options.rounds, "size": 224}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**facts, **settings, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
