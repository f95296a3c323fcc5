"""An expert's weights: kept by their content, loaded again, and read from files that others made."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from t2v_core.bank.records import ExpertRecord, weights_name
from t2v_core.errors import InputError
from t2v_core.probe.attention import make_attention_explicit
from t2v_core.probe.bundled import SPEC, half
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.probe.registry import blank_network
from t2v_core.task.record import InputSpec

COUNTERS = "num_batches_tracked"
"""BatchNorm counts its batches in training; inference never reads that."""


def keep_weights(network: nn.Module, folder: Path) -> tuple[Path, str]:
    """Write a network's state as safetensors named by its content; returns the file and its SHA-256.

    It is float16, or as it is where a number would not fit into that.
    """
    state = half(network)
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    data = save(state, metadata={"format": "pt"})
    sha256 = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / weights_name(sha256)
    temporary = folder / f".{file.name}.{os.getpid()}"
    temporary.write_bytes(data)
    temporary.replace(file)
    return file, sha256


def load_expert(expert: ExpertRecord, folder: Path, device: torch.device) -> Probe:
    """Load an expert's features network, frozen.

    Args:
        expert: its record.
        folder: the bank's weights.
        device: where to put it.

    Raises:
        InputError: the file is missing, damaged, or does not hold this architecture's weights.
    """
    file = folder / expert.weights_file
    if not file.is_file():
        raise InputError(f"the expert's weights {file.name} are missing from the bank; import or build it again")
    with file.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != expert.weights_sha256:
            raise InputError(f"the expert's weights {file.name} do not match their checksum; import or build it again")
    network, _ = blank_network(expert.architecture).detach()
    make_attention_explicit(network)  # as it was when the weights were kept
    _fit(network, read_state(file), (), file, expert.architecture)
    return make_probe(expert.architecture, expert.name, network, None, spec_of(expert), f"expert {expert.id!r}", device)


def spec_of(expert: ExpertRecord) -> InputSpec:
    """How an expert wants its images."""
    return expert.spec or SPEC


def read_expert(file: Path, architecture: str, device: torch.device, input_size: int | None = None) -> Probe:
    """The features network in a file that was made elsewhere; its classifier, of however many classes, is left out.

    Args:
        file: safetensors, with the names of the architecture's own implementation.
        architecture: as for ``blank_network``.
        device: where to put it.
        input_size: side of the square it was fine-tuned on, where that is not its architecture's usual one.

    Raises:
        InputError: it is no safetensors file, holds other names or shapes, numbers that are not finite, or weights
            by which images have no features or all the same.
    """
    state = read_state(file)
    blank = blank_network(architecture)
    names = set(blank.network.state_dict())
    network, _ = blank.detach()
    state = {name: value for name, value in state.items() if not name.startswith(blank.unused)}
    _fit(network, state, names, file, architecture)
    spec = blank.spec if input_size is None else resized(blank.spec, input_size)
    _try(network, spec, file)
    return make_probe(architecture, file.stem, network, None, spec, f"file {file.name}", device)


def read_state(file: Path) -> dict[str, Tensor]:
    """Tensors by name.

    Raises:
        InputError: it cannot be read as safetensors.
    """
    try:
        return load_file(file)
    except OSError as error:
        raise InputError(f"'{file}' cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        with file.open("rb") as stream:
            start = stream.read(9)
        # A zip, as torch.save writes, or a pickle's first byte; where a header in JSON follows, that is its length.
        pickled = start[:2] == b"PK" or (start[:1] == b"\x80" and start[8:] != b"{")
        kind = "but a pickle, which could run code when opened" if pickled else "or is damaged"
        raise InputError(
            f"'{file.name}' is not a safetensors file {kind}; write the weights with safetensors.torch.save_file"
        ) from error


def resized(spec: InputSpec, size: int) -> InputSpec:
    """The same transform for squares of another side."""
    if not 8 <= size <= 2048:
        raise InputError(f"--input-size must lie between 8 and 2048 pixels, got {size}")
    return replace(spec, resize=round(spec.resize * size / spec.crop), crop=size)


def _try(network: nn.Module, spec: InputSpec, file: Path) -> None:
    """Refuse weights that are of the right shape and of no use, by two images of noise."""
    noise = torch.rand(2, 3, spec.crop, spec.crop, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            z = network.eval()(noise)
    # Networks refuse a size in ways of their own.
    except (AssertionError, IndexError, RuntimeError) as error:
        raise InputError(
            f"the network in '{file.name}' takes no images of {spec.crop} pixels ({error}); give its own --input-size"
        ) from error
    if not bool(torch.isfinite(z).all()):
        raise InputError(f"the weights in '{file.name}' give an image features that are not finite; give another file")
    if bool((z[0] == z[1]).all()):
        raise InputError(f"the weights in '{file.name}' give every image the same features; give another file")


def _fit(network: nn.Module, state: dict[str, Tensor], known: Collection[str], file: Path, architecture: str) -> None:
    """Load a state that must be the network's own, but for names that are ``known`` to be of no use here."""
    # Whole numbers are not learned: counters, and tables of places that the architecture itself makes.
    own = {n: v.shape for n, v in network.state_dict().items() if v.is_floating_point()}
    wrong = [f"{name!r} is missing" for name in own if name not in state]
    wrong += [
        f"{name!r} is none of its layers"
        for name in state.keys() - network.state_dict().keys() - set(known)
        if COUNTERS not in name
    ]
    wrong += [
        f"{name!r} has the shape {list(state[name].shape)} in place of {list(shape)}"
        for name, shape in own.items()
        if name in state and state[name].shape != shape
    ]
    if wrong:
        raise InputError(
            f"'{file.name}' does not hold the weights of a {architecture}: {wrong[0]}; give the file of such a network"
        )
    whole = [name for name in own if not state[name].is_floating_point()]
    if whole:
        raise InputError(f"'{file.name}' holds whole numbers in {whole[0]!r}; give weights that were not quantised")
    broken = [name for name in own if not bool(torch.isfinite(state[name].float()).all())]
    if broken:
        raise InputError(
            f"'{file.name}' holds numbers that are not finite in {broken[0]!r}; its training has failed, give another"
        )
    network.load_state_dict({name: state[name].float() for name in own}, strict=False)
