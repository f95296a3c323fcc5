"""CIFAR-100's classes and superclasses, and where they stand in the one tree that spans all worlds.

The 20 superclasses of five classes are the data set's own (Krizhevsky 2009). The levels above them are ours and keep
to common knowledge: people are mammals, mushrooms are no plants. Every name stands for one node with one parent.
"""

from __future__ import annotations

_TREE = {
    "natural things / living things / animals / vertebrates / mammals": {
        "aquatic mammals": "beaver, dolphin, otter, seal, whale",
        "large carnivores": "bear, leopard, lion, tiger, wolf",
        "large omnivores and herbivores": "camel, cattle, chimpanzee, elephant, kangaroo",
        "medium mammals": "fox, porcupine, possum, raccoon, skunk",
        "people": "baby, boy, girl, man, woman",
        "small mammals": "hamster, mouse, rabbit, shrew, squirrel",
    },
    "natural things / living things / animals / vertebrates": {
        "fish": "aquarium fish, flatfish, ray, shark, trout",
        "reptiles": "crocodile, dinosaur, lizard, snake, turtle",
    },
    "natural things / living things / animals / invertebrates": {
        "insects": "bee, beetle, butterfly, caterpillar, cockroach",
        "non-insect invertebrates": "crab, lobster, snail, spider, worm",
    },
    "natural things / living things / plants and fungi": {
        "flowers": "orchid, poppy, rose, sunflower, tulip",
        "fruit and vegetables": "apple, mushroom, orange, pear, sweet pepper",
        "trees": "maple tree, oak tree, palm tree, pine tree, willow tree",
    },
    "natural things / inanimate nature / landscapes": {
        "large natural outdoor scenes": "cloud, forest, mountain, plain, sea",
    },
    "artefacts / indoor things / household goods": {
        "food containers": "bottle, bowl, can, cup, plate",
        "household electrical devices": "clock, keyboard, lamp, telephone, television",
        "household furniture": "bed, chair, couch, table, wardrobe",
    },
    "artefacts / outdoor things / constructions": {
        "large man-made outdoor things": "bridge, castle, house, road, skyscraper",
    },
    "artefacts / outdoor things / vehicles": {
        "vehicles 1": "bicycle, bus, motorcycle, pickup truck, train",
        "vehicles 2": "lawn mower, rocket, streetcar, tank, tractor",
    },
}

SUPERCLASSES: dict[str, tuple[str, ...]] = {
    superclass: tuple(classes.split(", ")) for branch in _TREE.values() for superclass, classes in branch.items()
}
"""Superclass to its five classes."""

PATHS: dict[str, tuple[str, ...]] = {
    superclass: (*above.split(" / "), superclass) for above, branch in _TREE.items() for superclass in branch
}
"""Superclass to its path, coarse to fine, itself included."""

CLASSES: tuple[str, ...] = tuple(sorted(name for classes in SUPERCLASSES.values() for name in classes))
"""The 100 classes in alphabetical order, as the data set numbers them."""


def classes_under(node: str) -> tuple[str, ...]:
    """The CIFAR-100 classes below a node of the tree, in alphabetical order; a class is a node too.

    Raises:
        ValueError: there is no such node.
    """
    if node in CLASSES:
        return (node,)
    found = sorted(name for superclass, path in PATHS.items() if node in path for name in SUPERCLASSES[superclass])
    if not found:
        raise ValueError(f"{node!r} is neither a class of CIFAR-100 nor a node above one")
    return tuple(found)


def select(nodes: str) -> tuple[str, ...]:
    """Classes named by a list of nodes, read from left to right, "-" taking away: ``"mammals, -people, shark"``."""
    chosen: set[str] = set()
    for node in nodes.split(", "):
        if node.startswith("-"):
            chosen -= set(classes_under(node[1:]))
        else:
            chosen |= set(classes_under(node))
    return tuple(sorted(chosen))


def common_path(superclasses: list[str]) -> tuple[str, ...]:
    """The path to the deepest node that all of some superclasses share."""
    levels = zip(*(PATHS[superclass] for superclass in superclasses), strict=False)
    shared = []
    for nodes in levels:
        if len(set(nodes)) > 1:
            break
        shared.append(nodes[0])
    return tuple(shared)


def group(superclass: str) -> str:
    """The third-level node above a superclass: animals, plants and fungi, landscapes, household goods, ..."""
    return PATHS[superclass][2]
