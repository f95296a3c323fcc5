"""What to start from once heads have been fitted: the nearest expert, unless another network is clearly better."""

from __future__ import annotations

import pytest

from t2v_core.selection.advice import advise
from t2v_core.selection.meta_task import GENERIC


def fitted(accuracy, half=0.05):
    return {"accuracy": accuracy, "low": accuracy - half, "high": accuracy + half}


def ranking(*accuracies):
    return [
        {"expert_id": f"e{n}", "name": f"expert {n}", "rank": n, "fitted": None if a is None else fitted(a)}
        for n, a in enumerate(accuracies, start=1)
    ]


@pytest.mark.parametrize(
    ("accuracies", "generic", "start", "says"),
    [
        ((None, None), None, "e1", ""),
        ((0.8, 0.6), 0.5, "e1", "The nearest expert is also the most accurate."),
        ((0.8, 0.6), 0.75, "e1", "No expert is clearly better than the generic network."),
        ((0.7, 0.75), 0.5, "e1", "expert 2 comes out ahead, but within the noise"),
        ((0.6, 0.75), 0.5, "e2", "start from expert 2."),
        ((0.6, 0.75), 0.75, "e2", "No expert is clearly better than the generic network."),
        ((0.6, 0.75), 0.9, GENERIC, "gets 90% [85%, 95%] right, on the best expert compared 75% [70%, 80%]"),
        ((None, 0.75), 0.5, "e1", "expert 2 comes out ahead"),
    ],
)
def test_measured_differences_overrule_distances_where_intervals_part(accuracies, generic, start, says):
    found = advise(ranking(*accuracies), None if generic is None else fitted(generic))
    assert found.expert_id == start
    assert found.measured == (start != "e1")
    assert says in found.sentence and bool(found.sentence) == bool(says)
