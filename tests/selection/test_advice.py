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
        ((0.8, 0.6), 0.75, "e1", "No expert is clearly better than the generic network: "),
        ((0.7, 0.75), 0.5, "e1", "expert 2 comes out ahead, but within the noise"),
        ((0.6, 0.75), 0.5, "e2", "start from expert 2."),
        ((0.6, 0.75), 0.75, "e2", "No expert is clearly better than the generic network: "),
        ((0.6, 0.75), 0.9, GENERIC, "gets 90% [85%, 95%] right, on the best expert compared 75% [70%, 80%]"),
        ((None, 0.75), 0.5, "e1", "expert 2 comes out ahead"),
    ],
)
def test_where_a_result_has_no_paired_differences_intervals_must_part(accuracies, generic, start, says):
    found = advise(ranking(*accuracies), None if generic is None else fitted(generic))
    assert found.expert_id == start
    assert found.measured == (start != "e1")
    assert says in found.sentence and bool(found.sentence) == bool(says)


def over(low, high):
    return {"gain": (low + high) / 2, "low": low, "high": high}


@pytest.mark.parametrize(
    ("nearest", "generic", "start", "says"),
    [
        (
            over(0.01, 0.09),
            over(0.1, 0.2),
            "e2",
            "ahead of the generic network: +15 points [10, 20] on",
        ),
        (over(-0.01, 0.09), over(0.1, 0.2), "e1", "expert 2 comes out ahead, but within the noise"),
        (
            over(0.01, 0.09),
            over(-0.01, 0.09),
            "e2",
            "No expert is clearly better than the generic network: the best",
        ),
        (over(0.01, 0.09), over(-0.2, -0.1), GENERIC, "start from the generic network"),
    ],
)
def test_differences_on_the_same_images_decide_whatever_the_intervals(nearest, generic, start, says):
    rows = ranking(0.7, 0.75)
    rows[1]["fitted"] |= {"over_nearest": nearest, "over_generic": generic}
    found = advise(rows, fitted(0.74))
    assert found.expert_id == start
    assert says in found.sentence
