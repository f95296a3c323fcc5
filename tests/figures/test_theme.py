"""The look: every colour is seen on a light page and on a dark one, and names are no markup."""

from __future__ import annotations

import numpy as np
import pytest

from t2v_core.figures.theme import (
    LINE,
    OTHER,
    OTHER_COLOUR,
    PALETTE,
    UPLOAD_COLOUR,
    as_text,
    group_colours,
    top_groups,
)

LIGHT, DARK = "#FFFFFF", "#171614"
LEAST = {LIGHT: 2.2, DARK: 3.0}
"""Orange and sky blue, which colour-blind people need, are no darker than this on white."""


SIGHT = {
    "all colours": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What is left of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1)."""

TO_CONES = [
    [0.41222147, 0.53633254, 0.05144599],
    [0.21190350, 0.68069955, 0.10739696],
    [0.08830246, 0.28171884, 0.62997870],
]
TO_LAB = [
    [0.21045426, 0.79361779, -0.00407205],
    [1.97799850, -2.42859221, 0.45059371],
    [0.02590404, 0.78277177, -0.80867577],
]
"""Of Oklab (Ottosson 2020), in which 0.02 is a difference just to be seen."""


def linear(colour: str) -> np.ndarray:
    """The light of an sRGB colour: red, green, blue."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2) of an sRGB colour."""
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("sight", SIGHT)
def test_colour_blind_people_tell_groups_apart(sight):
    light = np.stack([linear(colour) for colour in (*PALETTE, OTHER_COLOUR)]) @ np.transpose(SIGHT[sight])
    seen = np.cbrt(np.clip(light, 0, 1) @ np.transpose(TO_CONES)) @ np.transpose(TO_LAB)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    assert apart[np.triu_indices(len(apart), 1)].min() > 0.04


@pytest.mark.parametrize("page", [LIGHT, DARK])
@pytest.mark.parametrize("colour", [*PALETTE, LINE, OTHER_COLOUR, UPLOAD_COLOUR])
def test_colours_stand_out_from_the_page(colour, page):
    light, dark = sorted([luminance(colour), luminance(page)], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= LEAST[page]


def test_a_group_keeps_its_colour_when_others_are_hidden():
    every = [f"g{i:02d}" for i in range(14) for _ in range(20 - i)]  # the first ten are the most frequent
    usual = group_colours(top_groups(every), every)
    assert set(usual) == {*(f"g{i:02d}" for i in range(10)), OTHER}
    assert len(set(usual.values())) == 11
    some = ["g03", "g12", "g03", "g07", "g11"]
    found = group_colours(top_groups(some), every)
    assert list(found) == ["g03", "g07", "g11", "g12"]
    assert {name: found[name] for name in ("g03", "g07")} == {name: usual[name] for name in ("g03", "g07")}
    assert len(set(found.values())) == 4  # those beyond the ten take what nothing shown has
    last = [f"g{i:02d}" for i in range(4, 14)]
    assert sorted(group_colours(top_groups(last), every).values()) == sorted(PALETTE)


def test_names_are_no_markup():
    assert as_text("<b>&lt;</b>") == "&lt;b&gt;&amp;lt;&lt;/b&gt;"
    assert as_text("cats & dogs") == "cats &amp; dogs"
