"""Taxonomies that people bring: read as they stand, or refused in a sentence."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.errors import InputError
from t2v_core.space import taxonomy_files
from t2v_core.space.taxonomy_files import MAX_DEPTH, read_taxonomy


def places(text: str) -> dict[str, tuple[str, ...]]:
    return dict(read_taxonomy(text.encode()).places)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_of_paths(separator):
    text = "task,kingdom,class\nPine tree,plants,conifers\nwolf,animals,mammals\nalgae,plants,\nmoss,plants\n\n"
    found = read_taxonomy(text.replace(",", separator).encode("utf-8-sig"))
    assert found.levels == ("kingdom", "class")
    assert dict(found.places) == {
        "pine tree": ("plants", "conifers"),
        "wolf": ("animals", "mammals"),
        "algae": ("plants",),
        "moss": ("plants",),
    }


def test_quoted_cells_and_repeated_rows():
    assert places('label,level\n"cup, blue",things\n"cup, blue",things\n') == {"cup, blue": ("things",)}


def test_a_newick_tree():
    text = "((Pine_tree:0.1,'it''s; a (moss)':2e-3)plants:1,[a comment; (](wolf,cat)animals,virus)life;\n"
    assert places(text) == {
        "pine tree": ("plants", "Pine tree"),
        "it's; a (moss)": ("plants", "it's; a (moss)"),
        "wolf": ("animals", "wolf"),
        "cat": ("animals", "cat"),
        "virus": ("virus",),
    }


def test_inner_nodes_of_one_name_stay_apart():
    # Support values: both 95, and two without a name.
    found = places("((a,b)95,(c,d)95,(e,f),(g,h));")
    assert len({found[x][0] for x in "aceg"}) == 4
    assert found["a"][0] == found["b"][0]


trees = st.recursive(st.none(), lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=20)


@given(st.lists(trees, min_size=1, max_size=3))
def test_any_tree_is_read_back(tree):
    expected: dict[str, tuple[int, ...]] = {}

    def write(node, path) -> str:
        if node is None:
            label = f"leaf {len(expected)}"
            expected[label] = path
            return f"'{label}':1"
        return "(" + ", ".join(write(child, (*path, i)) for i, child in enumerate(node)) + ")"

    found = places(write(tree, ()) + ";")
    assert found.keys() == expected.keys()
    for a in expected:
        assert len(found[a]) == len(expected[a])
        for b in expected:
            same = [x == y for x, y in zip(found[a], found[b], strict=False)]
            assert same == [expected[a][: i + 1] == expected[b][: i + 1] for i in range(len(same))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("task\nwolf\n", "heading row"),
        ("task,level\n", "heading row"),
        (";;\n", "heading row"),
        ("task,level\n,animals\n", "line 2 of the taxonomy has no label"),
        ("task,level\nwolf,\n", "line 2 of the taxonomy has no levels"),
        ("task,a,b\nwolf,,mammals\n", "skips a level"),
        ("task,a\nwolf,animals,mammals\n", "more columns"),
        ("task,a\nwolf,animals\nWolf,plants\n", "line 3.*two places"),
        ('task,a\n"wolf,animals\n', "cannot be read as a table"),
        ("task" + ",x" * (MAX_DEPTH + 1) + "\nwolf,a\n", f"at most {MAX_DEPTH}"),
        ("(a,b)", "without a ';'"),
        ("(a,b));", r"'\)' does not fit"),
        ("((a,b);", "';' does not fit"),
        ("(a b,c);", "character 2"),
        ("(a,,b);", "no label"),
        ("();", "no label"),
        ("(a,b)(c);", "second bracket"),
        ("(a:x,b);", "no branch length"),
        ("(a:,b);", "character 2"),
        ("(a,'b);", "character 4"),
        ("(a,b);(c,d);", "give one tree"),
        ("(a,(a,b));", "two places"),
        ("[only a comment];", "root only"),
        ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1) + ";", "nested more than"),
    ],
)
def test_what_is_malformed_is_refused_in_words(text, message):
    with pytest.raises(InputError, match=message):
        read_taxonomy(text.encode())


def test_bounds_of_size(monkeypatch):
    monkeypatch.setattr(taxonomy_files, "MAX_LABELS", 3)
    with pytest.raises(InputError, match="more than 3 nodes"):
        read_taxonomy(b"(a,b,c,d);")
    with pytest.raises(InputError, match="more than 3 labels"):
        read_taxonomy(b"t,l\na,x\nb,x\nc,x\nd,x\n")
    monkeypatch.setattr(taxonomy_files, "MAX_CHARACTERS", 10)
    with pytest.raises(InputError, match="larger than"):
        read_taxonomy(b"task,level\nwolf,animals\n")


@pytest.mark.parametrize("text", ["(" + "[" * 60_000, "(" + "[a" * 60_000, "(" + " " * 2_000 + "["])
def test_hostile_text_is_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(InputError, match="goes wrong"):
        read_taxonomy(text.encode())
    assert time.process_time() - start < 1


def test_text_that_is_not_utf8():
    with pytest.raises(InputError, match="UTF-8"):
        read_taxonomy("task,level\nwölf,x\n".encode("utf-16"))


@given(st.text(alphabet="ab(),:;'[] \n_1", max_size=30))
def test_nothing_else_than_an_input_error_ever_comes_out(text):
    try:
        found = read_taxonomy(text.encode())
    except InputError as error:
        assert str(error)
    else:
        assert all(path for path in found.places.values())
