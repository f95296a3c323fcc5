"""One untrusted image file to an upright RGB image, and on to a network's input size."""

from __future__ import annotations

import io
import threading
from contextlib import nullcontext, suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from t2v_core.errors import InputError
from t2v_core.task.record import InputSpec

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 100_000_000
LARGE_PIXELS = 25_000_000
MAX_ASPECT = 64

_one_large_image = threading.Lock()
"""Held while a large image is decoded, so that many workers do not fill the memory together."""

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def read_header(data: bytes) -> ImageFile.ImageFile:
    """The image a file declares, its pixels not decoded yet.

    Raises:
        InputError: not an image of the known formats, or larger than ``MAX_PIXELS``.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
    except Image.DecompressionBombError:
        width, height = _declared_size(data)
    except UnidentifiedImageError:
        raise InputError("is not a JPEG, PNG, WebP, BMP, GIF or TIFF image" if data else "is empty") from None
    except Exception as error:  # each of Pillow's decoders fails on damaged files in its own way
        raise InputError("has a damaged header") from error
    if width * height > MAX_PIXELS:
        allowed = MAX_PIXELS // 1_000_000
        raise InputError(f"is {width}x{height} pixels, more than the {allowed} million allowed")
    if width * height == 0:
        raise InputError("is an image without pixels")
    return image


def open_image(data: bytes, spec_hint: int | None = None) -> Image.Image:
    """Decode one untrusted image file; of several frames or pages, the first.

    Args:
        data: the file's content.
        spec_hint: the shorter side wanted in the end; a JPEG is then decoded at a fraction of its
            size, never below twice the hint.

    Returns:
        The image in RGB, rotated as its EXIF block says, over white where it is transparent.

    Raises:
        InputError: the reason why it cannot be read, without a file name.
    """
    image = read_header(data)
    file_format = image.format
    try:
        if spec_hint:
            image.draft(image.mode, (2 * spec_hint, 2 * spec_hint))
        with _one_large_image if image.width * image.height > LARGE_PIXELS else nullcontext():
            image.load()
            with suppress(Exception):  # a damaged EXIF block leaves the pixels as they are
                ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except Exception as error:  # as above
        raise InputError(f"is a {file_format} file that is damaged or cut short") from error


def prepare(image: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    """Resize the shorter side (or both) and crop the centre, as torchvision's ``Resize`` and ``CenterCrop`` do.

    Args:
        image: RGB, any size.
        spec: what the network wants.

    Returns:
        ``[S, S, 3]`` with ``S = spec.crop``; black beyond the image where the crop is the larger.
    """
    if spec.interpolation not in _RESAMPLING:
        raise ValueError(f"interpolation must be one of {sorted(_RESAMPLING)}, got {spec.interpolation!r}")
    shorter = min(image.size)
    if max(image.size) > MAX_ASPECT * shorter:  # a line of pixels would otherwise grow to a huge image
        image = _centre(image, *(min(side, MAX_ASPECT * shorter) for side in image.size))
    whole = spec.squash
    size = [spec.resize if whole or side == shorter else int(spec.resize * side / shorter) for side in image.size]
    resized = image.resize((size[0], size[1]), _RESAMPLING[spec.interpolation])
    return np.array(_centre(resized, spec.crop, spec.crop))


def thumbnail(image: Image.Image, side: int = 96) -> bytes:
    """The image as PNG, its longer side at most ``side`` pixels."""
    small = image.copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return buffer.getvalue()


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    """The central part of an image, or the image amid black, rounded as torchvision rounds."""
    left, top = (
        round((there - wanted) / 2) if there >= wanted else -((wanted - there) // 2)
        for there, wanted in zip(image.size, (width, height), strict=True)
    )
    return image.crop((left, top, left + width, top + height))


def _declared_size(data: bytes) -> tuple[int, int]:
    """The size of an image so large that ``Image.open`` refuses it; its decoder alone still reads the header."""
    for name in FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory and accept and accept(data[:16]) is True:
            with suppress(Exception):  # a GIF's frame may be the part that is too large
                return factory(io.BytesIO(data), "").size
    raise InputError(f"has more than the {MAX_PIXELS // 1_000_000} million pixels allowed")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_grey(np.asarray(image), 65535)
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        # Floats carry no range of their own: take the smallest customary one that holds them.
        return _from_grey(values, next((top for top in (1, 255, 65535) if values.max() <= top), values.max()))
    if image.mode == "La":  # premultiplied grey, from TIFF: Pillow converts it in two steps only
        image = image.convert("LA")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(layer, mask=layer.getchannel("A"))
        return white
    return image.convert("RGB")


def _from_grey(values: NDArray, top: float) -> Image.Image:
    """Grey values in ``0..top``, ``[H, W]``, as RGB."""
    scaled = np.clip(values, 0, top).astype(np.float32) * np.float32(255 / top)
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")
