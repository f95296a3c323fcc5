"""From JPEG files to the embedding: images a second of every stage, and its share of the whole.

    python -m benchmarks.end_to_end [--images 500] [--network resnet34] [--precision bfloat16] [--draws N] [--batch 32]
        [--rounds 3] [--device cuda] [--out FILE]

The stages are those of ``embed``: decoding and cropping the files of a zip, a forward pass for the features, the head,
the Fisher pass. Draws an image are by default those of the product for so many images. Weights are random: they do not
change the work. A first round on few images, which chooses and compiles kernels, is not counted; given is the median
round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.distances import processor
from benchmarks.fisher import SPEC, build, wait
from benchmarks.journey import photographs
from t2v_core.embedding.task2vec import Task2VecSettings
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.heads import fit_regularised_head
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.task.decoding import decode
from t2v_core.task.reading import scan
from t2v_core.task.record import Task

STAGES = ("decode", "forward", "head", "Fisher")
FEW = 64
"""Images of the round that is not counted."""


def stages(task: Task, probe: Probe, settings: DiagonalSettings) -> dict[str, float]:
    """Seconds of every stage for one task."""
    ends = [time.perf_counter()]

    def ended() -> None:
        wait(probe.device)
        ends.append(time.perf_counter())

    decoded = decode(task, probe.info.spec)
    ended()
    features = probe.features(decoded.pixels)
    ended()
    head = fit_regularised_head(features, task.labels, len(task.classes))
    ended()
    fisher_diagonal(probe, head, decoded.pixels, task.labels, settings)
    ended()
    return dict(zip(STAGES, np.diff(ends).tolist(), strict=True))


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--network", default="resnet34")
    parser.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--draws", type=int)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    probe = make_probe(options.network, options.network, build(options.network), None, SPEC, "random weights", device)
    usual = Task2VecSettings.for_probe(options.network, None, precision=options.precision)
    settings = usual.diagonal(options.images, options.batch)
    if options.draws is not None:
        settings = replace(settings, draws=options.draws)
    with tempfile.TemporaryDirectory() as place:
        (task,) = scan(photographs(Path(place) / "photographs.zip", options.images)).tasks
        stages(task.take(np.arange(min(FEW, options.images))), probe, settings)
        rounds = [stages(task, probe, settings) for _ in range(options.rounds)]
    whole = statistics.median(sum(r.values()) for r in rounds)
    found = {name: statistics.median(r[name] for r in rounds) for name in STAGES}
    facts = {
        "machine": torch.cuda.get_device_name() if device.type == "cuda" else processor(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "network": options.network,
        "images": options.images,
        "estimator": settings.estimator,
        "draws an image": settings.draws,
        "precision of the Fisher pass": settings.precision,
        "batch": options.batch,
        "seconds": whole,
        "images a second": options.images / whole,
        "stages": {
            name: {"seconds": s, "images a second": options.images / s, "share": s / sum(found.values())}
            for name, s in found.items()
        },
        "rounds": rounds,
    }
    print(json.dumps(facts, indent=1))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
