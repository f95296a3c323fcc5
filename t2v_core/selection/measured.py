"""Selectors whose scores were measured on a bank's targets and experts, and are kept with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import MethodRecord, kept_methods
from t2v_core.embedding.record import PSEUDOTASK
from t2v_core.selection.audit import OFFSET, needs_offset
from t2v_core.selection.meta_task import MetaTask
from t2v_core.selection.regret import FloatArray, chosen_error, relative_increase
from t2v_core.selection.selectors import Selector
from t2v_core.space.distances import asymmetric_by_norm

ALPHAS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Weights of the norm that are tried: distances between tasks of one world differ by hundredths."""


NORM = "-norm"
"""Ends the name of a method whose distances are given credit for the source's norm."""


@dataclass(frozen=True, eq=False)
class Measured(Selector):
    """The kept scores of a method.

    Attributes:
        record: the method.
    """

    record: MethodRecord

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def title(self) -> str:
        return self.record.title

    def scores(self, meta: MetaTask) -> FloatArray:
        """NaN for a target or expert that was not measured."""
        return self.record.scores.reindex(index=meta.tasks, columns=meta.experts).to_numpy(np.float64)


@dataclass(frozen=True, eq=False)
class NormCredit(Selector):
    """d'(a -> b) = d_sym(a, b) - alpha ||F_a|| / m (WLF equation 4), alpha chosen for each target on all others.

    Chosen is the smallest weight that does no worse than the best one by more than a standard error (Breiman et al.
    1984, section 3.4.3): the one with the least mean regret can owe it to a single target.

    Attributes:
        record: a method whose scores are d_sym and whose facts hold ``norms``, by expert id.
        alphas: what to choose from.
    """

    record: MethodRecord
    alphas: tuple[float, ...] = ALPHAS

    @property
    def name(self) -> str:
        return f"{self.record.name}{NORM}"

    @property
    def title(self) -> str:
        return f"{self.record.title}; credit for sources of large norm, tuned on the other targets"

    def scores(self, meta: MetaTask) -> FloatArray:
        tried = self._tried(meta)
        regrets = self._regrets(meta, tried)
        return np.stack([tried[_smallest_good(np.delete(regrets, t, 0))][t] for t in range(len(meta.tasks))])

    def alpha(self, meta: MetaTask) -> float:
        """The weight chosen on all targets."""
        return self.alphas[_smallest_good(self._regrets(meta, self._tried(meta)))]

    def _tried(self, meta: MetaTask) -> list[FloatArray]:
        """The scores ``[T, E]`` under each alpha."""
        norms = self.record.facts["norms"]
        sources = np.array([norms.get(e, np.nan) for e in meta.experts])
        distance = Measured(self.record).scores(meta)
        return [asymmetric_by_norm(distance, sources, alpha) for alpha in self.alphas]

    def _regrets(self, meta: MetaTask, tried: list[FloatArray]) -> FloatArray:
        """The regret ``[T, A]`` of each alpha's pick."""
        errors, offset = meta.candidate_errors, OFFSET if needs_offset(meta).any() else 0.0
        return np.column_stack([relative_increase(chosen_error(errors, s), meta.best, offset) for s in tried])


def _smallest_good(regrets: FloatArray) -> int:
    """Which of the weights ``[A]``, from small to large, does well enough by its regrets ``[T, A]``; see NormCredit."""
    known = regrets[np.isfinite(regrets).all(1)]
    if len(known) < 2:
        return 0
    behind = known - known[:, [known.mean(0).argmin()]]
    error = behind.std(0, ddof=1) / np.sqrt(len(known))
    # What a single target decides lies one standard error behind to the last digit.
    return int((behind.mean(0) <= error * (1 + 1e-9)).argmax())


def measured_selectors(bank: Bank) -> list[Selector]:
    """A selector for every method whose scores the bank keeps; none for a bank on which nothing was measured."""
    found: list[Selector] = []
    for record in kept_methods(bank).values():
        if not record.costs_only:
            found.append(Measured(record))
        if "norms" in record.facts and record.name.partition(":")[0] == PSEUDOTASK:
            found.append(NormCredit(record))
    return found
