"""What the norm of the embedding has to do with error and size (T2V Fig. 2 right, suppl. Fig. 2), in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from t2v_core.space.correlation import LEAST, RankCorrelation, rank_correlation


def interval(found: RankCorrelation) -> str:
    """A correlation as people read it."""
    return f"ρ = {found.rho:+.2f}, 95 %: {found.low:+.2f} to {found.high:+.2f}, {found.tasks} tasks"


def grows(found: RankCorrelation, norm: str, other: str) -> str:
    """What a rank correlation with the norm means."""
    if np.isnan(found.rho) and found.tasks >= LEAST:
        return f"{norm} or {other} is the same for all {found.tasks} tasks, so they cannot be held against each other"
    if np.isnan(found.rho):
        return f"too few tasks to say how {norm} and {other} go together"
    if found.low <= 0 <= found.high:
        return f"no relation between {norm} and {other} can be told from chance ({interval(found)})"
    return f"{norm} {'rises' if found.rho > 0 else 'falls'} with {other} ({interval(found)})"


def within_kinds(tasks: pd.DataFrame, other: str) -> pd.DataFrame:
    """Rank correlation of the norm within each kind that has enough tasks: ``kind, tasks, ρ, from, to``."""
    found = {
        kind: rank_correlation(t["norm"].to_numpy(), t[other].to_numpy(float)) for kind, t in tasks.groupby("group")
    }
    rows = [(kind, f.tasks, f.rho, f.low, f.high) for kind, f in found.items() if not np.isnan(f.rho)]
    return pd.DataFrame(rows, columns=["kind", "tasks", "ρ", "from", "to"])


def verdict(found: RankCorrelation, within: pd.DataFrame) -> str:
    """How all tasks together, and single kinds of tasks, stand to a claimed rise; nothing where nothing can be told."""
    if np.isnan(found.rho):
        return ""
    up, down = int((within["from"] > 0).sum()), int((within["to"] < 0).sum())
    together = 0 if found.low <= 0 <= found.high else np.sign(found.rho)
    words = ""
    if len(within) > 1:
        words = (
            f"Within single kinds of tasks it rises in {up}, falls in {down} and is not to be told from chance in "
            f"{len(within) - up - down} of {len(within)}. "
        )
    single = np.sign(up - down) if len(within) > 1 else together
    if together > 0 and single > 0:
        return words + "That is in line with the paper."
    if together == 0 and single == 0:
        return words + "So this bank neither shows the paper's finding nor refutes it."
    if together <= 0 and single <= 0:
        return words + "So the paper's finding is not seen in this bank."
    return words + "All tasks together and single kinds do not agree, so this bank neither confirms nor refutes it."
