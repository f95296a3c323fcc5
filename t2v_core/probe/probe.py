"""A frozen network with its transform: features, classifier, and the layers whose filters embed a task."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from t2v_core.errors import InputError
from t2v_core.probe.attention import make_attention_explicit
from t2v_core.probe.layers import LayerChoice, check_readable, last_stage, trace, weights_by_name
from t2v_core.probe.precision import full_precision
from t2v_core.probe.record import ProbeInfo
from t2v_core.task.record import InputSpec, Progress

LEAST_SQUARE = 1e-12
"""Of a layer's weights, where they are all zero: its prior precision stays a number."""


@dataclass(frozen=True)
class Probe:
    """A pre-trained network used frozen: eval mode, no parameter requires a gradient.

    Attributes:
        info: identity, layers, transform.
        network: maps normalised images ``[B, 3, H, W]`` to features z ``[B, d]``.
        classifier: the network's original classifier on z, or None.
        device: where the network stands.
        one_by_one: some layer's input is the same for every image, so that in a batch their gradients add up in it:
            for those of one image it must run alone.
    """

    info: ProbeInfo
    network: nn.Module
    classifier: nn.Linear | None
    device: torch.device
    one_by_one: bool = False

    def weights(self) -> list[nn.Parameter]:
        """The parameters behind ``info.layers``, in the same order: ``[O, ...]`` each, a row a filter."""
        found = weights_by_name(self.network)
        return [found[name] for name, _ in self.info.layers]

    def normalise(self, pixels: np.ndarray) -> Tensor:
        """Turn uint8 ``[B, S, S, 3]`` into normalised ``[B, 3, S, S]``, in the network's type and on its device."""
        return normalise(pixels, self.info.spec, self.device).to(next(self.network.parameters()).dtype)

    def batches(self, pixels: np.ndarray, batch_size: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield ``(rows, normalised batch)`` over uint8 ``[N, S, S, 3]``."""
        for start in range(0, len(pixels), batch_size):
            rows = slice(start, min(start + batch_size, len(pixels)))
            yield rows, self.normalise(pixels[rows])

    @full_precision()
    @torch.no_grad()
    def features(self, pixels: np.ndarray, batch_size: int = 256, progress: Progress | None = None) -> Tensor:
        """Features z ``[N, d]`` (float32, on the device) of uint8 ``[N, S, S, 3]``.

        Raises:
            InputError: some features are not finite, so nothing computed from them would mean anything.
        """
        parts = []
        for rows, batch in self.batches(pixels, batch_size):
            parts.append(self.network(batch).float())
            if progress is not None:
                progress(rows.stop, len(pixels), "features")
        features = torch.cat(parts)
        if not bool(torch.isfinite(features).all()):
            raise InputError(f"{self.info.title} gives features that are not finite numbers; choose another probe")
        return features


def normalise(pixels: np.ndarray, spec: InputSpec, device: torch.device) -> Tensor:
    """Turn uint8 ``[B, S, S, 3]`` into float32 ``[B, 3, S, S]``, (x / 255 - mean) / std per channel."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2).float().div_(255)
    mean = torch.tensor(spec.mean, device=device)[:, None, None]
    std = torch.tensor(spec.std, device=device)[:, None, None]
    return images.sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)


def state_hash(network: nn.Module) -> str:
    """SHA-256 over every parameter and buffer with its name: the identity of a set of weights."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def make_probe(
    probe_id: str,
    title: str,
    network: nn.Module,
    classifier: nn.Linear | None,
    spec: InputSpec,
    provenance: str,
    device: torch.device,
    layers: LayerChoice = "all",
) -> Probe:
    """Freeze a feature network and describe it.

    Args:
        network: maps images to features. Every weight that a convolution or linear map is called with becomes a
            layer of the embedding, its module called or not; torch's attention is rewritten so that its projections
            are among them.
        layers: ``"all"``, or ``"last"`` for the last stage alone. The choice is part of the probe's
            identity: its embeddings lie in another space.

    Raises:
        InputError: no layer could embed a task, one runs twice or cannot be read, or the network mixes the images of
            a batch.
    """
    try:
        make_attention_explicit(network)
    except ValueError as error:
        raise InputError(f"this network cannot be a probe: {error}") from error
    network.eval().requires_grad_(False).to(device)
    check_readable(network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    features, ran = trace(network, spec.crop, device)
    chosen = ran if layers == "all" else last_stage(ran)
    if not chosen:
        raise InputError(f"probe {probe_id!r} has no convolution or linear layer whose filters could embed a task")
    weights_hash = state_hash(network)
    if layers != "all":
        probe_id, title = f"{probe_id}:{layers}", f"{title}, {layers} stage"
        weights_hash = hashlib.sha256(f"{weights_hash}:{layers}".encode()).hexdigest()
    info = ProbeInfo(
        id=probe_id,
        title=title,
        weights_hash=weights_hash,
        layers=tuple((run.name, len(run.weight)) for run in chosen),
        prior_precision=tuple(float(1 / run.weight.double().pow(2).mean().clamp_min(LEAST_SQUARE)) for run in chosen),
        spec=spec,
        feature_dim=int(features.shape[1]),
        provenance=provenance,
    )
    return Probe(info, network, classifier, device, one_by_one=any(run.shared for run in chosen))


def pick_device(name: str = "auto") -> torch.device:
    """The device called ``name``; ``"auto"`` is CUDA where there is one.

    Raises:
        InputError: the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} is not available here; use 'cpu' or leave the option out") from error
    return device
