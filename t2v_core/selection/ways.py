"""The ways to rank experts that a person can ask for: what each compares, and whether it reads labels."""

from __future__ import annotations

from dataclasses import dataclass

from t2v_core.embedding.record import DOMAIN, PSEUDOTASK, TASK2VEC
from t2v_core.embedding.tangent_kernel import TANGENT
from t2v_core.errors import InputError


@dataclass(frozen=True)
class Way:
    """One way.

    Attributes:
        name: as in commands, links and results.
        title: what it goes by, for people.
        method: the embedding it compares.
        labels: whether it needs labels of two classes or more; one that does not never reads any.
    """

    name: str
    title: str
    method: str
    labels: bool


WAYS = {
    way.name: way
    for way in (
        Way("asymmetric", "nearest task, with credit for complex sources", TASK2VEC, True),
        Way("model2vec", "nearest expert, moved to where its errors on other tasks put it", TASK2VEC, True),
        Way("symmetric", "nearest task", TASK2VEC, True),
        Way(PSEUDOTASK, "nearest task, the probe's own classifier in place of labels", PSEUDOTASK, False),
        Way(DOMAIN, "most similar-looking images, labels ignored", DOMAIN, False),
        Way(TANGENT, "most similar task to untrained networks, no pre-trained one involved", TANGENT, True),
    )
}
DEFAULT, WITHOUT_LABELS = "asymmetric", PSEUDOTASK
REMAINING = "pseudotask or domain, which read no labels"
"""What is left where labels are missing or too few."""


def way(name: str) -> Way:
    """The way called ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in WAYS:
        raise InputError(f"there is no selector {name!r}; choose one of {', '.join(WAYS)}")
    return WAYS[name]
