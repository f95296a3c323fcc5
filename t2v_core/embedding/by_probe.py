"""What embeddings by a probe share: features to tell images apart by, and chunks of samples made into a record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError
from t2v_core.fisher.sums import ChunkSums
from t2v_core.probe.probe import Probe

SAME = 1e-6
"""Of the largest feature: a spread that float32 alone gives the features of equal images."""


def check_varied(z: Tensor, name: str) -> None:
    """Refuse a task all of whose images have the same features ``z [N, d]``.

    Raises:
        InputError: they have.
    """
    spread = float(z.std(0, correction=0).max())
    if spread <= SAME * float(z.abs().max()):
        raise InputError(
            f"all images of {name!r} look the same to the probe, so there is nothing to embed; check the files"
        )


def check_informative(vector: NDArray, name: str) -> None:
    """Refuse a Fisher diagonal ``[D]`` that tells nothing: no distance to it is defined.

    Raises:
        InputError: it is zero, or not finite.
    """
    if not np.isfinite(vector).all():
        raise InputError(f"the Fisher information of {name!r} is not finite; the probe's weights may be damaged")
    if not vector.any():
        raise InputError(
            f"the labels of {name!r} have nothing to do with how its images look to the probe, so their Fisher "
            "information is zero; look whether the same images stand in every class"
        )


def from_chunks(
    parts: ChunkSums,
    method: str,
    settings: dict[str, object],
    seconds: float,
    facts: dict[str, object],
    probe: Probe,
) -> Embedding:
    """The record of an embedding by a probe; see ``Embedding`` for the arguments.

    Args:
        parts: the vector in additive parts, one a chunk of samples.
    """
    return Embedding(
        vector=parts.mean.astype(np.float32),
        method=method,
        probe_id=probe.info.id,
        weights_hash=probe.info.weights_hash,
        settings=settings,
        samples=parts.samples,
        chunk_means=(parts.sums / parts.weights[:, None]).astype(np.float32),
        chunk_weights=parts.weights / parts.weights.sum(),
        seconds=seconds,
        device=str(probe.device),
        facts=facts,
    )
