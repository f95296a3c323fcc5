"""What the scores share: arrays checked before anything is computed from them, and sums over classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from t2v_core.errors import InputError

FloatArray = NDArray[np.float64]
Codes = NDArray[np.intp]

WITHOUT_CLASSES = ("EMD", "H-divergence", "RSA")
"""Titles of the scores that serve a task of a single class."""

ROUNDING = float(np.finfo(np.float32).eps)
"""Features come from float32 networks: a relative difference up to this is no difference."""


def matrix(values: ArrayLike, what: str = "features") -> FloatArray:
    """A finite, non-empty matrix in float64.

    Args:
        values: one row per image (or class), one column per feature.
        what: the name it has in a message.

    Shape:
        - values: ``[N, d]``

    Raises:
        InputError: another shape, nothing in it, or a value that is no finite number.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or 0 in found.shape:
        raise InputError(f"the {what} have shape {found.shape}; give one row per image and one column per value")
    broken = ~np.isfinite(found).all(1)
    if broken.any():
        raise InputError(
            f"the {what} hold NaN or infinity in {broken.sum()} of {len(found)} rows, first in row "
            f"{int(broken.argmax())}; check that image and the network's weights"
        )
    return found


def varied(features: FloatArray, what: str = "features") -> FloatArray:
    """The same features, refused where every image has the same ones.

    Raises:
        InputError: they are constant up to float32 rounding.
    """
    if (np.ptp(features, axis=0) <= ROUNDING * np.abs(features).max(0)).all():
        raise InputError(
            f"the {what} are the same for all {len(features)} images, so they tell nothing apart; "
            "check that the network's weights were loaded and that the images differ"
        )
    return features


def probabilities_of(values: ArrayLike | None, score: str) -> FloatArray:
    """An expert's class probabilities, refused where they are none.

    Args:
        values: one row per image, one column per class of the expert; None where it has no classifier.
        score: the title of the score that asks.

    Shape:
        - values: ``[N, Ks]``

    Raises:
        InputError: the expert has no classifier, or a row is no distribution.
    """
    if values is None:
        raise InputError(
            f"{score} needs the class probabilities of the expert, and this expert has no classifier; "
            "give its classifier or choose a score of features such as LogME, H-score, kNN or RSA"
        )
    found = matrix(values, "class probabilities")
    # Softmax in half precision sums to 1 within about 1e-3.
    broken = (found < 0).any(1) | (np.abs(found.sum(1) - 1) > 1e-2)
    if broken.any():
        raise InputError(
            f"row {int(broken.argmax())} of the class probabilities is no distribution (it sums to "
            f"{found[broken.argmax()].sum():.3g}); give softmax outputs, not logits"
        )
    return found / found.sum(1, keepdims=True)


def class_codes(labels: ArrayLike, rows: int, score: str, *, classes: int = 2, per_class: int = 1) -> Codes:
    """Labels as numbers 0..K-1 without gaps, refused where the score could say nothing.

    Args:
        labels: integers or names.
        rows: images behind them.
        score: the title of the score that asks.
        classes: how many classes it needs.
        per_class: how many images it needs of each.

    Shape:
        - labels: ``[N]``

    Raises:
        InputError: not one label per image, a missing label, too few classes, or a class with too few images.
    """
    given = np.asarray(labels)
    if given.shape != (rows,):
        raise InputError(f"labels of shape {given.shape} do not fit {rows} images; give one label per image")
    # Before a missing name becomes the name "nan".
    missing = pd.isna(np.asarray(labels, dtype=object)) | (given.dtype.kind == "f" and ~np.isfinite(given))
    if missing.any():
        raise InputError(f"image {int(missing.argmax())} has no label; label every image or leave it out")
    names, codes, counts = np.unique(given, return_inverse=True, return_counts=True)
    if len(names) < classes:
        raise InputError(
            f"{score} compares classes and the task has only one ({names[0]}); add a second class, "
            f"or choose {', '.join(WITHOUT_CLASSES[:-1])} or {WITHOUT_CLASSES[-1]}, which need none"
        )
    if counts.min() < per_class:
        raise InputError(
            f"{score} needs at least {per_class} images of every class and class {names[counts.argmin()]} has "
            f"{counts.min()}; add images of it or leave it out"
        )
    return codes


def class_sums(values: FloatArray, codes: Codes) -> FloatArray:
    """Sum of the rows of each class.

    Shape:
        - values: ``[N, d]``
        - codes: ``[N]`` from ``class_codes``
        - returns: ``[K, d]``
    """
    members = sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))))
    return members @ values
