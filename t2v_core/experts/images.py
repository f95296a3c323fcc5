"""A task's images at the size another network wants them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from t2v_core.errors import InputError
from t2v_core.task.decoding import decode
from t2v_core.task.record import DecodedTask, InputSpec


def same_pixels(a: InputSpec, b: InputSpec) -> bool:
    """Whether two networks see the same pixels before normalising."""
    return replace(a, mean=b.mean, std=b.std) == b


def pixels_at(decoded: DecodedTask, have: InputSpec, want: InputSpec) -> NDArray[np.uint8]:
    """Pixels ``[N, S, S, 3]`` of a task's images, decoded again from their source where the sizes differ.

    Args:
        decoded: the task.
        have: what it was decoded for.
        want: what the network at hand needs.

    Raises:
        InputError: an image that could be read before cannot be now.
    """
    if same_pixels(have, want):
        return decoded.pixels
    again = decode(decoded.task, want)
    if len(again) != len(decoded):
        raise InputError(f"images of '{decoded.task.name}' have gone or changed while they were used; start again")
    return again.pixels


def sized(decoded: DecodedTask, have: InputSpec, want: InputSpec) -> DecodedTask:
    """A task as another network wants its images; see ``pixels_at``."""
    return replace(decoded, pixels=pixels_at(decoded, have, want))
