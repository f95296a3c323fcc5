"""Loading probes by name: the bundled one, or any torchvision classifier with its published weights."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import torch
from torch import nn

from t2v_core.errors import InputError
from t2v_core.probe.bundled import load_bundled
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.probe.weights import RECOMMENDED, local_file, weights_folder
from t2v_core.task.record import InputSpec, Progress

CHUNK = 1 << 20


def load_probe(name: str, device: torch.device, progress: Progress | None = None) -> Probe:
    """Load a probe by its registry name.

    Args:
        name: ``"bundled"`` or a torchvision classification model.
        device: where to put it.
        progress: called while weights are downloaded.

    Raises:
        InputError: there is no such probe, or its weights can neither be found nor downloaded.
    """
    if name == "bundled":
        return load_bundled(device)
    weights = _weights(name)
    file = local_file(name, weights.url.rsplit("/", 1)[1]) or _download(weights.url, progress)
    import torchvision

    network = torchvision.models.get_model(name)
    _load_checked(network, file)
    preset = weights.transforms()
    spec = InputSpec(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    )
    classifier = _detach_classifier(network)
    return make_probe(
        name, f"torchvision {name} (ImageNet)", network, classifier, spec, f"{weights} from {weights.url}", device
    )


def _weights(name: str) -> Any:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(f"there is no probe {name!r}; choose 'bundled' or a torchvision model such as {RECOMMENDED!r}")
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
        _check_published_hash(part, target.name)
        part.replace(target)
    except (urllib.error.URLError, OSError) as error:
        raise InputError(
            f"the weights {target.name} are not on this machine and could not be downloaded ({error}); "
            f"put the file into {weights_folder()} or use the bundled probe"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _check_published_hash(file: Path, name: str) -> None:
    """Torchvision ends its file names with the first eight digits of the content's SHA-256."""
    expected = Path(name).stem.rsplit("-", 1)[-1]
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise InputError(f"{name} does not match the checksum in its name; delete the file and fetch it again")


def _load_checked(network: nn.Module, file: Path) -> None:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(file)
    else:
        _check_published_hash(file, file.name)
        state = torch.load(file, map_location="cpu", weights_only=True)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{file} does not hold this network's weights; replace or delete it") from error


def _detach_classifier(network: nn.Module) -> nn.Linear:
    """Replace the last linear layer by the identity, so that the network returns z; give the layer back."""
    name, classifier = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear)][-1]
    parent = network.get_submodule(name.rpartition(".")[0]) if "." in name else network
    setattr(parent, name.rpartition(".")[2], nn.Identity())
    return classifier
