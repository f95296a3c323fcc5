"""Transfer distance and data efficiency: the arithmetic by hand, and tiny experiments from end to end."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from t2v_core import experiments
from t2v_core.bank.records import TrialEntry
from t2v_core.cli import main
from t2v_core.errors import InputError
from t2v_core.experiments import TrialOptions, efficiency, transfer
from t2v_core.experts.trials import sample
from t2v_core.selection.trials import ROLES, efficiency_table, roles, summary, transfer_rows

TINY = {"epochs": 1, "images_per_epoch": 64, "repeats": 2}


def quiet(*_) -> None:
    pass


def trial(expert: str, seed: int, error: float, task: str = "b") -> TrialEntry:
    return TrialEntry(f"{task}{expert}{seed}", task, expert, "fine-tuned", "brief-0", 0, 50, seed, error, 20, 1.0)


def test_the_transfer_distance_by_hand():
    """E[l_b] = 20; gains of the seeds are (10 - 16) / 20 and (20 - 24) / 20."""
    found = transfer_rows(
        [trial("generic", 0, 16), trial("generic", 1, 24), trial("a", 0, 10), trial("a", 1, 20)], ["a"]
    )
    (row,) = found
    assert row["d_ft"] == pytest.approx(-0.25)  # (15 - 20) / 20
    assert row["spread"] == pytest.approx(np.std([-0.3, -0.2], ddof=1))
    assert (row["source"], row["target"], row["repeats"], row["error"], row["generic_error"]) == ("a", "b", 2, 15, 20)


def test_no_gain_where_there_is_no_error_to_reduce():
    (row,) = transfer_rows([trial("generic", 0, 0.0), trial("a", 0, 5.0)], ["a"])
    assert row["d_ft"] is None
    assert row["spread"] is None


def test_larger_samples_contain_smaller_ones_and_are_balanced():
    labels = np.repeat([0, 1, 2], [30, 20, 10])
    train = np.arange(60) % 5 > 0
    small, large = (set(sample(labels, train, n, seed=3).tolist()) for n in (2, 6))
    assert small < large
    assert np.bincount(labels[sorted(large)]).tolist() == [6, 6, 6]
    assert train[sorted(large)].all()
    assert set(sample(labels, train, 6, seed=4).tolist()) != large
    assert len(sample(labels, train, 0, seed=0)) == train.sum()
    with pytest.raises(InputError, match="8 training images and 9"):
        sample(labels, train, 9, seed=0)


def table(rows: list[tuple[str, str, int, int, float]]) -> pd.DataFrame:
    full = [
        {"task": task, "role": role, "mode": mode, "per_class": size, "seed": seed, "error": error}
        for task, role, size, seed, error in rows
        for mode in ("frozen", "fine-tuned")
    ]
    return pd.DataFrame(full)


def test_a_line_is_of_the_same_tasks_from_end_to_end():
    """Task y has no trial of size 5, and z none of the best expert."""
    rows = [("x", role, size, seed, 10.0 + seed + size) for role in ROLES for size in (2, 5) for seed in (0, 1)]
    rows += [("y", role, 2, seed, 30.0 + seed) for role in ROLES for seed in (0, 1)]
    rows += [("z", role, 2, 0, 99.0) for role in ROLES[:2]]
    found = summary(table(rows))
    assert set(found["per_class"]) == {2}
    line = found[(found["role"] == "picked") & (found["mode"] == "frozen")].iloc[0]
    assert line["mean"] == pytest.approx((12 + 30 + 13 + 31) / 4)
    assert line["spread"] == pytest.approx(np.std([21.0, 22.0], ddof=1))
    assert (line["repeats"], line["tasks"]) == (2, 2)
    assert summary(table([]).reindex(columns=["task", "role", "mode"])).empty


def test_an_experiment_under_way_has_no_lines_yet():
    """Frozen trials come first, the experts one after the other."""
    whole = table([("x", role, 2, 0, 10.0) for role in ROLES])
    assert not summary(whole).empty
    assert summary(whole[whole["mode"] == "frozen"]).empty
    assert summary(whole[whole["role"] == "generic"]).empty


@pytest.mark.slow
def test_efficiency_from_end_to_end(bank):
    options = TrialOptions(tasks=("stripes", "colours"), sizes=(2, 5, 1000), **TINY)
    found = efficiency(bank, options, quiet)
    assert found["targets"] == ["stripes", "colours"] or found["targets"] == ["colours", "stripes"]
    rows = pd.DataFrame(found["rows"])
    assert set(rows["role"]) == {"picked", "generic", "best"}
    assert set(rows["mode"]) == {"frozen", "fine-tuned"}
    assert set(rows["per_class"]) == {2, 5}  # no task has 1,000 images of a class
    assert ((rows["mean"] >= 0) & (rows["mean"] <= 100)).all()
    chosen = roles(bank)["stripes"]
    assert chosen["best"] == bank.errors().loc["stripes"].drop("generic").idxmin()
    kept = efficiency_table(bank)
    assert len(kept) == 2 * 3 * 2 * 2 * 2
    frozen = kept[(kept["mode"] == "frozen") & (kept["task"] == "stripes")]
    assert (frozen.groupby("per_class")["images"].first() == [2 * 4, 5 * 4]).all()


def test_no_trial_is_made_twice(bank, monkeypatch):
    options = TrialOptions(sources=("shapes",), tasks=("stripes",), **TINY)
    first = transfer(bank, options, quiet)
    assert [row["source"] for row in first["rows"]] == ["expert-shapes"]
    assert first["rows"][0]["repeats"] == 2
    monkeypatch.setattr(experiments, "trial_error", None)
    assert transfer(bank, options, quiet) == first


def test_trials_travel_with_the_bank(bank, tmp_path):
    from t2v_core.bank.bank import Bank
    from t2v_core.bank.transfer import export_bank, import_bank

    entry = TrialEntry("a" * 64, "stripes", "generic", "frozen", "", 2, 8, 0, 40.0, 80, 1.0)
    bank.save_trial(entry)
    export_bank(bank, tmp_path / "bank.zip")
    other = Bank(tmp_path / "other")
    import_bank(other, tmp_path / "bank.zip")
    assert other.trials() == [entry]
    other.delete_task("stripes")
    assert other.trials() == []


def test_commands(capsys, bank_path):
    common = [
        "--bank",
        str(bank_path),
        "--tasks",
        "stripes",
        "--epochs",
        "1",
        "--images-per-epoch",
        "64",
        "--repeats",
        "1",
    ]
    assert main(["experts", "transfer", "--sources", "expert-digits", *common]) == 0
    assert "expert-digits -> stripes: " in capsys.readouterr().out
    assert main(["experts", "efficiency", "--sizes", "2", "--json", *common]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 6


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        (transfer, TrialOptions(sources=("nobody",)), "'nobody' is no expert"),
        (transfer, TrialOptions(sources=("shapes",), repeats=0), "--repeats"),
        (transfer, TrialOptions(sources=("shapes",), schedule="slow"), "no schedule 'slow'"),
        (efficiency, TrialOptions(sizes=(1, 2)), "--sizes must be at least 2"),
        (efficiency, TrialOptions(sizes=(900,)), "smaller --sizes"),
    ],
)
def test_options_at_fault_are_named(bank, run, options, message):
    with pytest.raises(InputError, match=message):
        run(bank, options, quiet)


def test_without_errors_nothing_can_be_picked(bank):
    from sqlalchemy import delete

    from t2v_core.bank import schema

    with bank.engine.begin() as connection:
        connection.execute(delete(schema.error))
    with pytest.raises(InputError, match="errors fill"):
        efficiency(bank, TrialOptions(), quiet)
