"""Reading weights from files that may be damaged, or not what their name says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from t2v_core.errors import InputError


def check_published_hash(file: Path, name: str) -> None:
    """Torchvision ends its file names with the first eight digits of the content's SHA-256."""
    expected = Path(name).stem.rsplit("-", 1)[-1]
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise InputError(f"{name} does not match the checksum in its name; delete the file and fetch it again")


def load_checked(network: nn.Module, file: Path, *, hashed: bool = True, unused: tuple[str, ...] = ()) -> None:
    """Load a file of weights into ``network``.

    Args:
        network: with the names and shapes of the weights.
        file: safetensors, or torch's own format, of which nothing but tensors and plain values is read. The latter may
            be a training checkpoint: its ``state_dict``, the prefix of a data parallel training taken off.
        unused: beginnings of names that the network has no use for.
        hashed: the name of a file in torch's format ends with its content's hash, as torchvision's do.

    Raises:
        InputError: the file is damaged, is not what its name says, or holds another network's weights.
    """
    if hashed and file.suffix != ".safetensors":
        check_published_hash(file, file.name)
    try:
        state = _state(file)
        network.load_state_dict({name: value for name, value in state.items() if not name.startswith(unused)})
    # In a damaged file torch, zip, pickle and safetensors each stumble over something of their own.
    except Exception as error:
        raise InputError(f"{file} does not hold this network's weights; replace or delete it") from error


def _state(file: Path) -> dict[str, torch.Tensor]:
    if file.suffix == ".safetensors":
        return load_file(file)
    found = torch.load(file, map_location="cpu", weights_only=True)
    return {name.removeprefix("module."): value for name, value in found.get("state_dict", found).items()}
