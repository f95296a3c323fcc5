"""Loading probes by name: the bundled one, or any torchvision or timm classifier with its published weights.

Places365's weights are published on torchvision's architectures, but without a checksum in their name and by http
alone: they are read from a file that a person has put there, never fetched.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from t2v_core.errors import InputError
from t2v_core.probe.blank import BlankNetwork
from t2v_core.probe.bundled import RESNET20, blank_bundled, load_bundled
from t2v_core.probe.files import check_published_hash, load_checked
from t2v_core.probe.layers import LayerChoice
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.probe.record import BUNDLED
from t2v_core.probe.timm_models import blank_timm, load_timm
from t2v_core.probe.weights import PLACES, RECOMMENDED, local_file, places_file, weights_folder
from t2v_core.task.record import InputSpec, Progress

CHUNK = 1 << 20
SCENES = 365
INCEPTIONS, AUXILIARY = ("googlenet", "inception_v3"), ("aux1.", "aux2.", "AuxLogits.")
"""Networks with classifiers halfway, and how the names of those begin."""


def load_probe(name: str, device: torch.device, progress: Progress | None = None) -> Probe:
    """Load a probe by its registry name.

    Args:
        name: ``"bundled"``, a torchvision classification model, ``"places365/<torchvision model>"`` or
            ``"timm/<model>"``; with ``":last"`` after it only the last stage's filters embed.
        device: where to put it.
        progress: called while weights are downloaded.

    Raises:
        InputError: there is no such probe, or its weights can neither be found nor downloaded.
    """
    base, _, choice = name.partition(":")
    if choice not in ("", "last"):
        raise InputError(f"{choice!r} is no choice of layers; use {base!r} for all, or '{base}:last'")
    layers: LayerChoice = "last" if choice else "all"
    if base in (BUNDLED, RESNET20):
        return load_bundled(device, layers=layers)
    if base.startswith("timm/"):
        return load_timm(base, device, layers)
    if base.startswith(PLACES):
        return _load_places(base, device, layers)
    return _load_torchvision(base, device, layers, progress)


def blank_network(name: str) -> BlankNetwork:
    """A network of an architecture, with weights still to come.

    Args:
        name: as for ``load_probe``, without a choice of layers.

    Raises:
        InputError: there is no such architecture.
    """
    if name in (BUNDLED, RESNET20):
        return blank_bundled()
    if name.startswith("timm/"):
        return blank_timm(name)
    return _blank_places(name) if name.startswith(PLACES) else _blank_torchvision(name)


def _blank_torchvision(name: str, **options: Any) -> BlankNetwork:
    import torchvision

    preset = _weights(name).transforms()
    spec = InputSpec(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    )
    network = torchvision.models.get_model(name, **torchvision_options(name), **options)
    unused = AUXILIARY if name in INCEPTIONS else ()
    return BlankNetwork(network, spec, lambda: (network, _detach_classifier(network)), unused)


def torchvision_options(name: str) -> dict[str, Any]:
    """What a torchvision model has to be made with to be the network that its published weights belong to."""
    if name in INCEPTIONS:  # whose other classifiers serve training alone, and would give it a tuple
        return {"transform_input": True, "aux_logits": False, "init_weights": False}
    if name.startswith("vit_"):
        return {"image_size": _weights(name).meta["min_size"][0]}
    return {}


def _load_torchvision(name: str, device: torch.device, layers: LayerChoice, progress: Progress | None) -> Probe:
    weights = _weights(name)
    file = local_file(name, weights.url.rsplit("/", 1)[1]) or _download(weights.url, progress)
    blank = _blank_torchvision(name)
    load_checked(blank.network, file, unused=blank.unused)
    network, classifier = blank.detach()
    title, provenance = f"torchvision {name} (ImageNet)", f"{weights} from {weights.url}"
    return make_probe(name, title, network, classifier, blank.spec, provenance, device, layers)


def _blank_places(name: str) -> BlankNetwork:
    blank = _blank_torchvision(name.removeprefix(PLACES), num_classes=SCENES)
    # As its authors test: torchvision's newer weights of an architecture came with another size.
    return replace(blank, spec=replace(blank.spec, resize=256, crop=224))


def _load_places(name: str, device: torch.device, layers: LayerChoice) -> Probe:
    model = name.removeprefix(PLACES)
    blank = _blank_places(name)
    file, published = places_file(model)
    if file is None:
        raise InputError(
            f"Places365's weights of {model!r} are not on this machine; put {published}, from its authors, into "
            f"{weights_folder()}, or use the bundled probe"
        )
    load_checked(blank.network, file, hashed=False)
    network, classifier = blank.detach()
    title, provenance = f"torchvision {model} (Places365)", f"Places365 (Zhou et al. 2017), {published}"
    return make_probe(name, title, network, classifier, blank.spec, provenance, device, layers)


def _weights(name: str) -> Any:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(
            f"there is no probe {name!r}; choose 'bundled', a torchvision model such as {RECOMMENDED!r}, "
            "or one of timm's as 'timm/<model>'"
        )
    return torchvision.models.get_model_weights(name).DEFAULT


def _download(url: str, progress: Progress | None) -> Path:
    """Fetch published weights into the local folder, verified against the hash in their name."""
    target = weights_folder() / url.rsplit("/", 1)[1]
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with urllib.request.urlopen(url, timeout=20) as response, part.open("wb") as out:
            total = int(response.headers.get("Content-Length", 0))
            done = 0
            while block := response.read(CHUNK):
                out.write(block)
                done += len(block)
                if progress is not None:
                    progress(done, max(total, done), f"downloading {target.name}")
        check_published_hash(part, target.name)
        part.replace(target)
    except (urllib.error.URLError, OSError) as error:
        raise InputError(
            f"the weights {target.name} are not on this machine and could not be downloaded ({error}); "
            f"put the file into {weights_folder()} or use the bundled probe"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _detach_classifier(network: nn.Module) -> nn.Linear | None:
    """Replace the last linear layer by the identity, so that the network returns z; give the layer back.

    A network without one (SqueezeNet) classifies by its last convolution: z is then what that would have seen, and
    no linear layer on z stands for the classifier.
    """
    modules = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    name, classifier = ([found for found in modules if isinstance(found[1], nn.Linear)] or modules)[-1]
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, nn.Identity())
    return classifier if isinstance(classifier, nn.Linear) else None
