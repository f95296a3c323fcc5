"""Handing an expert over: weights, perhaps a head, transform, a script that runs, and a model card, in one zip."""

from __future__ import annotations

import inspect
import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from t2v_core.experts.compare import Fitted
from t2v_core.experts.scripts import CLASSIFY, FEATURES
from t2v_core.probe import network as network_module
from t2v_core.probe.bundled import SPEC


def export_expert(
    weights: Path,
    fitted: Fitted | None,
    classes: tuple[str, ...],
    facts: dict[str, Any],
) -> bytes:
    """Pack an expert, with a head fitted on the person's own images where there is one.

    Args:
        weights: the expert's safetensors file.
        fitted: its head and how it did; None hands the expert over as it is.
        classes: K class names, in the head's order; none without a head.
        facts: what the model card tells: ``expert``, ``trained_on``, ``task``, ``images``, ``distance``,
            ``p_first``, ``selector``, ``created``.

    Returns:
        A zip: ``expert.safetensors``, ``config.json``, ``network.py``, ``README.md`` (the model card), and a script
        that runs as it is: ``classify.py`` beside ``head.safetensors``, or without a head ``features.py``.
    """
    config: dict[str, Any] = {"architecture": "SmallResNet", "transform": asdict(SPEC)}
    if fitted is not None:
        interval = [fitted.low, fitted.high]
        config["classes"] = list(classes)
        config["validation"] = {"accuracy": fitted.accuracy, "interval": interval, "n": fitted.n}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("expert.safetensors", weights.read_bytes())
        archive.writestr("config.json", json.dumps(config | facts, indent=2, ensure_ascii=False) + "\n")
        archive.writestr("network.py", inspect.getsource(network_module))
        archive.writestr("README.md", model_card(fitted, classes, facts))
        if fitted is None:
            archive.writestr("features.py", FEATURES)
        else:
            weight, bias = (np.ascontiguousarray(a) for a in (fitted.head.weight, fitted.head.bias))
            archive.writestr("head.safetensors", save({"fc.weight": weight, "fc.bias": bias}))
            archive.writestr("classify.py", CLASSIFY)
    return buffer.getvalue()


def model_card(fitted: Fitted | None, classes: tuple[str, ...], facts: dict[str, Any]) -> str:
    """The model card in Markdown: what it is, how it was chosen, how good it is, what it is not for."""
    listed = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    chosen = (
        f"Distance {facts['distance']:.4f} ({facts['selector']}); first in {facts['p_first']:.0%} of bootstrap rounds."
        if facts.get("distance") is not None
        else "Not chosen by distance: this is the network before any fine-tuning."
    )
    if fitted is None:
        what = f"offered for {facts['task']}"
        head = f"It was ranked on {facts['images']} images of **{facts['task']}**; no head was fitted on them."
        good = "Not measured on your images: that takes labels and a head. Its place in the ranking is all there is."
        use = """python features.py IMAGE [IMAGE ...]

`features.load_model()` returns an ordinary `torch.nn.Module`; `model.features(images)` gives 80 numbers an image, to
search, cluster or classify by. `load_model(num_classes)` brings an untrained classifier along, to start fine-tuning
from once you have labels."""
        limits = "It names no classes."
    else:
        what = f"with a head for {facts['task']}"
        head = (
            f"Its linear head was fitted on {facts['images']} images of **{facts['task']}** "
            f"({len(classes)} classes: {listed})."
        )
        good = f"""Accuracy of the linear head on images it was not fitted on: **{fitted.accuracy:.1%}**
(95 % interval {fitted.low:.1%} to {fitted.high:.1%}; {fitted.n} images, {fitted.how}).
The features were not fine-tuned on your images; doing so usually helps where there are many."""
        use = """python classify.py IMAGE [IMAGE ...]

`classify.load_model()` returns an ordinary `torch.nn.Module` to start fine-tuning from."""
        limits = "It always names one of the classes above, whatever it is shown."
    return f"""# {facts["expert"]}, {what}

A small residual network (0.29 million parameters, 32x32 input) fine-tuned on **{facts["trained_on"]}**.
{head}

## How it was chosen
{chosen}

## How good it is
{good}

## Use
    pip install torch safetensors pillow numpy
    {use}

## Limits
{limits} Images are reduced to 32x32 pixels. Nothing here was tested for use where mistakes can harm people.

## Provenance
Weights SHA-256 `{facts["weights_sha256"]}`. Created {facts["created"]} by t2v_core. The network was trained
from scratch on CIFAR-10 and then fine-tuned as described; check the licences of those data for your use.
"""
