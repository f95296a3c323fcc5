"""Handing an expert over: weights, head, transform, a script that runs, and a model card, in one zip."""

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
from t2v_core.probe import network as network_module
from t2v_core.probe.bundled import SPEC

CLASSIFY = '''"""Classify images with the expert in this folder.

    pip install torch safetensors pillow numpy
    python classify.py IMAGE [IMAGE ...]
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file

from network import SmallResNet

HERE = Path(__file__).resolve().parent
CONFIG = json.loads((HERE / "config.json").read_text(encoding="utf-8"))


def load_model() -> torch.nn.Module:
    """The expert with the head fitted on your images, ready for inference or further fine-tuning."""
    model = SmallResNet(num_classes=len(CONFIG["classes"]))
    state = load_file(HERE / "expert.safetensors") | load_file(HERE / "head.safetensors")
    missing, unexpected = model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    assert not unexpected and all(k.endswith("num_batches_tracked") for k in missing), (missing, unexpected)
    return model.eval()


def load_image(path: str) -> torch.Tensor:
    """An image as the expert wants it: shorter side resized, centre cropped, normalised. [3, H, W]"""
    t = CONFIG["transform"]
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    w, h = image.size
    scale = t["resize"] / min(w, h)
    size = (t["resize"], int(t["resize"] * h / w)) if w <= h else (int(t["resize"] * w / h), t["resize"])
    if scale != 1:
        image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (image.width - t["crop"]) // 2, (image.height - t["crop"]) // 2
    pixels = np.asarray(image.crop((left, top, left + t["crop"], top + t["crop"])), dtype=np.float32) / 255
    return torch.from_numpy((pixels - np.float32(t["mean"])) / np.float32(t["std"])).permute(2, 0, 1)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with torch.no_grad():
        probabilities = load_model()(torch.stack([load_image(p) for p in sys.argv[1:]])).softmax(1)
    for path, row in zip(sys.argv[1:], probabilities):
        best = int(row.argmax())
        print(f"{path}\\t{CONFIG['classes'][best]}\\t{row[best]:.3f}")
'''


def export_expert(
    weights: Path,
    fitted: Fitted,
    classes: tuple[str, ...],
    facts: dict[str, Any],
) -> bytes:
    """Pack an expert with a head fitted on the person's own images.

    Args:
        weights: the expert's safetensors file.
        fitted: its head and how it did.
        classes: K class names, in the head's order.
        facts: what the model card tells: ``expert``, ``trained_on``, ``task``, ``images``, ``distance``,
            ``p_first``, ``selector``, ``created``.

    Returns:
        A zip: ``expert.safetensors``, ``head.safetensors``, ``config.json``, ``network.py``,
        ``classify.py`` (runs as it is), ``README.md`` (the model card).
    """
    head = save(
        {
            "fc.weight": np.ascontiguousarray(fitted.head.weight),
            "fc.bias": np.ascontiguousarray(fitted.head.bias),
        }
    )
    config = {
        "architecture": "SmallResNet",
        "classes": list(classes),
        "transform": asdict(SPEC),
        "validation": {"accuracy": fitted.accuracy, "interval": [fitted.low, fitted.high], "n": fitted.n},
        **facts,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("expert.safetensors", weights.read_bytes())
        archive.writestr("head.safetensors", head)
        archive.writestr("config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
        archive.writestr("network.py", inspect.getsource(network_module))
        archive.writestr("classify.py", CLASSIFY)
        archive.writestr("README.md", model_card(fitted, classes, facts))
    return buffer.getvalue()


def model_card(fitted: Fitted, classes: tuple[str, ...], facts: dict[str, Any]) -> str:
    """The model card in Markdown: what it is, how it was chosen, how good it is, what it is not for."""
    listed = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    chosen = (
        f"Distance {facts['distance']:.4f} ({facts['selector']}); first in {facts['p_first']:.0%} of bootstrap rounds."
        if facts.get("distance") is not None
        else "Not chosen by distance: this is the network before any fine-tuning."
    )
    return f"""# {facts["expert"]}, with a head for {facts["task"]}

A small residual network (0.29 million parameters, 32x32 input) fine-tuned on **{facts["trained_on"]}**, with a
linear head fitted on {facts["images"]} images of **{facts["task"]}** ({len(classes)} classes: {listed}).

## How it was chosen
{chosen}

## How good it is
Accuracy of the linear head on images it was not fitted on: **{fitted.accuracy:.1%}**
(95 % interval {fitted.low:.1%} to {fitted.high:.1%}; {fitted.n} images, {fitted.how}).
The features were not fine-tuned on your images; doing so usually helps where there are many.

## Use
    pip install torch safetensors pillow numpy
    python classify.py IMAGE [IMAGE ...]

`classify.load_model()` returns an ordinary `torch.nn.Module` to start fine-tuning from.

## Limits
It always names one of the classes above, whatever it is shown. Images are reduced to 32x32 pixels. Nothing here
was tested for use where mistakes can harm people.

## Provenance
Weights SHA-256 `{facts["weights_sha256"]}`. Created {facts["created"]} by t2v_core. The network was trained
from scratch on CIFAR-10 and then fine-tuned as described; check the licences of those data for your use.
"""
