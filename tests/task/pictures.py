"""Small real image files and folders of them."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from t2v_core.task.record import InputSpec

SPEC = InputSpec(resize=20, crop=16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def encode(image: Image.Image, file_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def picture(seed: int = 0, size: tuple[int, int] = (24, 18), file_format: str = "PNG") -> bytes:
    """An image whose pixels only its seed decides."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encode(Image.fromarray(pixels), file_format)


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def fill(root: Path, names: Iterable[str]) -> Path:
    """Write one distinct image for each name."""
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(seed))
    return root


def class_names(counts: dict[str, int], prefix: str = "") -> list[str]:
    return [f"{prefix}{label}/{number}.png" for label, count in counts.items() for number in range(count)]


def pack(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def is_one_sentence(error: BaseException) -> bool:
    """Whether a person can read the message: one line, one sentence, not a Python object's printout."""
    text = str(error)
    return 10 < len(text) < 300 and "\n" not in text and ". " not in text and "<" not in text.replace("<class>", "")
