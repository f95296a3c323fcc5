"""The scripts that travel with an expert, as text; they need nothing of this program."""

COMMON = '''
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file

from network import features_network

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
        image = image.resize(size, Image.Resampling[t["interpolation"].upper()])
    left, top = (image.width - t["crop"]) // 2, (image.height - t["crop"]) // 2
    pixels = np.asarray(image.crop((left, top, left + t["crop"], top + t["crop"])), dtype=np.float32) / 255
    return torch.from_numpy((pixels - np.float32(t["mean"])) / np.float32(t["std"])).permute(2, 0, 1)


class Expert(torch.nn.Module):
    """The expert's network, and a linear classifier ``fc`` on its features."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.network = features_network()
        state = load_file(HERE / "expert.safetensors")
        missing, unexpected = self.network.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
        missing = [k for k in missing if not k.endswith("num_batches_tracked")]
        assert not unexpected and not missing, (missing, unexpected)
        self.eval()
        side = CONFIG["transform"]["crop"]
        with torch.no_grad():
            dimension = self.network(torch.zeros(1, 3, side, side)).shape[1]
        self.fc = torch.nn.Linear(dimension, num_classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Features ``[N, d]`` of images ``[N, 3, H, W]``."""
        return self.network(images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, num_classes]``."""
        return self.fc(self.network(images))


'''
"""What both scripts begin with: the image as the expert wants it, and the expert."""

CLASSIFY = (
    '''"""Classify images with the expert in this folder.

    pip install -r requirements.txt
    python classify.py IMAGE [IMAGE ...]
"""
'''
    + COMMON
    + '''def load_model() -> torch.nn.Module:
    """The expert with the head fitted on your images, ready for inference or further fine-tuning."""
    model = Expert(len(CONFIG["classes"]))
    model.load_state_dict(model.state_dict() | load_file(HERE / "head.safetensors"))
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
    '''"""Turn images into features with the expert in this folder: one line an image, its path and its numbers.

    pip install -r requirements.txt
    python features.py IMAGE [IMAGE ...]
"""
'''
    + COMMON
    + '''def load_model(num_classes: int = 1) -> torch.nn.Module:
    """The expert; ``model.features(images)`` gives ``[N, d]``.

    Its classifier ``model.fc`` is untrained: give your number of classes and fit it once you have labels.
    """
    return Expert(num_classes).eval()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with torch.no_grad():
        features = load_model().features(torch.stack([load_image(p) for p in sys.argv[1:]]))
    for path, row in zip(sys.argv[1:], features.tolist()):
        print(path, *(f"{value:.5f}" for value in row), sep="\\t")
'''
)

SMALL = '''

def features_network() -> nn.Module:
    """The network without its classifier."""
    network = SmallResNet()
    network.fc = nn.Identity()
    return network
'''
"""What follows the bundled architecture's own module."""

TORCHVISION = '''"""The expert's architecture: torchvision's {model}, without its classifier."""

import torchvision
from torch import nn

from attention import make_attention_explicit


def features_network() -> nn.Module:
    """The network without its classifier."""
    network = torchvision.models.get_model("{model}")
    classifier = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, last = classifier.rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    make_attention_explicit(network)  # as it was when the weights were kept
    return network
'''

TIMM = '''"""The expert's architecture: timm's {model}, without its classifier."""

import timm
from torch import nn

from attention import make_attention_explicit


def features_network() -> nn.Module:
    """The network without its classifier."""
    network = timm.create_model("{model}", pretrained=False, num_classes=0)
    make_attention_explicit(network)  # as it was when the weights were kept
    return network
'''
