"""The look: every colour is seen on a light page and on a dark one, and names are no markup."""

from __future__ import annotations

import numpy as np
import pytest

from t2v_core.figures.theme import LINE, OTHER_COLOUR, PALETTE, UPLOAD_COLOUR, as_text

LIGHT, DARK = "#FFFFFF", "#171614"
LEAST = {LIGHT: 2.2, DARK: 3.0}
"""Orange and sky blue, which colour-blind people need, are no darker than this on white."""


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2) of an sRGB colour."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("page", [LIGHT, DARK])
@pytest.mark.parametrize("colour", [*PALETTE, LINE, OTHER_COLOUR, UPLOAD_COLOUR])
def test_colours_stand_out_from_the_page(colour, page):
    light, dark = sorted([luminance(colour), luminance(page)], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= LEAST[page]


def test_names_are_no_markup():
    assert as_text("<b>&lt;</b>") == "&lt;b&gt;&amp;lt;&lt;/b&gt;"
    assert as_text("cats & dogs") == "cats &amp; dogs"
