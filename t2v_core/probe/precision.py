"""Arithmetic that does not hang on the device's shortcuts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Within it, and within what it decorates, float32 is float32 on a GPU too, and comes out the same every time.

    There convolutions are by default multiplied in TF32, with 10 bits of a number, and by whichever algorithm is
    quickest: a bank's embeddings must not depend on where they were computed. A processor knows neither.
    """
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False, fp32_precision="ieee"
    ):
        yield
