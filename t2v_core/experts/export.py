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
from safetensors.numpy import load, save

from t2v_core.bank.records import ExpertRecord
from t2v_core.experts.compare import Fitted
from t2v_core.experts.scripts import CLASSIFY, FEATURES, SMALL, TIMM, TORCHVISION
from t2v_core.experts.weights import spec_of
from t2v_core.probe import attention as attention_module
from t2v_core.probe import network as network_module
from t2v_core.probe.bundled import RESNET20
from t2v_core.probe.registry import torchvision_options
from t2v_core.probe.weights import PLACES


def export_expert(
    expert: ExpertRecord,
    folder: Path,
    fitted: Fitted | None,
    classes: tuple[str, ...],
    facts: dict[str, Any],
) -> bytes:
    """Pack an expert, with a head fitted on the person's own images where there is one.

    Args:
        expert: its record.
        folder: the bank's weights.
        fitted: its head and how it did; None hands the expert over as it is.
        classes: K class names, in the head's order; none without a head.
        facts: what the model card tells: ``expert``, ``trained_on``, ``task``, ``images``, ``distance``,
            ``p_first``, ``selector``, ``created``; ``advice`` where heads were compared, ``tuned`` where it was
            fine-tuned on these very images.

    Returns:
        A zip: ``expert.safetensors``, ``config.json``, ``network.py``, ``README.md`` (the model card),
        ``requirements.txt``, and a script that runs as it is: ``classify.py`` beside ``head.safetensors``, or without
        a head ``features.py``.
    """
    config: dict[str, Any] = {"architecture": expert.architecture, "transform": asdict(spec_of(expert))}
    weights = (folder / expert.weights_file).read_bytes()
    modules, needed = _architecture(expert.architecture)
    if fitted is not None:
        interval = [fitted.low, fitted.high]
        config["classes"] = list(classes)
        measured = {"accuracy": fitted.accuracy, "interval": interval, "n": fitted.n}
        config["validation"] = measured if fitted.n else None
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("expert.safetensors", weights)
        archive.writestr("config.json", json.dumps(config | facts, indent=2, ensure_ascii=False) + "\n")
        for name, source in modules.items():
            archive.writestr(name, source)
        archive.writestr(
            "requirements.txt", "\n".join(["torch", "safetensors", "pillow>=11.0", "numpy", *needed]) + "\n"
        )
        facts = facts | {"parameters": sum(v.size for v in load(weights).values())}
        archive.writestr("README.md", model_card(expert, fitted, classes, facts))
        if fitted is None:
            archive.writestr("features.py", FEATURES)
        else:
            weight, bias = (np.ascontiguousarray(a) for a in (fitted.head.weight, fitted.head.bias))
            archive.writestr("head.safetensors", save({"fc.weight": weight, "fc.bias": bias}))
            archive.writestr("classify.py", CLASSIFY)
    return buffer.getvalue()


def _architecture(name: str) -> tuple[dict[str, str], list[str]]:
    """The modules that build an architecture, by file name, and what has to be installed for them."""
    if name == RESNET20:
        return {"network.py": inspect.getsource(network_module) + SMALL}, []
    attention = {"attention.py": inspect.getsource(attention_module)}
    if name.startswith("timm/"):
        return attention | {"network.py": TIMM.format(model=name.removeprefix("timm/"))}, ["timm"]
    model = name.removeprefix(PLACES)
    options = "".join(f", {option}={value!r}" for option, value in torchvision_options(model).items())
    return attention | {"network.py": TORCHVISION.format(model=model, options=options)}, ["torchvision"]


def model_card(expert: ExpertRecord, fitted: Fitted | None, classes: tuple[str, ...], facts: dict[str, Any]) -> str:
    """The model card in Markdown: what it is, how it was chosen, how good it is, what it is not for."""
    listed = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    chosen = (
        f"Distance {facts['distance']:.4f} ({facts['selector']}); first in {facts['p_first']:.0%} of bootstrap rounds."
        if facts.get("distance") is not None
        else "Not chosen by distance: this is the network before any fine-tuning."
    )
    if facts.get("advice"):
        chosen += f" {facts['advice']}"
    if facts.get("tuned"):
        chosen = "It was not chosen among others but fine-tuned on these images."
    if fitted is None:
        what = f"offered for {facts['task']}"
        head = f"It was ranked on {facts['images']} images of **{facts['task']}**; no head was fitted on them."
        good = "Not measured on your images: that takes labels and a head. Its place in the ranking is all there is."
        use = """python features.py IMAGE [IMAGE ...]

`features.load_model()` returns an ordinary `torch.nn.Module`; `model.features(images)` gives numbers for an
image, to search, cluster or classify by. `load_model(num_classes)` brings an untrained classifier along, to start
fine-tuning from once you have labels."""
        limits = "It names no classes."
    else:
        what = f"with a head for {facts['task']}"
        head = (
            f"Its linear head was fitted on {facts['images']} images of **{facts['task']}** "
            f"({len(classes)} classes: {listed})."
        )
        tuned = (
            "The features were not fine-tuned on your images; doing so usually helps where there are many."
            if not facts.get("tuned")
            else "The features were fine-tuned on your images, but for those."
        )
        good = f"""Accuracy of the linear head on images it was not fitted on: **{fitted.accuracy:.1%}**
(95 % interval {fitted.low:.1%} to {fitted.high:.1%}; {fitted.n} images, {fitted.how}).
{tuned}"""
        if not fitted.n:
            good = (
                "Not measured: it was fine-tuned on all of the images that were used. Give some apart, in a folder "
                "`test` beside `train`, to learn how good it is."
            )
        use = """python classify.py IMAGE [IMAGE ...]

`classify.load_model()` returns an ordinary `torch.nn.Module` to start fine-tuning from."""
        limits = "It always names one of the classes above, whatever it is shown."
    own = expert.architecture == RESNET20
    network = "small residual network" if own else expert.architecture
    descended = facts["trained_on"] is not None
    scratch = "trained from scratch on\nCIFAR-10, and on nothing else"
    learned = f"fine-tuned on\n**{facts['trained_on']}**" if descended else scratch
    then = f" and then fine-tuned on {facts['trained_on']}" if descended else ""
    origin = (
        f"The network was trained\nfrom scratch on CIFAR-10{then}; check the licences of those data for your use."
        if own
        else "Its weights were\nadded to the bank by whoever keeps it; ask them what it was trained on and under which "
        "licence."
    )
    side = spec_of(expert).crop
    return f"""# {facts["expert"]}, {what}

A {network} ({facts["parameters"] / 1e6:.2f} million parameters, {side}x{side} input) {learned}.
{head}

## How it was chosen
{chosen}

## How good it is
{good}

## Use
    pip install -r requirements.txt
    {use}

## Limits
{limits} Images are reduced to {side}x{side} pixels. Nothing here was tested for use where mistakes can harm people.

## Provenance
Weights SHA-256 `{facts["weights_sha256"]}`. Created {facts["created"]} by t2v_core. {origin}
"""
