"""Taxonomic distance between tasks (T2V section 3.3): what the task distance is held against."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from t2v_core.bank.records import TaskRecord

Path = tuple[str, ...]


@dataclass(frozen=True)
class Taxonomy:
    """Where labels stand in a tree.

    Attributes:
        places: path from coarse to fine of every label (a task's id or name, or a class name), by ``plain`` label.
        levels: names of the levels from coarse to fine; shorter than the depth where they have none.
    """

    places: Mapping[str, Path]
    levels: tuple[str, ...] = ()

    def paths(self, task: TaskRecord) -> tuple[Path, ...]:
        """The task's own place, by its id or its name; otherwise the places of its classes; empty if none is known."""
        for label in (task.id, task.name):
            if plain(label) in self.places:
                return (self.places[plain(label)],)
        found = [self.places[plain(c)] for c in task.classes if plain(c) in self.places]
        return tuple(dict.fromkeys(found))


def plain(label: str) -> str:
    """A label as it is looked up: case, underscores and repeated blanks make no difference."""
    return " ".join(label.replace("_", " ").casefold().split())


def own_paths(task: TaskRecord) -> tuple[Path, ...]:
    """The place a task's record gives it; empty if none."""
    return (task.taxonomy,) if task.taxonomy else ()


def taxonomic_distance(paths: Sequence[Sequence[Path]], depth: int = 0) -> NDArray[np.float32]:
    """D_tax(a, b) = min over places i of a, j of b of d(i, j), d the ultrametric of the tree.

    d(i, j) = H - (levels that i and j share from the top), H the greatest depth: 0 for one and the same place,
    H for two that share nothing. A path shorter than H shares its missing levels only with itself.

    Args:
        paths: the places of each of n tasks, each from coarse to fine; none where the task is not in the taxonomy.
        depth: H at least, where these are some of a larger taxonomy.

    Returns:
        ``[n, n]`` whole numbers 0..H; NaN for tasks without a place.
    """
    count = len(paths)
    depth = max([depth, *(len(path) for places in paths for path in places)])
    missing = np.array([not places for places in paths], dtype=bool)
    distance = np.full((count, count), depth, dtype=np.float32)
    for level in range(1, depth + 1):
        members: dict[Path, list[int]] = defaultdict(list)
        for task, places in enumerate(paths):
            # Padding tells a short path's end from every node that lies below it.
            for node in {path[:level] + ("",) * (level - len(path)) for path in places}:
                members[node].append(task)
        for tasks in members.values():
            distance[np.ix_(tasks, tasks)] = depth - level
    distance[missing] = distance[:, missing] = np.nan
    return distance
