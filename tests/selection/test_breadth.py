"""Why static is strong: told where a few experts learned far more classes than the rest, and by the right numbers."""

from __future__ import annotations

import numpy as np
import pytest

from t2v_core.selection.audit import audit
from t2v_core.selection.breadth import why_static
from t2v_core.selection.selectors import Given
from t2v_core.selection.ways import DEFAULT
from tests.selection.metas import make_meta

ERRORS = np.array([[10, 20, 30, 15], [30, 10, 20, 15], [20, 30, 10, 15], [14, 21, 28, 7]], dtype=float)
"""The last expert is good everywhere and the best for one task."""

NEAREST = np.array([[0, 1, 2, 3], [2, 0, 1, 3], [1, 2, 0, 3], [1, 0, 2, 3]], dtype=float)
"""A rule that finds the best of the narrow ones, but for the last task: 14 would be best, it names 21."""

LEARNED = np.array([5, 2, 5, 40])


def test_it_is_what_is_left_without_the_broad_expert():
    text = why_static(make_meta(ERRORS, learned=LEARNED), NEAREST)
    assert "'e3' (40 to 40 classes, the usual expert 5) is the best on 1 of 4 tasks" in text
    # Without e3: the rule loses 50 % on the last task alone. Static names, by the other tasks, e0, e0 (or e2), ...
    errors = ERRORS[:, :3]
    loss = []
    for t in range(4):
        others = np.delete(errors, t, 0).mean(0)
        loss.append(100 * (errors[t, others == others.min()].mean() / errors[t].min() - 1))
    assert f"the static rule loses {np.mean(loss):.1f} %" in text
    assert "and the default rule 12.5 %" in text


@pytest.mark.parametrize(
    "learned",
    [None, np.zeros(4, dtype=int), np.array([5, 5, 5, 14]), np.array([5, 2, 40, 5])],
    ids=["nothing known", "all unknown", "none broad", "broad but never best"],
)
def test_nothing_is_said_where_there_is_nothing_to_say(learned):
    errors = ERRORS.copy()
    errors[:, 2] = 50
    assert why_static(make_meta(errors, learned=learned), NEAREST) == ""


def test_an_audit_says_it_of_the_default_rule_where_static_is_not_beaten():
    meta = make_meta(np.tile(ERRORS, (5, 1)), learned=LEARNED)
    lost, found = np.tile(NEAREST, (5, 1)), meta.errors
    assert audit(meta, [Given(DEFAULT, "", lost)]).why_static == why_static(meta, lost)
    assert audit(meta, [Given(DEFAULT, "", found)]).why_static == ""
    assert audit(meta, [Given("another", "", lost)]).why_static == ""
