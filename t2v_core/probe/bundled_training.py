"""How the bundled probe is made: trained from scratch, then taught by a wider network and by its own former self."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from t2v_core.probe.bundled import SPEC, half
from t2v_core.probe.distillation import Distillation, TaughtCopies, distil
from t2v_core.probe.files import load_checked
from t2v_core.probe.network import ResNet20
from t2v_core.probe.probe import normalise
from t2v_core.probe.training import TrainingSettings, predict, train_classifier
from t2v_core.task.record import DecodedTask, Progress


@dataclass(frozen=True)
class Recipe:
    """What the bundled probe's training consists of, in order.

    Attributes:
        alone: from random weights, as ResNet-20 is usually trained, with random erasing.
        teacher: the same of a network with ``width`` times as many channels.
        width: see ``teacher``.
        taught: then the first network is taught by both, in several descents; see ``Distillation``.
        plain: the teachers' copies of the data whose images are not mixed; see ``TaughtCopies``.
    """

    alone: TrainingSettings
    teacher: TrainingSettings
    width: int
    taught: tuple[Distillation, ...]
    plain: int

    def varied(self, seed: int, epochs: int | None = None) -> Recipe:
        """The same with other random numbers, and at most so many epochs of each part."""

        def part(settings: TrainingSettings) -> TrainingSettings:
            return replace(settings, seed=settings.seed + seed, epochs=min(settings.epochs, epochs or settings.epochs))

        taught = tuple(replace(descent, training=part(descent.training)) for descent in self.taught)
        return replace(self, alone=part(self.alone), teacher=part(self.teacher), taught=taught)


_ALONE = TrainingSettings(epochs=200, learning_rate=0.1, warmup=0.05, erase=0.5)
_TAUGHT = TrainingSettings(epochs=60, learning_rate=0.05, warmup=1 / 120, erase=0.5, seed=1)
RECIPE = Recipe(
    alone=_ALONE,
    teacher=replace(_ALONE, epochs=60, seed=1),
    width=2,
    taught=(
        Distillation(_TAUGHT, tuple(range(12)), labels=0.1),
        Distillation(_TAUGHT, (*range(12, 20), *range(12))),
    ),
    plain=12,
)
"""Of the probe that ships."""


def train_bundled(
    train: DecodedTask,
    test: DecodedTask,
    recipe: Recipe,
    device: torch.device,
    folder: Path,
    parts: Path | None = None,
    report: Callable[[str, int, int, str], None] | None = None,
) -> dict[str, object]:
    """Train the bundled probe from scratch and write its weights and card.

    Args:
        train, test: CIFAR-10's two splits decoded at 32x32.
        recipe: the schedule; its seeds also seed the initial weights.
        device: where to train.
        folder: gets ``bundled.safetensors`` and ``bundled.json``.
        parts: a folder that keeps the network after each part of the recipe; a training that was cut off goes on from
            there. A part that was made from other images or by other settings is made anew.
        report: called after every epoch with the part, epochs done, their number and a note.

    Returns:
        The card: among others the test accuracy of the weights as saved, in float16, by the arithmetic of training
        and by that of the probe, float32.
    """
    labels, classes = train.task.labels, len(train.task.classes)
    images = normalise(train.pixels, SPEC, device)
    kept = _Parts(parts, train.content_hash, report)

    def from_scratch(part: str, width: int, settings: TrainingSettings) -> nn.Module:
        torch.manual_seed(settings.seed)
        network = ResNet20(classes, width).to(device)
        how = {"width": width, "training": asdict(settings)}
        return kept.made(part, network, how, lambda p: train_classifier(network, images, labels, settings, p))

    alone = from_scratch("alone", 1, recipe.alone)
    network = alone
    if recipe.taught:
        teacher = from_scratch("teacher", recipe.width, recipe.teacher)
        copies = TaughtCopies(images, (teacher, alone), recipe.taught[0].training, recipe.plain)
        network = copy.deepcopy(alone)
    for number, descent in enumerate(recipe.taught, 1):
        kept.made(f"taught-{number}", network, asdict(descent), partial(distil, network, copies, labels, descent))
    state = half(network)
    network.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
    unseen = normalise(test.pixels, SPEC, device)

    def accuracy(whole: bool) -> float:
        predicted = predict(network, unseen, whole=whole).argmax(1).cpu().numpy()
        return float(np.mean(predicted == test.task.labels))

    card: dict[str, object] = {
        "network": "ResNet-20",
        "parameters": sum(p.numel() for p in network.parameters()),
        "data": "CIFAR-10, 50,000 training images (Krizhevsky 2009)",
        "train_content_hash": train.content_hash,
        "classes": list(train.task.classes),
        "test_accuracy": accuracy(whole=False),
        "test_accuracy_float32": accuracy(whole=True),
        "settings": asdict(recipe),
        "transform": asdict(SPEC),
        "torch": torch.__version__,
        "license": "MIT",
    }
    save_file(state, folder / "bundled.safetensors", metadata={"format": "pt"})
    (folder / "bundled.json").write_text(json.dumps(card, indent=2) + "\n")
    return card


class _Parts:
    """Networks after each part of a training, kept in a folder where one is given.

    A part depends on those before it: its file says how it and they were made.
    """

    def __init__(
        self, folder: Path | None, content_hash: str, report: Callable[[str, int, int, str], None] | None
    ) -> None:
        self.folder, self.report = folder, report
        self.history: list[object] = [content_hash]
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def made(
        self, part: str, network: nn.Module, how: dict[str, object], train: Callable[[Progress], object]
    ) -> nn.Module:
        """``network`` after a part: read from its file if that was made the same way, else trained in place."""
        self.history.append({part: how})
        made = json.dumps(self.history, sort_keys=True)
        file = None if self.folder is None else self.folder / f"{part}.safetensors"
        if file is not None and file.exists():
            with safe_open(file, "pt") as kept:
                same = (kept.metadata() or {}).get("made") == made
            if same:
                load_checked(network, file)
                return network.eval()
        train(lambda *p: self.report(part, *p) if self.report else None)
        if file is not None:
            save_file({name: value.contiguous() for name, value in network.state_dict().items()}, file, {"made": made})
        return network
