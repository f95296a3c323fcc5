"""Why the static rule is strong on some tasks: experts that learned many classes serve whatever the task is about.

A distance between tasks says what an expert resembles, not how much it has learned. Where a bank holds a few experts
of far more classes than the rest, the rule that always names the same expert names one of those.
"""

from __future__ import annotations

import numpy as np

from t2v_core.selection.meta_task import MetaTask
from t2v_core.selection.regret import FloatArray, best_error, chosen_error, estimates, relative_increase, static_scores
from t2v_core.selection.words import counted, interval, listed

FACTOR = 3
"""As many times the classes of the usual expert make a broad one."""


def why_static(meta: MetaTask, scores: FloatArray, *, offset: float = 0.0, seed: int = 0) -> str:
    """What broad experts have to do with a rule that does not beat static, as two sentences; empty where nothing.

    Args:
        meta: the targets it was judged on.
        scores: ``[T, E]`` of the rule.
        offset: of the denominator, see ``relative_increase``.
        seed: of the bootstrap over tasks.
    """
    learned = np.zeros(len(meta.experts)) if meta.learned is None else meta.learned
    usual = np.median(learned[learned > 0]) if learned.any() else np.inf
    broad = learned >= FACTOR * usual
    everyone = meta.candidate_errors
    best_on = int(((everyone == meta.best[:, None]) & broad).any(1).sum())
    errors = np.where(broad, np.nan, everyone)
    best = best_error(errors)
    if not best_on or not np.isfinite(best).any():
        return ""
    of_static, of_rule = (
        relative_increase(chosen_error(errors, by), best, offset) for by in (static_scores(errors), scores)
    )
    static, rule, gain = estimates(np.column_stack([of_static, of_rule, of_static - of_rule]), seed=seed)
    names = [name for name, hit in zip(meta.expert_names, broad, strict=True) if hit]
    are, them = ("is", "it") if len(names) == 1 else ("are", "them")
    return (
        f"Always naming one expert is hard to beat where some learned far more than others: {listed(names)} "
        f"({learned[broad].min():.0f} to {learned[broad].max():.0f} classes, the usual expert {usual:.0f}) {are} the "
        f"best on {best_on} of {counted(int(np.isfinite(meta.best).sum()), 'task')}, and a distance says what an "
        f"expert resembles, not how much it learned. Without {them} among the candidates the static rule loses "
        f"{static.mean:.1f} %{interval(static)} and the default rule {rule.mean:.1f} %{interval(rule)}, "
        f"{gain.mean:.1f} points{interval(gain)} less."
    )
