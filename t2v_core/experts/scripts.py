"""The scripts that travel with an expert, as text; they need nothing of this program."""

COMMON = '''
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


'''
"""What both scripts begin with: the image as the expert wants it."""

CLASSIFY = (
    '''"""Classify images with the expert in this folder.

    pip install torch safetensors pillow numpy
    python classify.py IMAGE [IMAGE ...]
"""
'''
    + COMMON
    + '''def load_model() -> torch.nn.Module:
    """The expert with the head fitted on your images, ready for inference or further fine-tuning."""
    model = SmallResNet(num_classes=len(CONFIG["classes"]))
    state = load_file(HERE / "expert.safetensors") | load_file(HERE / "head.safetensors")
    missing, unexpected = model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    assert not unexpected and all(k.endswith("num_batches_tracked") for k in missing), (missing, unexpected)
    return model.eval()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with torch.no_grad():
        probabilities = load_model()(torch.stack([load_image(p) for p in sys.argv[1:]])).softmax(1)
    for path, row in zip(sys.argv[1:], probabilities):
        best = int(row.argmax())
        print(f"{path}\\t{CONFIG['classes'][best]}\\t{row[best]:.3f}")
'''
)

FEATURES = (
    '''"""Turn images into features with the expert in this folder: one line an image, its path and 80 numbers.

    pip install torch safetensors pillow numpy
    python features.py IMAGE [IMAGE ...]
"""
'''
    + COMMON
    + '''def load_model(num_classes: int = 1) -> torch.nn.Module:
    """The expert; ``model.features(images)`` gives ``[N, 80]``.

    Its classifier ``model.fc`` is untrained: give your number of classes and fit it once you have labels.
    """
    model = SmallResNet(num_classes)
    state = load_file(HERE / "expert.safetensors")
    missing, unexpected = model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    untrained = [k for k in missing if not k.startswith("fc.") and not k.endswith("num_batches_tracked")]
    assert not unexpected and not untrained, (untrained, unexpected)
    return model.eval()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with torch.no_grad():
        features = load_model().features(torch.stack([load_image(p) for p in sys.argv[1:]]))
    for path, row in zip(sys.argv[1:], features.tolist()):
        print(path, *(f"{value:.5f}" for value in row), sep="\\t")
'''
)
