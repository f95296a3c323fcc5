"""The scripts that travel with an expert, as text; they need nothing of this program.

Their way from a file to pixels is that of ``task.images``, to the last bit: an expert that was measured on one way of
seeing an image must not be handed over with another.
"""

COMMON = '''
import json
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file

from network import features_network

HERE = Path(__file__).resolve().parent
CONFIG = json.loads((HERE / "config.json").read_text(encoding="utf-8"))
MAX_ASPECT = 64


def load_image(path: str) -> torch.Tensor:
    """An image as the expert wants it: resized, centre cropped, normalised. [3, H, W]"""
    t = CONFIG["transform"]
    image = to_rgb(open_upright(path, t["resize"]))
    shorter = min(image.size)
    if max(image.size) > MAX_ASPECT * shorter:
        image = centre(image, *(min(side, MAX_ASPECT * shorter) for side in image.size))
    whole = t["squash"]
    size = [t["resize"] if whole or side == shorter else int(t["resize"] * side / shorter) for side in image.size]
    image = centre(image.resize(size, Image.Resampling[t["interpolation"].upper()]), t["crop"], t["crop"])
    pixels = np.asarray(image, dtype=np.float32) / 255
    return torch.from_numpy((pixels - np.float32(t["mean"])) / np.float32(t["std"])).permute(2, 0, 1)


def load_images(paths: list[str]) -> torch.Tensor:
    """Images as the expert wants them, [N, 3, H, W]; where one cannot be read the script ends with a sentence."""
    images = []
    for path in paths:
        try:
            images.append(load_image(path))
        except FileNotFoundError:
            leave(f"{path!r} does not exist; give the path of an image")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow raises all of them
            leave(f"{path!r} cannot be read as an image ({error}); give a JPEG, PNG or WebP file")
    return torch.stack(images)


def leave(message: str) -> None:
    """End the script because of what it was given."""
    print(message, file=sys.stderr)
    sys.exit(2)


def open_upright(path: str, side: int) -> Image.Image:
    """An image as its EXIF block turns it; a JPEG decoded at no more than it takes for a shorter side of ``side``."""
    image = Image.open(path)
    image.draft(image.mode, (2 * side, 2 * side))
    image.load()
    with suppress(Exception):  # a damaged EXIF block leaves the pixels as they are
        ImageOps.exif_transpose(image, in_place=True)
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode in RGB: over white where it is transparent, more than 8 bits scaled down to 8."""
    if image.mode.startswith("I"):
        return from_grey(np.asarray(image), 65535)
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        return from_grey(values, next((top for top in (1, 255, 65535) if values.max() <= top), values.max()))
    if image.mode == "La":  # Pillow converts premultiplied grey in two steps only
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(layer, mask=layer.getchannel("A"))
    return white


def from_grey(values: np.ndarray, top: float) -> Image.Image:
    """Grey values in ``0..top``, ``[H, W]``, as RGB."""
    scaled = np.clip(values, 0, top).astype(np.float32) * np.float32(255 / top)
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")


def centre(image: Image.Image, width: int, height: int) -> Image.Image:
    """The central part of an image, or the image amid black, rounded as torchvision rounds."""
    left, top = (
        round((there - wanted) / 2) if there >= wanted else -((wanted - there) // 2)
        for there, wanted in zip(image.size, (width, height))
    )
    return image.crop((left, top, left + width, top + height))


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
        probabilities = load_model()(load_images(sys.argv[1:])).softmax(1)
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
        features = load_model().features(load_images(sys.argv[1:]))
    for path, row in zip(sys.argv[1:], features.tolist()):
        print(path, *(f"{value:.5f}" for value in row), sep="\\t")
'''
)

SMALL = '''

def features_network() -> nn.Module:
    """The network without its classifier."""
    network = ResNet20()
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
    network = torchvision.models.get_model("{model}"{options})
    modules = [(name, m) for name, m in network.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    # A network without a linear layer (SqueezeNet) classifies by its last convolution.
    classifier, _ = ([found for found in modules if isinstance(found[1], nn.Linear)] or modules)[-1]
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
