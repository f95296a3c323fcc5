"""Where published weights lie on this machine, and which probe that makes the best choice. No torch needed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from t2v_core.probe.record import BUNDLED

RECOMMENDED = "resnet34"

PUBLISHED = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-11ad3fa6.pth",
    "densenet121": "densenet121-a639ec97.pth",
    "vgg13_bn": "vgg13_bn-abd245e5.pth",
    "efficientnet_b0": "efficientnet_b0_rwightman-7f5810bc.pth",
}
"""torchvision's file names of the probes offered by name; any other classifier with convolutions loads too."""


PLACES = "places365/"
"""Before the name of a torchvision architecture: its weights trained on Places365 (Zhou et al. 2017), 365 scenes."""
PLACES_NAMED = ("resnet18", "resnet50")
"""Those its authors publish that are offered by name."""


@dataclass(frozen=True)
class ProbeStatus:
    """A probe and the state of its weights.

    Attributes:
        id: registry name.
        title: name for people.
        ready: whether it can be used without a download.
        note: one sentence on its state.
    """

    id: str
    title: str
    ready: bool
    note: str


def weights_folder() -> Path:
    """The local weights folder: ``T2V_WEIGHTS``, else ``~/.cache/t2v/weights``."""
    return Path(os.environ.get("T2V_WEIGHTS", Path.home() / ".cache" / "t2v" / "weights"))


def local_file(name: str, published: str) -> Path | None:
    """A model's weights on this machine: in the local folder, as safetensors or as published, or in torch's cache.

    Args:
        name: model name; ``<name>.safetensors`` in the local folder comes first.
        published: torchvision's file name.
    """
    torch_home = Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch"))
    folder = weights_folder()
    places = (folder / f"{name}.safetensors", folder / published, torch_home / "hub" / "checkpoints" / published)
    return next((place for place in places if place.is_file()), None)


def places_file(model: str) -> tuple[Path | None, str]:
    """Weights of an architecture trained on Places365 on this machine, and the name they are published under."""
    published = f"{model}_places365.pth.tar"
    return local_file(f"{model}_places365", published), published


def statuses() -> list[ProbeStatus]:
    """The bundled probe and the named torchvision ones, trained on ImageNet and on Places365."""
    found = [ProbeStatus(BUNDLED, "Bundled ResNet-20 (CIFAR-10)", True, "ships with the program")]
    for name, published in PUBLISHED.items():
        file = local_file(name, published)
        note = f"weights at {file}" if file else f"downloaded on first use, or put {published} into {weights_folder()}"
        found.append(ProbeStatus(name, f"torchvision {name} (ImageNet)", file is not None, note))
    for name in PLACES_NAMED:
        file, published = places_file(name)
        note = f"weights at {file}" if file else f"put {published} into {weights_folder()}"
        found.append(ProbeStatus(PLACES + name, f"torchvision {name} (Places365)", file is not None, note))
    return found


def preferred() -> tuple[str, str]:
    """The probe for a new bank, and why: ResNet-34 where its weights are at hand, else the bundled one."""
    file = local_file(RECOMMENDED, PUBLISHED[RECOMMENDED])
    if file:
        return RECOMMENDED, f"ResNet-34 with ImageNet weights is the recommended probe and its weights are at {file}."
    return BUNDLED, (
        "ResNet-34's ImageNet weights, the recommended probe, are not on this machine; "
        f"`--probe {RECOMMENDED}` downloads them, or put {PUBLISHED[RECOMMENDED]} into {weights_folder()}."
    )
