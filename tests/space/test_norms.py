"""What is said of the norm: a conclusion where there is evidence, and none where there is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from t2v_core.space.correlation import RankCorrelation
from t2v_core.space.norms import verdict, within_kinds

NO_KINDS = pd.DataFrame(columns=["kind", "tasks", "ρ", "from", "to"])


def together(low: float, high: float) -> RankCorrelation:
    return RankCorrelation((low + high) / 2, low, high, 30)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.2, 0.6, "That is in line with the paper."),
        (-0.6, -0.2, "So the paper's finding is not seen in this bank."),
        (-0.3, 0.4, "So this bank neither shows the paper's finding nor refutes it."),
        (np.nan, np.nan, ""),
    ],
)
def test_all_tasks_together(low, high, words):
    assert verdict(together(low, high), NO_KINDS) == words


def kinds(*signs: int) -> pd.DataFrame:
    rows = [(str(i), 20, 0.4 * sign, 0.4 * sign - 0.2, 0.4 * sign + 0.2) for i, sign in enumerate(signs)]
    return pd.DataFrame(rows, columns=NO_KINDS.columns)


@pytest.mark.parametrize(
    ("low", "high", "signs", "words"),
    [
        (0.2, 0.6, (1, 1, 0), "rises in 2, falls in 0 and is not to be told from chance in 1 of 3. That is in line"),
        (0.2, 0.6, (-1, -1), "All tasks together and single kinds do not agree"),
        (-0.1, 0.3, (1, 1), "do not agree"),
        (-0.1, 0.3, (-1, 0), "not seen in this bank"),
        (-0.1, 0.3, (1, -1), "neither shows"),
        (-0.6, -0.2, (0, 0), "not seen in this bank"),
    ],
)
def test_single_kinds_have_a_say(low, high, signs, words):
    assert words in verdict(together(low, high), kinds(*signs))


def test_kinds_with_too_few_tasks_are_not_counted():
    tasks = pd.DataFrame({"group": ["a"] * 30 + ["b"] * 2, "norm": np.arange(32.0), "error": np.arange(32.0)})
    found = within_kinds(tasks, "error")
    assert found["kind"].tolist() == ["a"]
    assert found.loc[0, ["tasks", "ρ"]].tolist() == [30, pytest.approx(1)]
