"""Reading a taxonomy that a person brings: a table of paths (CSV), or a tree in Newick notation."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

from t2v_core.errors import InputError
from t2v_core.space.taxonomy import Path, Taxonomy, plain

MAX_CHARACTERS = 10_000_000
MAX_LABELS = 200_000
MAX_DEPTH = 64

# Foreign text: no expression here may try a stretch of it twice.
_COMMENT = re.compile(r"('(?:[^']|'')*')|\[[^\[\]]*\]")
_STEP = re.compile(
    r"\s*+(?:(\()|('(?:[^']|'')*'|[^\s'()\[\],:;]*)"  # an opening bracket, or a label which may be empty,
    r"\s*+(?::\s*+([^\s'()\[\],:;]+))?\s*+([,);]))"  # its branch length, and what ends the node
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read_taxonomy(data: bytes) -> Taxonomy:
    """Read a taxonomy; a file that opens with a bracket is Newick, any other a table.

    Raises:
        InputError: it is too large, no UTF-8 text, or malformed.
    """
    if len(data) > MAX_CHARACTERS:
        raise InputError(f"the taxonomy is larger than {MAX_CHARACTERS // 10**6} MB; leave out what is in no task")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("the taxonomy is not UTF-8 text; save it as CSV (UTF-8) or Newick") from error
    if not text.strip():
        raise InputError("the taxonomy is empty; give a table with a label and one column a level, or a Newick tree")
    return read_newick(text) if text.lstrip()[0] in "([" else read_paths(text)


def read_paths(text: str) -> Taxonomy:
    """Read a table: a heading row; then a task or class label and one column a level, coarse to fine.

    Columns are separated by commas, semicolons or tabs. A row may end early: blank cells at its end are no levels.

    Raises:
        InputError: with the number of the offending line.
    """
    heading = text.lstrip().partition("\n")[0]
    separator = max(",;\t", key=heading.count)
    places: dict[str, Path] = {}
    try:
        reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise InputError(f"the taxonomy cannot be read as a table: {error}; save it as plain CSV") from error
    rows = [(line, row) for line, row in rows if any(row)]
    titles, body = (rows[0][1], rows[1:]) if rows else ([], [])
    if len(titles) < 2 or not body:
        raise InputError("the taxonomy needs a heading row, a first column of labels and one column for each level")
    if len(titles) - 1 > MAX_DEPTH:
        raise InputError(f"the taxonomy has {len(titles) - 1} levels; at most {MAX_DEPTH} are read")
    for line, row in body:
        label, levels = row[0], row[1:]
        while levels and not levels[-1]:
            levels.pop()
        if not label or not levels:
            raise InputError(f"line {line} of the taxonomy has no {'levels' if label else 'label'}; fill it in")
        if len(levels) > len(titles) - 1:
            raise InputError(f"line {line} of the taxonomy has more columns than the heading; add their titles")
        if not all(levels):
            raise InputError(f"line {line} of the taxonomy skips a level; only the last levels of a row may be blank")
        _add(places, label, tuple(levels), f"line {line}")
    return Taxonomy(places, tuple(titles[1:]))


def read_newick(text: str) -> Taxonomy:
    """Read one tree in Newick notation; its leaves are the labels, branch lengths and comments are passed over.

    Inner nodes may have names; those without, or with a name used twice, are numbered. The root, which all
    share, is no level.

    Raises:
        InputError: with the position of what is wrong.
    """
    text = _COMMENT.sub(lambda found: found[1] or " " * len(found[0]), text)
    names, children = [""], [list[int]()]
    node, above, position = 0, list[int](), 0
    while True:
        found = _STEP.match(text, position)
        if found is None:
            start = len(text) - len(text[position:].lstrip())
            what = f"{text[start : start + 20]!r}" if start < len(text) else "the end, without a ';',"
            raise InputError(f"the Newick tree goes wrong at character {start + 1}: {what} is not expected there")
        opening, label, length, closing = found.groups()
        where = f"at character {found.end()} of the Newick tree"
        position = found.end()
        if opening:
            if children[node]:
                raise InputError(f"a second bracket opens for one node {where}; a ',' is missing")
            above.append(node)
            if len(above) > MAX_DEPTH:
                raise InputError(f"brackets are nested more than {MAX_DEPTH} deep {where}")
        else:
            names[node] = label[1:-1].replace("''", "'") if label[:1] == "'" else label.replace("_", " ")
            if length and not _NUMBER.fullmatch(length):
                raise InputError(f"{length!r} is no branch length {where}")
            if (closing == ";") == bool(above):
                raise InputError(f"{closing!r} does not fit the brackets {where}; one is missing or too many")
            if closing == ";":
                break
        if closing == ")":
            node = above.pop()
        else:
            node = len(names)
            names.append("")
            children.append([])
            children[above[-1]].append(node)
            if node > MAX_LABELS:
                raise InputError(f"the Newick tree has more than {MAX_LABELS:,} nodes")
    if text[position:].strip():
        raise InputError(f"something follows the ';' at character {position} of the Newick tree; give one tree")
    return Taxonomy(_leaf_paths(children, names))


def _leaf_paths(children: list[list[int]], names: list[str]) -> dict[str, Path]:
    """The path of every leaf below the root, by label."""
    used = Counter(name for name, below in zip(names, children, strict=True) if below)
    places: dict[str, Path] = {}
    waiting: list[tuple[int, Path]] = [(child, ()) for child in children[0]]
    while waiting:
        node, above = waiting.pop()
        name = names[node]
        if children[node]:
            title = name if name and used[name] == 1 else f"{name or 'node'} ({node})"
            waiting.extend((child, (*above, title)) for child in children[node])
        elif not name.strip():
            raise InputError("a leaf of the Newick tree has no label; name every leaf after a task or class")
        else:
            _add(places, name, (*above, name), "the Newick tree")
    if not places:
        raise InputError("the Newick tree has a root only; give one leaf for each task or class")
    return places


def _add(places: dict[str, Path], label: str, path: Path, where: str) -> None:
    if places.setdefault(plain(label), path) != path:
        raise InputError(f"{where}: the label {label!r} stands at two places; a label has one path")
    if len(places) > MAX_LABELS:
        raise InputError(f"the taxonomy has more than {MAX_LABELS:,} labels")
