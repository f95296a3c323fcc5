"""What it costs a small probe that its training images are stored as JPEG.

    python -m benchmarks.jpeg --data cifar100.zip [--seeds 2] [--out FILE]

The bundled architecture is trained twice on the same CIFAR-100 classes with the schedule of the bundled probe: once on
the images as they are, without loss, and once on the same images stored as JPEG of quality 75 with halved colour
resolution, as those that the bundled probe was trained on; each is tested on images stored the same way.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.distances import processor
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.network import ResNet20
from t2v_core.probe.probe import normalise
from t2v_core.probe.training import TrainingSettings, predict, train_classifier
from t2v_core.task.worlds.cifar100 import Pool, read_cifar100
from t2v_core.task.worlds.taxonomy import CLASSES

QUALITY, HALVED = 75, 2
"""Pillow's names for the quality and for 4:2:0, as read from the files of the bundled probe's training images."""


def as_jpeg(pixels: np.ndarray) -> np.ndarray:
    """Images ``[N, H, W, 3]`` as they come back from JPEG."""
    found = np.empty_like(pixels)
    for i, image in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=QUALITY, subsampling=HALVED)
        with Image.open(file) as back:
            found[i] = np.asarray(back)
    return found


def some_classes(pool: Pool, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of some of the classes."""
    number = {CLASSES.index(name): k for k, name in enumerate(classes)}
    rows = np.flatnonzero(np.isin(pool.labels, list(number)))
    return pool.pixels[rows], np.array([number[label] for label in pool.labels[rows].tolist()])


def accuracy(train: tuple, test: tuple, settings: TrainingSettings) -> float:
    """Test accuracy in % of the bundled architecture trained from scratch."""
    device = torch.device("cpu")
    torch.manual_seed(settings.seed)
    network = ResNet20(len(np.unique(train[1])))
    train_classifier(network, normalise(train[0], SPEC, device), train[1], settings)
    return 100 * float((predict(network, normalise(test[0], SPEC, device)).argmax(1).numpy() == test[1]).mean())


def main() -> None:
    """Train, print, keep JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--classes", type=int, default=10, help="every (100 / n)-th of the 100 classes")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=TrainingSettings.epochs)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    data = read_cifar100(options.data)
    classes = sorted(CLASSES)[:: 100 // options.classes]
    train, test = some_classes(data.large, classes), some_classes(data.small, classes)
    stored = (as_jpeg(train[0]), train[1]), (as_jpeg(test[0]), test[1])
    settings = TrainingSettings(epochs=options.epochs)
    begin, rows = time.perf_counter(), []
    for seed in range(options.seeds):
        with_seed = replace(settings, seed=seed)
        rows.append({"seed": seed, "lossless": accuracy(train, test, with_seed), "jpeg": accuracy(*stored, with_seed)})
        print(rows[-1], flush=True)
    result = {
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "command": f"python -m benchmarks.jpeg --classes {options.classes} --seeds {options.seeds}",
        "classes": classes,
        "training_images": len(train[1]),
        "test_images": len(test[1]),
        "settings": asdict(settings),
        "seconds": round(time.perf_counter() - begin),
        "rows": rows,
        "lossless": float(np.mean([r["lossless"] for r in rows])),
        "jpeg": float(np.mean([r["jpeg"] for r in rows])),
    }
    print(f"lossless {result['lossless']:.1f} %, JPEG {result['jpeg']:.1f} %")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
