"""The scores by name: which way is better, what each needs, and so what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from t2v_core.transferability.emd import emd_similarity
from t2v_core.transferability.h_divergence import h_divergence
from t2v_core.transferability.h_score import h_score, h_score_shrunk
from t2v_core.transferability.knn import knn
from t2v_core.transferability.leep import leep
from t2v_core.transferability.logme import logme
from t2v_core.transferability.nce import nce
from t2v_core.transferability.rsa import rsa


class Needs(StrEnum):
    """What must be computed on the target's images before a score can be."""

    PROBE_FEATURES = "probe features only"
    EXPERT_FEATURES = "features of every expert"
    EXPERT_PROBABILITIES = "classifier probabilities of every expert"


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes:
        name: as in files and links.
        title: as on a page.
        function: its arguments are in its own docstring.
        higher_is_better: the direction of its values.
        needs: the forward passes behind it.
        labels: whether the target's labels take part.
        classes: fewest classes of the target it can serve.
        per_class: fewest images of each.
    """

    name: str
    title: str
    function: Callable[..., float]
    higher_is_better: bool
    needs: Needs
    labels: bool
    classes: int
    per_class: int

    @property
    def runs_every_expert(self) -> bool:
        """Whether a new target costs a forward pass of its images through every expert."""
        return self.needs is not Needs.PROBE_FEATURES


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("h_divergence", "H-divergence", h_divergence, False, Needs.PROBE_FEATURES, False, 1, 1),
        Score("emd", "EMD", emd_similarity, True, Needs.PROBE_FEATURES, True, 1, 1),
        Score("rsa", "RSA", rsa, True, Needs.EXPERT_FEATURES, False, 1, 1),
        Score("leep", "LEEP", leep, True, Needs.EXPERT_PROBABILITIES, True, 2, 1),
        Score("nce", "NCE", nce, True, Needs.EXPERT_PROBABILITIES, True, 2, 1),
        Score("h_score", "H-score", h_score, True, Needs.EXPERT_FEATURES, True, 2, 2),
        Score("h_score_shrunk", "H-score (shrunk)", h_score_shrunk, True, Needs.EXPERT_FEATURES, True, 2, 2),
        Score("logme", "LogME", logme, True, Needs.EXPERT_FEATURES, True, 2, 1),
        Score("knn", "kNN", knn, True, Needs.EXPERT_FEATURES, True, 2, 2),
    )
}
