"""Reading weights from files that may be damaged, or not what their name says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from t2v_core.errors import InputError


def check_published_hash(file: Path, name: str) -> None:
    """Torchvision ends its file names with the first eight digits of the content's SHA-256."""
    expected = Path(name).stem.rsplit("-", 1)[-1]
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise InputError(f"{name} does not match the checksum in its name; delete the file and fetch it again")


def load_checked(network: nn.Module, file: Path) -> None:
    """Load a file of weights, safetensors or torch's own format without code, into ``network``."""
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(file)
    else:
        check_published_hash(file, file.name)
        state = torch.load(file, map_location="cpu", weights_only=True)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{file} does not hold this network's weights; replace or delete it") from error
