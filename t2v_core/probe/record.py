"""What the rest of the engine knows of a probe without loading torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from t2v_core.errors import InputError
from t2v_core.task.record import InputSpec

BUNDLED = "bundled"
"""Registry name of the probe that ships with the program."""

BETA = 1e-3
"""Weight of the KL term to the prior lambda^2 wherever a distance turns a Fisher diagonal into a precision, however it
was found and with lambda^2 from the scale of the weights, so that t_0 lies equally far under all estimates (method
section 3); and in the variational estimate's loss, unless its authors' own is asked for."""


@dataclass(frozen=True)
class ProbeInfo:
    """A probe's identity and the shape of its embeddings.

    Attributes:
        id: registry name, for instance ``"bundled"`` or ``"resnet34"``.
        title: name for people.
        weights_hash: SHA-256 over the frozen parameters and buffers.
        layers: ``(layer name, filters)`` in network order; their sum is the embedding's dimension D.
        prior_precision: one lambda^2 a layer, 1 / mean(w^2) over the layer's weights (method section 3).
        spec: the input transform.
        feature_dim: dimension d of the features z.
        provenance: where the weights come from, in words.
    """

    id: str
    title: str
    weights_hash: str
    layers: tuple[tuple[str, int], ...]
    prior_precision: tuple[float, ...]
    spec: InputSpec
    feature_dim: int
    provenance: str

    @property
    def dimension(self) -> int:
        """Number of filters D."""
        return sum(count for _, count in self.layers)

    @property
    def filter_names(self) -> list[str]:
        """``[D]`` what each number of an embedding belongs to, ``layer1.0.conv1[17]``: layer, output channel or row."""
        return [f"{layer}[{number}]" for layer, count in self.layers for number in range(count)]

    @property
    def filter_prior(self) -> NDArray[np.float64]:
        """``[D]`` lambda^2 of each filter's layer: the trivial embedding t_0 in units of precision."""
        return np.repeat(np.asarray(self.prior_precision, dtype=np.float64), [count for _, count in self.layers])


def check_transform(known: Mapping[str, ProbeInfo], info: ProbeInfo | None) -> None:
    """Refuse to mix embeddings by the same weights that saw their images cropped or normalised in another way.

    Args:
        known: probes by the hash of their weights.
        info: the probe to come in; None where there is none.

    Raises:
        InputError: its weights are known with another transform.
    """
    same = None if info is None else known.get(info.weights_hash)
    if info is not None and same is not None and same.spec != info.spec:
        raise InputError(
            f"the bank's embeddings by the weights of {info.title} were made of other pixels: {same.title} resizes to "
            f"{same.spec.resize}, crops to {same.spec.crop} or normalises in another way; choose {same.id!r} as the "
            "probe, or another bank"
        )
