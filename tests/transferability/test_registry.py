"""The registry says what the functions do, and all of them refuse bad input in one sentence."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from t2v_core.errors import InputError
from t2v_core.transferability.arrays import WITHOUT_CLASSES
from t2v_core.transferability.emd import class_means
from t2v_core.transferability.h_score import h_score
from t2v_core.transferability.registry import SCORES, Needs
from tests.transferability.samples import clusters, probabilities

LABELLED = [name for name, score in SCORES.items() if score.classes == 2]
OF_FEATURES = [name for name in LABELLED if SCORES[name].needs is Needs.EXPERT_FEATURES]
OF_PROBABILITIES = [name for name in LABELLED if SCORES[name].needs is Needs.EXPERT_PROBABILITIES]


def refusal(name: str, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        SCORES[name].function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def given(name: str, apart: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    features, labels = clusters(images=60, apart=apart)
    if SCORES[name].needs is Needs.EXPERT_FEATURES:
        return features, labels
    grown = np.exp(apart * np.eye(3)[labels] + probabilities(0, len(labels), 3))
    return grown / grown.sum(1, keepdims=True), labels


def test_there_are_nine_and_names_are_their_own():
    assert len(SCORES) == 9
    assert all(score.name == name for name, score in SCORES.items())
    assert len({score.title for score in SCORES.values()}) == 9


@pytest.mark.parametrize("name", SCORES)
def test_the_docstring_names_the_direction(name):
    direction = "Higher is better" if SCORES[name].higher_is_better else "Lower is better"
    assert direction in inspect.getdoc(SCORES[name].function)


@pytest.mark.parametrize("name", LABELLED)
def test_a_better_expert_of_a_labelled_task_scores_higher(name):
    assert SCORES[name].higher_is_better
    assert SCORES[name].function(*given(name, 4.0)) > SCORES[name].function(*given(name, 0.1))


def test_a_nearer_task_scores_better():
    rng = np.random.default_rng(0)
    target, near, far = rng.normal(size=(3, 50, 4)) + np.array([0, 0.5, 5])[:, None, None]
    labels = np.arange(50) % 5
    means = [class_means(rows, labels) for rows in (target, near, far)]
    assert SCORES["emd"].function(*means[0], *means[1]) > SCORES["emd"].function(*means[0], *means[2])
    assert SCORES["h_divergence"].function(target, near) < SCORES["h_divergence"].function(target, far)


def test_which_scores_run_every_expert():
    assert {name for name, score in SCORES.items() if not score.runs_every_expert} == {"h_divergence", "emd"}


def test_the_scores_named_for_a_task_without_classes_are_those_that_need_none():
    assert {score.title for score in SCORES.values() if score.classes == 1} == set(WITHOUT_CLASSES)


@pytest.mark.parametrize("name", LABELLED)
def test_one_class_is_refused_and_what_remains_is_named(name):
    values, labels = given(name)
    message = refusal(name, values, np.zeros_like(labels))
    assert SCORES[name].title in message
    assert all(title in message for title in WITHOUT_CLASSES)


@pytest.mark.parametrize("name", LABELLED)
def test_a_class_with_one_image_is_refused_where_two_are_needed(name):
    values, labels = given(name)
    labels[5] = 8
    if SCORES[name].per_class == 1:
        assert np.isfinite(SCORES[name].function(values, labels))
    else:
        assert "at least 2 images of every class and class 8 has 1" in refusal(name, values, labels)


@pytest.mark.parametrize("name", LABELLED)
def test_missing_numbers_and_rows_are_refused(name):
    values, labels = given(name)
    assert "give one label per image" in refusal(name, values, labels[:-1])
    assert "give one row per image" in refusal(name, values[0], labels)
    missing = labels.astype(float)
    missing[4] = np.nan
    assert "image 4 has no label" in refusal(name, values, missing)
    names = [f"class {label}" for label in labels]
    for nothing in (None, float("nan")):  # as an empty cell of a table comes
        assert "image 4 has no label" in refusal(name, values, [*names[:4], nothing, *names[5:]])
        assert "image 4 has no label" in refusal(name, values, np.array([*names[:4], nothing, *names[5:]], object))
    for broken in (np.nan, np.inf):
        spoiled = values.copy()
        spoiled[7, 1] = spoiled[9, 0] = broken
        assert "2 of 60 rows, first in row 7" in refusal(name, spoiled, labels)


def test_a_large_feature_that_never_varies_hides_no_other():
    features = np.column_stack([np.full(40, 1e8), np.repeat([0.0, 1.0], 20)])
    assert h_score(features, np.repeat([0, 1], 20)) == pytest.approx(1)


@pytest.mark.parametrize("name", OF_FEATURES)
def test_constant_features_are_refused(name):
    _, labels = given(name)
    for constant in (np.zeros(5), np.array([0.3, -2.0, 1e6, 5.0, 0.0])):
        same = np.tile(constant, (len(labels), 1))
        assert "same for all 60 images" in refusal(name, same, labels)
        rounded = same.astype(np.float32)
        rounded[::2, 2] = np.nextafter(rounded[::2, 2], np.float32(2e6)) if constant[2] else 0
        assert "same for all 60 images" in refusal(name, rounded, labels)


@pytest.mark.parametrize("name", OF_PROBABILITIES)
def test_an_expert_without_a_classifier_and_logits_are_refused(name):
    values, labels = given(name)
    assert "no classifier" in refusal(name, None, labels)
    assert "give softmax outputs" in refusal(name, np.log(values), labels)
    assert "give softmax outputs" in refusal(name, 3 * values, labels)


@pytest.mark.parametrize("name", LABELLED)
def test_float32_features_give_the_same_score(name):
    values, labels = given(name)
    narrow = values.astype(np.float32)
    assert SCORES[name].function(narrow, labels) == pytest.approx(SCORES[name].function(values, labels), abs=1e-4)
