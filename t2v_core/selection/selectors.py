"""What a selector is, and the rules every selector is compared with: chance, generic and static."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from t2v_core.selection.meta_task import MetaTask
from t2v_core.selection.regret import FloatArray, best_first, chosen_error, static_scores, usable


class Selector(ABC):
    """A rule that names an expert for a task it has not been tried on.

    Attributes:
        name: stable and short, for instance ``"asymmetric"``.
        title: what the rule does, for people.
    """

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def title(self) -> str: ...

    @abstractmethod
    def scores(self, meta: MetaTask) -> FloatArray:
        """Scores ``[T, E]`` of the experts for each task: lower is better, NaN where there is none.

        A rule that learns from errors never uses those of the task it scores.
        """

    def error(self, meta: MetaTask, scores: FloatArray) -> FloatArray:
        """``[T]`` error in % (expected, where its scores are tied) of what it names; NaN where it names nothing."""
        return chosen_error(meta.candidate_errors, scores)

    def heads(self, meta: MetaTask) -> int:
        """Heads that must be fitted for one new task before this rule can name an expert: its cost."""
        return 0


@dataclass(frozen=True)
class Given(Selector):
    """Scores computed elsewhere.

    Attributes:
        label, about: name and title of the rule they stem from.
        table: ``[T, E]`` for the meta-task they will be asked for.
        cost: heads fitted for one task.
    """

    label: str
    about: str
    table: FloatArray
    cost: int = 0

    @property
    def name(self) -> str:
        return self.label

    @property
    def title(self) -> str:
        return self.about

    def scores(self, meta: MetaTask) -> FloatArray:
        return self.table

    def heads(self, meta: MetaTask) -> int:
        return self.cost


class Chance(Selector):
    """A uniform pick, in expectation: all candidates score alike."""

    name = "chance"
    title = "any expert, at random"

    def scores(self, meta: MetaTask) -> FloatArray:
        return np.zeros(meta.errors.shape)


class Generic(Selector):
    """No expert at all: the network they were fine-tuned from."""

    name = "generic"
    title = "the network before any fine-tuning"

    def scores(self, meta: MetaTask) -> FloatArray:
        return np.full(meta.errors.shape, np.nan)

    def error(self, meta: MetaTask, scores: FloatArray) -> FloatArray:
        return np.full(len(meta.tasks), np.nan) if meta.generic is None else meta.generic


class Static(Selector):
    """Always the expert that is best on the *other* tasks (method section 6): what any selector has to beat."""

    name = "static"
    title = "always the expert that was best on the other tasks, without looking at the task"

    def scores(self, meta: MetaTask) -> FloatArray:
        return static_scores(meta.candidate_errors)


class Oracle(Selector):
    """Always the best expert there is, which takes trying all of them: what no selector can do better than."""

    name = "oracle"
    title = "the best expert there is, found by trying all of them"

    def scores(self, meta: MetaTask) -> FloatArray:
        return meta.candidate_errors

    def heads(self, meta: MetaTask) -> int:
        return len(meta.experts)


@dataclass(frozen=True)
class TwoStage(Selector):
    """A shortlist by another selector, then a head for each of its experts, and the lowest head error.

    The head's error is taken from the error matrix, which also judges the pick: what a two-stage choice
    reaches when the comparison of heads is as good as the measurement itself.

    Attributes:
        first: makes the shortlist.
        k: its length, and the heads it costs.
    """

    first: Selector
    k: int = 3

    @property
    def name(self) -> str:
        return f"{self.first.name} + {self.k} heads"

    @property
    def title(self) -> str:
        return f"a head fitted on each of the {self.k} first experts by “{self.first.name}”, the best of them taken"

    def scores(self, meta: MetaTask) -> FloatArray:
        """The head errors of the shortlist; after it, above every error, the others as the first stage ranks them."""
        errors, first = meta.candidate_errors, self.first.scores(meta)
        place = best_first(errors, first).argsort(1)
        rest = np.where(np.isfinite(usable(errors, first)), 100.0 + place, np.nan)
        return np.where(place < self.k, np.minimum(rest, meta.errors), rest)

    def heads(self, meta: MetaTask) -> int:
        return self.k + self.first.heads(meta)


REFERENCES: tuple[Selector, ...] = (Chance(), Generic(), Static())
"""What stands beside every audited selector."""
