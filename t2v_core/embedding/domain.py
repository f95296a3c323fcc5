"""The domain embedding (T2V Fig. 1 right, where it is compared with): the mean feature of a task's images.

    D = (1/N) sum_i z(x_i),    z(x) [d] the probe's features below its classifier

Two tasks are compared by the cosine distance of D as it is, 1 - D_a . D_b / (|D_a| |D_b|). It tells which images a
task has and is blind to what is asked of them: every image weighs the same, whatever its label, so tasks over one set
of images coincide.
"""

from __future__ import annotations

import time

import numpy as np
from torch import Tensor

from t2v_core.embedding.by_probe import check_varied, from_chunks
from t2v_core.embedding.record import DOMAIN, Embedding
from t2v_core.fisher.sums import ChunkSums, assign_chunks
from t2v_core.probe.probe import Probe
from t2v_core.task.record import DecodedTask, Progress

CHUNKS = 16


def embed_domain(
    decoded: DecodedTask, probe: Probe, *, chunks: int = CHUNKS, seed: int = 0, progress: Progress | None = None
) -> Embedding:
    """Embed a task by its images alone.

    Args:
        decoded: the task; its held-out images are not used, its labels never.
        probe: the frozen network.
        chunks, seed: see ``mean_feature``.
        progress: called with stage "features".

    Raises:
        InputError: all images are one and the same to the probe, or its features are not finite.
    """
    begin = time.perf_counter()
    z = probe.features(decoded.pixels[~decoded.task.held_out], progress=progress)
    check_varied(z, decoded.task.name)
    return mean_feature(z, chunks, seed, time.perf_counter() - begin, probe)


def mean_feature(z: Tensor, chunks: int, seed: int, seconds: float, probe: Probe) -> Embedding:
    """The mean feature with its spread over disjoint chunks.

    Args:
        z: ``[N, d]`` features.
        chunks: disjoint parts of the images.
        seed: of the chunks.
        seconds: that the features took.
        probe: whose features they are.
    """
    chunk = assign_chunks(np.zeros(len(z), np.int64), chunks, seed)
    share = np.zeros((int(chunk.max()) + 1, len(z)))
    share[chunk, np.arange(len(z))] = 1.0
    found = ChunkSums(share @ z.double().cpu().numpy(), share.sum(1), len(z))
    return from_chunks(found, DOMAIN, {"chunks": chunks, "seed": seed}, seconds, {}, probe)
