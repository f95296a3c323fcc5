"""Letters and signs of several scripts, drawn from a font found on the machine."""

from __future__ import annotations

import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from t2v_core.errors import InputError
from t2v_core.task.worlds import GLYPHS, WorldTask, slug
from t2v_core.task.worlds.drawing import SCALE, SIDE, Draw, generated, paint, shrink

_LOG = logging.getLogger(__name__)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SCRIPTS: dict[str, tuple[tuple[str, ...], str]] = {
    "Latin letters": (("scripts", "alphabets"), "ABEGKMQRSZ"),
    "Greek letters": (("scripts", "alphabets"), "ΓΔΘΛΞΠΣΦΨΩ"),
    "Cyrillic letters": (("scripts", "alphabets"), "БДЖИЛФЦЫЮЯ"),
    "Armenian letters": (("scripts", "alphabets"), "ԱԲԳԴԶԸԹԺԽՔ"),
    "Georgian letters": (("scripts", "alphabets"), "აბგდვკმნქჯ"),
    "Hebrew letters": (("scripts", "abjads"), "אבגטלמסעפש"),
    "Arabic letters": (("scripts", "abjads"), "ابجدسصعقلم"),
    "Braille letters": (("scripts", "tactile scripts"), "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚"),
    "mathematical signs": (("signs", "scientific signs"), "+−×÷=≠∞√∫∑"),
    "arrows": (("signs", "directional signs"), "←↑→↓↔↕↖↗↘↙"),
}
"""Script to its place below "symbols", and the ten glyphs to tell apart."""

# DejaVu Sans covers all of the scripts; the others are there to have most of them where it is missing.
_FONT_FILES = ("DejaVuSans.ttf", "Arial Unicode.ttf", "arialuni.ttf", "segoeui.ttf", "arial.ttf", "Arial.ttf")
_ALL_TRAIN = 60  # training images a glyph in the task over all scripts


def find_font() -> Path | None:
    """The font file that covers most scripts, from the system's folders or matplotlib's; None if there is none."""
    home = Path.home()
    folders = {
        "win32": [Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"],
        "darwin": [Path("/Library/Fonts"), Path("/System/Library/Fonts"), home / "Library/Fonts"],
    }.get(sys.platform, [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts"])
    matplotlib = find_spec("matplotlib")
    if matplotlib and matplotlib.origin:
        folders.append(Path(matplotlib.origin).parent / "mpl-data" / "fonts")
    for name in _FONT_FILES:
        for folder in folders:
            found = sorted(folder.rglob(name)) if folder.is_dir() else []
            if found:
                return found[0]
    return None


def tasks(seed: int, font: Path | None = None) -> list[WorldTask]:
    """One task a script, and one over the glyphs of all scripts, which shares no image with the others.

    Scripts that the font lacks are left out, with a warning in the log.

    Args:
        seed: equal seeds give equal tasks, given the font.
        font: a font file; by default the best found, or else Pillow's own, which is Latin only.

    Raises:
        InputError: the font has none of the scripts, or is no font.
    """
    font = font or find_font()
    scripts = {}
    for script in SCRIPTS:
        try:
            check_script(script, font)
            scripts[script] = SCRIPTS[script]
        except InputError as error:
            _LOG.warning("left out: %s", error)
    if not scripts:
        raise InputError(f"{_called(font)} has none of the scripts; install the font DejaVu Sans.")
    origin = f"{GLYPHS}{_called(font)}"
    found = []
    for script, (above, glyphs) in scripts.items():
        id, path = f"glyphs-{slug(script)}", ("symbols", *above, script)
        found.append(generated(id, script, tuple(glyphs), _drawer(glyphs, font), path, origin, seed))
    everything = "".join(glyphs for _, glyphs in scripts.values())
    name = "glyphs of all scripts"
    path = ("symbols", "all symbols", "all scripts and signs", name)
    drawer = _drawer(everything, font)
    found.append(
        generated("glyphs-all", name, tuple(everything), drawer, path, origin, seed, kind="broad", train=_ALL_TRAIN)
    )
    return found


def check_script(script: str, font: Path | None) -> None:
    """Raises ``InputError`` unless the font has all glyphs of a script."""
    loaded = _load(font, 40)
    # A font shows one and the same box for every character it lacks, U+10FFFF for certain.
    box = _bitmap(loaded, "\U0010ffff")
    missing = [glyph for glyph in SCRIPTS[script][1] if _bitmap(loaded, glyph) in (box, b"")]
    if missing:
        raise InputError(f"{_called(font)} lacks {' '.join(missing)} of the {script}; install the font DejaVu Sans.")


def _bitmap(font: Font, text: str) -> bytes:
    mask = font.getmask(text, mode="L")
    return bytes(mask) if mask.getbbox() else b""


def _load(font: Path | None, size: float) -> Font:
    if font is None:
        return ImageFont.load_default(size)
    try:
        # Basic layout draws a character alone as one with shaping does, and is there in every build of Pillow.
        return ImageFont.truetype(str(font), size, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise InputError(f"{font} cannot be read as a font ({error}).") from error


def _called(font: Path | None) -> str:
    """The font's name, as messages and origins give it."""
    loaded = _load(font, 10)
    return (
        (loaded.getname()[0] or font.stem) if font and isinstance(loaded, ImageFont.FreeTypeFont) else "Pillow's font"
    )


def _drawer(glyphs: str, font: Path | None) -> Draw:
    """Draws glyphs shifted, turned and scaled at random, in random colours."""
    sizes = [_load(font, size * SCALE) for size in range(18, 27)]
    side = SIDE * SCALE

    def draw(rng: np.random.Generator, label: int) -> np.ndarray:
        chosen = sizes[rng.integers(len(sizes))]
        left, top, right, bottom = chosen.getbbox(glyphs[label])
        shift = rng.uniform(-3, 3, 2) * SCALE
        mask = Image.new("L", (side, side))
        corner = ((side - left - right) / 2 + shift[0], (side - top - bottom) / 2 + shift[1])
        ImageDraw.Draw(mask).text(corner, glyphs[label], fill=255, font=chosen)
        return paint(shrink(mask.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)), rng)

    return draw
