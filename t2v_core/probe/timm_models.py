"""timm's classifiers as probes, where timm is installed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from t2v_core.errors import InputError
from t2v_core.probe.blank import BlankNetwork
from t2v_core.probe.files import load_checked
from t2v_core.probe.layers import LayerChoice
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.probe.weights import weights_folder
from t2v_core.task.record import InputSpec


def load_timm(name: str, device: torch.device, layers: LayerChoice = "all") -> Probe:
    """Load ``"timm/<model>"`` from the local weights folder, or through timm's own download.

    The local file is ``timm_<model>.safetensors``. The transform is the one timm publishes with the weights.

    Raises:
        InputError: timm is not installed or knows no such model, or the weights cannot be had.
    """
    timm, model = _timm(name)
    file = weights_folder() / f"timm_{model}.safetensors"
    if file.is_file():
        blank = blank_timm(name)
        load_checked(blank.network, file)
    else:
        blank = _blank(timm, _download(timm, model, file))
    source: Any = blank.network.pretrained_cfg
    provenance = f"timm {timm.__version__}, {source.get('hf_hub_id') or model}"
    network, classifier = blank.detach()
    return make_probe(name, f"timm {model}", network, classifier, blank.spec, provenance, device, layers)


def blank_timm(name: str) -> BlankNetwork:
    """The network of ``"timm/<model>"``, with weights still to come.

    Raises:
        InputError: timm is not installed or knows no such model, or it takes no squares.
    """
    timm, model = _timm(name)
    return _blank(timm, timm.create_model(model, pretrained=False))


def _timm(name: str) -> tuple[Any, str]:
    """Timm itself, and the name of one of its models."""
    try:
        import timm
    except ImportError as error:
        raise InputError(f"probe {name!r} needs timm; run `pip install timm`, or use the bundled probe") from error
    model = name.removeprefix("timm/")
    if not timm.is_model(model):
        raise InputError(f"timm knows no model {model!r}; `timm.list_models(pretrained=True)` names them")
    return timm, model


def _blank(timm: Any, network: Any) -> BlankNetwork:
    config = timm.data.resolve_model_data_config(network)
    _, size, width = config["input_size"]
    if size != width or config["crop_mode"] not in ("center", "squash"):
        raise InputError(
            f"this timm model wants images of {size}x{width} pixels, cropped by {config['crop_mode']!r}; only squares, "
            "cut out of the centre or squashed, can be made; choose another model"
        )
    spec = InputSpec(
        resize=math.floor(size / config["crop_pct"]),
        crop=size,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        squash=config["crop_mode"] == "squash",
    )
    return BlankNetwork(network, spec, lambda: (network, _detach_classifier(network)))


def _detach_classifier(network: Any) -> nn.Linear | None:
    classifier = network.get_classifier()
    network.reset_classifier(0)
    return classifier if isinstance(classifier, nn.Linear) else None


def _download(timm: Any, model: str, file: Path) -> Any:
    try:
        return timm.create_model(model, pretrained=True)
    # huggingface_hub, urllib and timm each raise their own kind of error when there is no network.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"timm's weights for {model!r} are not on this machine and could not be downloaded ({reason}); "
            f"put them as {file.name} into {file.parent} or use the bundled probe"
        ) from error
