"""Binary attributes of CIFAR-100 images: some follow from the class, some are measured on the pixels.

What a class says of its images is common knowledge with its usual blur: a class has the attribute if a typical
member has it. All attribute tasks of a set share their images and differ in their labels alone.
"""

from __future__ import annotations

import numpy as np

from t2v_core.task.worlds import Kind, WorldTask, slug
from t2v_core.task.worlds.cifar100 import Cifar100, Pool, Share
from t2v_core.task.worlds.statistics import STATISTICS
from t2v_core.task.worlds.taxonomy import CLASSES, select

# Of each class, 10 images to train and 20 held out in B; 40 and 10 in A.
SMALL = Share(0.1, 0.2)
LARGE = Share(0.08, 0.02)

_BY_CLASS = {
    "kinds": {
        "living thing": "living things, forest",
        "animal": "animals",
        "vertebrate": "vertebrates",
        "mammal": "mammals",
        "invertebrate": "invertebrates",
        "plant": "plants and fungi, -mushroom, forest",
        "flower or fruit": "flowers, fruit and vegetables, -mushroom",
        "made by people": "artefacts",
        "vehicle": "vehicles, -lawn mower",
    },
    "bodies": {
        "furry": "mammals, -people, -dolphin, -whale, -elephant, -porcupine",
        "four-legged": "large carnivores, camel, cattle, elephant, medium mammals, small mammals, beaver, otter, "
        "crocodile, lizard, turtle",
        "six legs or more": "insects, crab, lobster, spider",
        "animal without legs": "fish, dolphin, whale, snake, snail, worm",
        "shell or armour": "beetle, cockroach, crab, lobster, snail, crocodile, turtle, tank",
        "long tail": "beaver, otter, leopard, lion, tiger, wolf, camel, cattle, elephant, kangaroo, medium mammals, "
        "mouse, shrew, squirrel, ray, shark, crocodile, dinosaur, lizard",
        "striped or spotted": "leopard, tiger, raccoon, skunk, aquarium fish, trout, bee, butterfly, caterpillar",
    },
    "ways of life": {
        "lives in water": "aquatic mammals, fish, crocodile, turtle, crab, lobster",
        "lives in the sea": "dolphin, seal, whale, fish, -trout, turtle, crab, lobster",
        "hunts other animals": "large carnivores, -bear, dolphin, otter, seal, whale, fox, shrew, flatfish, ray, "
        "shark, trout, crocodile, lizard, snake, spider",
        "lives on plants": "beaver, camel, cattle, elephant, kangaroo, porcupine, rabbit, squirrel, bee, butterfly, "
        "caterpillar, snail",
        "active at night": "leopard, lion, tiger, beaver, medium mammals, hamster, mouse, cockroach",
        "lives in woods": "bear, leopard, tiger, wolf, chimpanzee, beaver, medium mammals, shrew, squirrel, beetle, "
        "mushroom, maple tree, oak tree, pine tree, forest",
        "at home in hot countries": "leopard, lion, tiger, camel, chimpanzee, elephant, kangaroo, crocodile, orange, "
        "orchid, palm tree",
    },
    "uses": {
        "commonly eaten": "fruit and vegetables, cattle, rabbit, flatfish, trout, crab, lobster",
        "kept or grown by people": "camel, cattle, hamster, rabbit, aquarium fish, bee, flowers, fruit and vegetables",
        "dangerous to people": "large carnivores, elephant, shark, crocodile, snake, tank",
        "pest of house or garden": "mouse, raccoon, possum, skunk, beetle, caterpillar, cockroach, snail, spider",
        "carries people": "vehicles, -lawn mower, camel, elephant",
        "runs on wheels": "vehicles 1, lawn mower, streetcar, tractor",
        "driven by an engine": "bus, motorcycle, pickup truck, train, vehicles 2",
        "runs on electricity": "household electrical devices, lawn mower, streetcar, train",
        "seen on a kitchen table": "food containers, fruit and vegetables, table",
        "seen in a living room": "household furniture, clock, lamp, telephone, television",
    },
    "forms and materials": {
        "fits in a hand": "fruit and vegetables, bottle, bowl, can, cup, telephone, flowers, -sunflower, hamster, "
        "mouse, shrew, insects, snail, spider, worm",
        "larger than a person": "bear, lion, tiger, camel, cattle, elephant, dolphin, whale, shark, crocodile, "
        "dinosaur, trees, landscapes, constructions, vehicles, -bicycle, -motorcycle, -lawn mower",
        "mostly metal": "vehicles, can, bridge",
        "wooden": "bed, chair, table, wardrobe, trees, forest",
        "glass or china": "food containers, -can, clock, lamp, television, skyscraper",
        "round": "apple, orange, bowl, cup, plate, clock, poppy, rose, sunflower",
        "box-shaped": "bus, train, streetcar, house, skyscraper, bed, television, wardrobe",
        "long and narrow": "caterpillar, worm, crocodile, lizard, snake, bottle, keyboard, bridge, road, rocket, train",
    },
    "places": {
        "usually indoors": "household goods, aquarium fish, hamster",
        "scenery": "landscapes, constructions",
        "seen in a city street": "bicycle, bus, motorcycle, pickup truck, streetcar, bridge, house, road, skyscraper",
        "seen in a garden": "flowers, apple, pear, maple tree, squirrel, bee, beetle, butterfly, caterpillar, snail, "
        "spider, worm, lawn mower",
        "seen in open country": "lion, camel, cattle, elephant, kangaroo, rabbit, plain, tractor, road, sunflower",
    },
}

_GROUPS = {name: group for group, attributes in _BY_CLASS.items() for name in attributes}
_MEMBERS = {name: select(nodes) for attributes in _BY_CLASS.values() for name, nodes in attributes.items()}

ATTRIBUTES: tuple[str, ...] = (*_MEMBERS, *STATISTICS)
"""All attributes; each is the name of a task over set B."""

ATTRIBUTE_EXPERTS: tuple[str, ...] = (
    "living thing",
    "furry",
    "lives in water",
    "commonly eaten",
    "runs on wheels",
    "usually indoors",
    "larger than a person",
    "reddish",
    "finely textured",
)
"""Attributes that have a task over set A too, for an expert to train on."""


def tasks(data: Cifar100, seed: int, origin_a: str, origin_b: str) -> list[WorldTask]:
    """All attributes over B, then ``ATTRIBUTE_EXPERTS`` over A."""
    # One threshold for both sets: half of A lies above it, and about half of B.
    thresholds = {name: float(np.median(measure(data.large.pixels))) for name, (_, measure) in STATISTICS.items()}
    return [
        *_tasks("b", "attribute", data.small, ATTRIBUTES, SMALL, thresholds, seed, origin_b),
        *_tasks("a", "attribute-source", data.large, ATTRIBUTE_EXPERTS, LARGE, thresholds, seed, origin_a),
    ]


def _tasks(
    letter: str,
    kind: Kind,
    pool: Pool,
    names: tuple[str, ...],
    share: Share,
    thresholds: dict[str, float],
    seed: int,
    origin: str,
) -> list[WorldTask]:
    chosen, numbers = pool.choose(CLASSES, share, seed)
    found = []
    for name in names:
        if name in _MEMBERS:
            has = np.isin(numbers, [CLASSES.index(member) for member in _MEMBERS[name]])
            path = ("attributes", "attributes of the thing", _GROUPS[name], name)
        else:
            aspect, measure = STATISTICS[name]
            has = measure(chosen.pixels) > thresholds[name]
            path = ("attributes", "attributes of the picture", aspect, name)
        title = f"{name} (A)" if kind == "attribute-source" else name
        id = f"{letter}-is-{slug(name)}"
        found.append(chosen.task(id, kind, title, ("no", "yes"), has.astype(np.int64), path, origin))
    return found
