"""timm's classifiers as probes, where timm is installed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from t2v_core.errors import InputError
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
    try:
        import timm
    except ImportError as error:
        raise InputError(f"probe {name!r} needs timm; run `pip install timm`, or use the bundled probe") from error
    model = name.removeprefix("timm/")
    if not timm.is_model(model):
        raise InputError(f"timm knows no model {model!r}; `timm.list_models(pretrained=True)` names them")
    file = weights_folder() / f"timm_{model}.safetensors"
    if file.is_file():
        network: Any = timm.create_model(model, pretrained=False)
        load_checked(network, file)
    else:
        network = _download(timm, model, file)
    config = timm.data.resolve_model_data_config(network)
    size = config["input_size"][1]
    spec = InputSpec(
        resize=math.floor(size / config["crop_pct"]),
        crop=size,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
    )
    classifier = network.get_classifier()
    network.reset_classifier(0)
    provenance = f"timm {timm.__version__}, {network.pretrained_cfg.get('hf_hub_id') or model}"
    linear = classifier if isinstance(classifier, nn.Linear) else None
    return make_probe(name, f"timm {model}", network, linear, spec, provenance, device, layers)


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
