"""A person's own CSV files: aligned by label, and every way they can be wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from t2v_core.errors import InputError
from t2v_core.selection.audit import audit
from t2v_core.selection.report import audit_files, audit_text
from t2v_core.selection.tables import meta_task_from_csv, read_table, scores_from_csv

ERRORS = """task,a,b,c
a,1,20,40
b,30,2,60
d,5,10,
"""
SCORES = """,c,a,b
d,1,2,3
b,0.5,0.25,9
x,1,1,1
a,3,0,1
"""


@pytest.fixture
def write(tmp_path):
    def write_(name: str, text: str):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_


def test_rows_and_columns_are_found_by_their_labels(write):
    meta = meta_task_from_csv(write("errors.csv", ERRORS))
    assert meta.allowed.tolist() == [[False, True, True], [True, False, True], [True, True, True]]
    selector, notes = scores_from_csv(meta, write("scores.csv", SCORES))
    np.testing.assert_array_equal(selector.table, [[0, 1, 3], [0.25, 9, 0.5], [2, 3, 1]])
    assert notes == ["The errors do not know the tasks 'x' of the scores; left out."]
    # a: b (20) is the best and the nearest candidate; b: a (30) likewise; d: c is nearest but not measured, so a.
    np.testing.assert_array_equal(audit(meta, [selector]).judged["selected"].error, [20, 30, 5])


def test_labels_without_scores_are_missing(write):
    meta = meta_task_from_csv(write("errors.csv", ERRORS))
    selector, _ = scores_from_csv(meta, write("scores.csv", "t,b\na,1\n"), larger_is_better=True)
    np.testing.assert_array_equal(selector.table, [[np.nan, -1, np.nan]] + [[np.nan] * 3] * 2)


def test_larger_is_better_turns_the_scores(write):
    errors, scores = write("errors.csv", ERRORS), write("scores.csv", SCORES)
    turned = write("turned.csv", ",c,a,b\nd,-1,-2,-3\nb,-0.5,-0.25,-9\nx,0,0,0\na,-3,0,-1\n")
    first, second = audit_files(errors, scores), audit_files(errors, turned, larger_is_better=True)
    assert first["per_task"] == second["per_task"]
    assert first["selected"] == second["selected"]


def test_the_result_is_json_and_complete(write):
    result = audit_files(write("errors.csv", ERRORS), write("scores.csv", SCORES), seed=3)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert set(result) >= {
        "optimal",
        "chance",
        "static",
        "selected",
        "per_task",
        "verdict",
        "kendall",
        "top_k",
        "notes",
    }
    assert set(result["optimal"]) == {"mean", "low", "high", "tasks"}
    assert result["optimal"]["mean"] == pytest.approx((20 + 30 + 5) / 3)
    assert result["missing"] == 1
    assert result["per_task"][2] == {
        "task": "d",
        "selected": "a",
        "selected_error": 5,
        "tied": 1,
        "best": "a",
        "best_error": 5,
        "increase": 0,
    }
    text = audit_text(result)
    assert "note: Missing: 1 of 7 errors" in text
    assert result["verdict"] in text


def test_a_generic_expert_is_compared_and_never_picked(write):
    errors = write("errors.csv", "t,x,y,plain\na,10,20,5\nb,40,20,30\n")
    scores = write("scores.csv", "t,x,y,plain\na,1,2,0\nb,2,1,0\n")
    result = audit_files(errors, scores, generic="plain")
    assert result["generic"]["mean"] == pytest.approx((-50 + 50) / 2)
    assert [row["selected"] for row in result["per_task"]] == ["x", "y"]
    assert "generic" in result["differences"]
    with pytest.raises(InputError, match="no expert 'other'"):
        audit_files(errors, scores, generic="other")


def test_blanks_quotes_marks_and_a_byte_order_mark_do_no_harm(tmp_path):
    path = tmp_path / "e.csv"
    path.write_bytes('\ufefftask , "a, b" ,c\r\n\r\n x,1.5, \r\n"y",NA,2e1\r\n,,\r\n'.encode())
    table = read_table(path)
    assert (table.rows, table.columns) == (("x", "y"), ("a, b", "c"))
    np.testing.assert_array_equal(table.values, [[1.5, np.nan], [np.nan, 20]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no table"),
        ("task,a\n", "holds no table"),
        ("task\nx\n", "holds no table"),
        ("task;a;b\nx;1;2\n", "commas between"),
        ("task,a,a\nx,1,2\n", "several experts called 'a'"),
        ("task,a,b\nx,1,2\nx,1,2\n", "several tasks called 'x'"),
        ("task,a,\nx,1,2\n", "experts without a label"),
        ("task,a,b\n,1,2\n", "tasks without a label"),
        ("task,a,b\nx,1,2\n\ny,1,2,3\n", "line 4 .* has 4 cells where the first line has 3"),
        ("task,a,b\nx,1,2\ny,1,many\n", "'many' for task 'y' and expert 'b'"),
        ("task,a,b\nx,inf,2\n", "'inf' for task 'x' and expert 'a'"),
        ("task,a,b\nx,1,2_0\n", "'2_0' for task 'x' and expert 'b'"),
        ("task,a,b\nx,1,\u0662\u0660\n", "'\u0662\u0660' for task 'x' and expert 'b'"),
        ('task,a,"b\nc"\nx,1,2\n', "experts that cannot be printed on a line: 'b\ufffdc'"),
        (f"task,a,b\n{'x' * 100},1,{'y' * 9000}\n", f"'{'y' * 60}…' for task '{'x' * 60}…' and expert 'b'"),
        ("task,a,b\nx,1,-2\n", "error -2 for task 'x' and expert 'b'; errors are in %"),
        ("task,a,b\nx,100.5,2\n", "error 100.5 for task 'x' and expert 'a'"),
    ],
)
def test_bad_errors_are_named_in_one_sentence(write, text, message):
    with pytest.raises(InputError, match=message) as caught:
        meta_task_from_csv(write("errors.csv", text))
    assert "\n" not in str(caught.value)


def test_files_that_are_none(write, tmp_path):
    (tmp_path / "latin.csv").write_bytes("task,a\nx\xe9,1\n".encode("latin-1"))
    (tmp_path / "wide.csv").write_text(f"task,{'a' * 200_000}\nx,1\n")
    for path in (tmp_path, tmp_path / "latin.csv", tmp_path / "wide.csv"):
        with pytest.raises(InputError, match=f"^'{path.name}' cannot be read as a CSV file"):
            read_table(path)
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "missing.csv")


def test_an_expert_to_choose_is_left(write):
    with pytest.raises(InputError, match="no expert but the generic one"):
        meta_task_from_csv(write("errors.csv", "task,a\nx,1\n"), generic="a")


def test_nothing_in_common(write):
    meta = meta_task_from_csv(write("errors.csv", ERRORS))
    with pytest.raises(InputError, match="no task in common"):
        scores_from_csv(meta, write("scores.csv", "t,a\nz,1\n"))
    with pytest.raises(InputError, match="no expert in common"):
        scores_from_csv(meta, write("scores.csv", "t,z\na,1\n"))
