"""The taxonomic distance against hand-computed cases and the formula."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.space.taxonomy import Taxonomy, own_paths, taxonomic_distance
from tests.space.conftest import record

SPECIES = [
    (("animals", "chordates", "mammals", "rodents"),),
    (("animals", "chordates", "mammals", "rodents"),),
    (("animals", "chordates", "mammals", "carnivores"),),
    (("animals", "chordates", "birds", "songbirds"),),
    (("animals", "arthropods", "insects", "beetles"),),
    (("plants", "flowering", "monocots", "grasses"),),
]

names = st.sampled_from("abc")
places = st.lists(names, min_size=1, max_size=4).map(tuple)


def test_species_by_the_lowest_level_they_share():
    # Method section 4: order, class, phylum, kingdom -> 0..4.
    found = taxonomic_distance(SPECIES)
    np.testing.assert_array_equal(found[0], [0, 0, 1, 2, 3, 4])
    np.testing.assert_array_equal(found[3], [2, 2, 2, 0, 3, 4])
    np.testing.assert_array_equal(found, found.T)


def test_a_task_of_many_classes_is_as_near_as_its_nearest_class():
    both = (SPECIES[0][0], SPECIES[5][0])
    found = taxonomic_distance([*SPECIES, both, ()])
    np.testing.assert_array_equal(found[6, :7], [0, 0, 1, 2, 3, 0, 0])
    assert np.isnan(found[7]).all()
    assert np.isnan(found[:, 7]).all()


def test_a_short_path_shares_its_missing_levels_with_itself_only():
    found = taxonomic_distance([(("a",),), (("a",),), (("a", "b", "c"),), (("a", "b"),)])
    np.testing.assert_array_equal(found, [[0, 0, 2, 2], [0, 0, 2, 2], [2, 2, 0, 1], [2, 2, 1, 0]])


def shared(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@given(st.lists(st.lists(places, min_size=1, max_size=3), min_size=1, max_size=6))
def test_agrees_with_the_minimum_over_all_pairs_of_places(tasks):
    depth = max(len(p) for t in tasks for p in t)
    found = taxonomic_distance(tasks)
    for i, s in enumerate(tasks):
        for j, t in enumerate(tasks):
            assert found[i, j] == min(0 if p == q else depth - shared(p, q) for p in s for q in t)


@given(st.lists(places, min_size=1, max_size=8))
def test_is_an_ultrametric_where_each_task_has_one_place(tasks):
    d = taxonomic_distance([(p,) for p in tasks])
    assert (np.diag(d) == 0).all()
    assert (d[:, None, :] <= np.maximum(d[:, :, None], d[None])).all()


def test_no_tasks_and_no_places():
    assert taxonomic_distance([]).shape == (0, 0)
    assert np.isnan(taxonomic_distance([(), ()])).all()


def test_a_task_is_looked_up_by_id_then_name_then_classes():
    taxonomy = Taxonomy({"t1": ("one",), "big cats": ("two",), "lion": ("three",), "tiger": ("four",)})
    assert taxonomy.paths(record("T1", "Big cats", ("lion",))) == (("one",),)
    assert taxonomy.paths(record("t2", "Big_Cats", ("lion",))) == (("two",),)
    assert taxonomy.paths(record("t3", "cats", ("Lion", "tiger", "puma"))) == (("three",), ("four",))
    assert taxonomy.paths(record("t4", "dogs")) == ()


def test_a_record_brings_its_own_place():
    assert own_paths(record("t", taxonomy=("a", "b"))) == (("a", "b"),)
    assert own_paths(record("t")) == ()
