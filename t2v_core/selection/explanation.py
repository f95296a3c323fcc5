"""Why an expert stands where it does, and how far to trust that, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from t2v_core.bank.records import UPLOAD, TaskRecord
from t2v_core.selection.audit import ALL
from t2v_core.selection.ranking import Ranked
from t2v_core.selection.words import counted
from t2v_core.space.distances import ALPHA

SURE, HALF_SURE = 0.2, 0.4
"""Softness below which the probe's classifier counts as sure, and as half sure. The bundled one reaches 0.11 on images
of its own classes and 0.38 on those of CIFAR-100."""

CREDITED = ("asymmetric", "model2vec")
"""Ways whose distances have the complexity of the source taken off."""

UNTOLD = "Without labels the ranking knows which images you have, but not what you want to tell apart in them."

KIND_WORDS = {
    "twin": "the same classes as an expert, in new images",
    "mixed": "mixed classes",
    "attribute": "labels that an expert learned, on other images",
    "attribute without expert": "labels that no expert learned",
    UPLOAD: "what people here brought",
}
"""What a target of each kind has in common with the experts."""


def familiarity(ranked: list[Ranked], usual: NDArray) -> str:
    """Whether anything in the bank resembles the task, in one sentence.

    Args:
        ranked: the experts, nearest first.
        usual: ``[T, E]`` distances of the bank's own tasks to their candidates, NaN for others.
    """
    nearest = np.array([np.nanmin(row) for row in usual if np.isfinite(row).any()])
    if len(nearest) < 10:
        return "The bank is too small to say whether your task is unusual for it."
    share = float((nearest < ranked[0].distance).mean())
    if share > 0.95:
        return (
            f"Unfamiliar: {share:.0%} of the bank's own tasks lie nearer to their best expert than yours does. "
            "Trust the ranking little; the generic expert may serve as well."
        )
    return f"Familiar: your task is nearer to its expert than {_of(1 - share)} the bank's own tasks are to theirs."


def reason(r: Ranked, source: TaskRecord, known: NDArray, classes: tuple[str, ...]) -> str:
    """Why an expert stands where it does.

    Args:
        r: its place.
        source: the task it was trained on.
        known: distances between the bank's own tasks and their candidates.
        classes: names of the target's classes; none where its labels had no say.
    """
    listed = ", ".join(source.classes[:5]) + (", ..." if len(source.classes) > 5 else "")
    text = f"It was trained to tell apart {len(source.classes)} classes ({listed})."
    if len(known):
        nearer = float((known > r.distance).mean())
        text += f" Its task lies nearer to yours than {_of(nearer)} the bank's expert-task pairs lie to each other."
    common = sorted({c.casefold() for c in classes} & {c.casefold() for c in source.classes})
    if common:
        text += f" Class names in common: {', '.join(common[:5])}."
    return text


def _of(share: float) -> str:
    """A share as what it is of."""
    return "all of" if share >= 0.995 else f"{share:.0%} of"


def credit_taken(selector: str) -> str:
    """Why a distance can be below 0, in one sentence; empty where it cannot."""
    if selector not in CREDITED:
        return ""
    return (
        f"A distance can be below 0: {ALPHA:g} times how complex the expert's own task is was taken off it, as an "
        "expert that learned much is often the better start."
    )


def sureness(softness: float) -> str:
    """How sure a classifier of such softness is, in a word or two."""
    return "sure" if softness < SURE else "half sure" if softness < HALF_SURE else "unsure"


def teacher(facts: Mapping[str, object]) -> str:
    """How sure the probe's own classifier, in place of labels, was of the images, and what follows.

    Args:
        facts: of a PseudoTask embedding: ``softness``, ``confidence``, ``classes_predicted``.
    """
    softness, confidence = float(str(facts["softness"])), float(str(facts["confidence"]))
    how, classes = sureness(softness), int(str(facts["classes_predicted"]))
    then = {
        "sure": "they look like what it was trained on. Sure is not right, but its guesses can stand in for labels",
        "half sure": "they look in part like what it was trained on, so its guesses say something of them",
        "unsure": "they look like little it was trained on, so its guesses say little; labels for some would help",
    }[how]
    if classes == 1:
        then = "it gives all of them the same name, so it hardly tells them apart; labels for some would help"
    return (
        f"The probe's own classifier, which stood in for labels, is {how} of your images (its first guess gets "
        f"{confidence:.0%} on average, {counted(classes, 'of its classes comes', 'of its classes come')} first "
        f"somewhere): {then}."
    )


def losses(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What a rule loses on each kind of target, as rows of a table; none where no kind was measured.

    Args:
        records: a result's ``track_record``.
    """
    by_kind = {r["kind"]: r for r in records}
    rows = []
    for kind, words in KIND_WORDS.items():
        if kind in by_kind:
            r = by_kind[kind]
            labelled = {"with labels": r["with_labels"]} if r.get("with_labels") else {}
            costs = {"by this rule": r["increase"]} | labelled | {"always the best on the others": r["static"]}
            rows.append({"tasks with": words} | {name: f"{cost['mean']:.0f} %" for name, cost in costs.items()})
    return rows


def apart(records: Sequence[Mapping[str, Any]]) -> str:
    """``losses`` in one sentence; empty where there are none."""
    parts = [
        f"{row['by this rule']} where the task had {row['tasks with']} ("
        + (f"with labels: {row['with labels']}; " if "with labels" in row else "")
        + f"the expert best on the other tasks: {row['always the best on the others']})"
        for row in losses(records)
    ]
    return f"Apart: {'; '.join(parts)}." if parts else ""


def given_up(records: Sequence[Mapping[str, Any]]) -> str:
    """What a ranking lacks that reads no labels, as measured, over all targets and on each kind of them.

    Args:
        records: a result's ``track_record``.
    """
    measured = next((str(r["sentence"]) for r in records if r["kind"] == ALL), "")
    parts = (
        UNTOLD,
        measured or "What that costs was not measured in this bank.",
        apart(records),
    )
    return " ".join(filter(None, parts))
