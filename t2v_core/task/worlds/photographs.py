"""The tasks over CIFAR-100 that tell classes apart: superclasses, their twins, mixtures and broad groups."""

from __future__ import annotations

import numpy as np

from t2v_core.task.worlds import WorldTask, attributes, slug
from t2v_core.task.worlds.cifar100 import Cifar100, Share
from t2v_core.task.worlds.taxonomy import PATHS, SUPERCLASSES, common_path, group, select

ORIGIN_A = "CIFAR-100, training images"
ORIGIN_B = "CIFAR-100, test images"

# Of 500 images a class in A: 400 to train and 100 held out at most. Of 100 in B: 40 and 60.
LARGE = Share(0.8, 0.2)
SMALL = Share(0.4, 0.6)
BROAD = Share(0.4, 0.04)

N_MIXED = 48

_BROAD = {
    # The mammals leave out people, whose pictures are portraits and resemble no animal's.
    "mammals": ("mammals, -people", PATHS["people"][:-1]),
    "animals": ("animals, -people", (*PATHS["people"][:3], "animals of 45 classes")),
    "man-made things": (
        "artefacts",
        ("artefacts", "indoor and outdoor things", "things of every use", "man-made things of 30 classes"),
    ),
}


def tasks(data: Cifar100, seed: int) -> list[WorldTask]:
    """All tasks over CIFAR-100, attributes included; equal seeds give equal tasks."""
    return [
        *_superclasses(data, seed),
        *_mixed(data, seed),
        *attributes.tasks(data, seed, ORIGIN_A, ORIGIN_B),
        *_broad(data, seed),
    ]


def _superclasses(data: Cifar100, seed: int) -> list[WorldTask]:
    found = []
    for superclass, classes in SUPERCLASSES.items():
        chosen, labels = data.large.choose(classes, LARGE, seed)
        found.append(
            chosen.task(
                f"a-{slug(superclass)}", "large", f"{superclass} (A)", classes, labels, PATHS[superclass], ORIGIN_A
            )
        )
        chosen, labels = data.small.choose(classes, SMALL, seed)
        found.append(
            chosen.task(f"b-{slug(superclass)}", "twin", superclass, classes, labels, PATHS[superclass], ORIGIN_B)
        )
    return found


def _mixed(data: Cifar100, seed: int) -> list[WorldTask]:
    found = []
    for number, (superclasses, classes) in enumerate(draw_mixtures(N_MIXED, seed), 1):
        name = f"mixed: {', '.join(classes)}"
        chosen, labels = data.small.choose(classes, SMALL, seed)
        id = f"b-mixed-{number:02d}-{slug(' '.join(classes[:2]))}"
        found.append(chosen.task(id, "mixed", name, classes, labels, _mixed_path(superclasses, name), ORIGIN_B))
    return found


def draw_mixtures(count: int, seed: int) -> list[tuple[list[str], tuple[str, ...]]]:
    """Distinct sets of four to six classes out of two or three superclasses, as (superclasses, classes).

    In turn: a pair of related superclasses (of one third-level node of the tree), a pair of unrelated ones (of
    different nodes), a related triple, an unrelated one. Each superclass gives an even share of the classes.
    """
    rng = np.random.default_rng([seed, 0x3178])
    groups: dict[str, list[str]] = {}
    for superclass in SUPERCLASSES:
        groups.setdefault(group(superclass), []).append(superclass)
    drawn: dict[frozenset[str], tuple[list[str], tuple[str, ...]]] = {}
    while len(drawn) < count:
        parts, related = 2 + len(drawn) // 2 % 2, len(drawn) % 2 == 0
        if related:
            wide = [members for members in groups.values() if len(members) >= parts]
            chosen = list(rng.choice(wide[rng.integers(len(wide))], parts, replace=False))
        else:
            chosen = [str(rng.choice(groups[name])) for name in rng.choice(list(groups), parts, replace=False)]
        superclasses = [str(name) for name in chosen]
        sizes = [len(share) for share in np.array_split(np.arange(rng.integers(4, 7)), parts)]
        classes = tuple(
            str(name)
            for superclass, size in zip(superclasses, sizes, strict=True)
            for name in rng.choice(SUPERCLASSES[superclass], size, replace=False)
        )
        drawn.setdefault(frozenset(classes), (superclasses, classes))
    return list(drawn.values())


def _mixed_path(superclasses: list[str], name: str) -> tuple[str, ...]:
    """Below the node that the superclasses share; unrelated ones have a branch of their own."""
    above = common_path(superclasses)
    if len(above) >= 3:
        return (*above, name)
    realms = sorted({PATHS[superclass][0] for superclass in superclasses})
    groups = sorted({group(superclass) for superclass in superclasses})
    return ("mixtures", f"mixtures of {' and '.join(realms)}", " with ".join(groups), name)


def _broad(data: Cifar100, seed: int) -> list[WorldTask]:
    found = []
    for name, (nodes, path) in _BROAD.items():
        classes = select(nodes)
        chosen, labels = data.large.choose(classes, BROAD, seed)
        found.append(chosen.task(f"a-broad-{slug(name)}", "broad", f"{name} (A)", classes, labels, path, ORIGIN_A))
    return found
