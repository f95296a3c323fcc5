"""What measuring one method yields."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from t2v_core.embedding.record import Embedding


@dataclass(frozen=True)
class Finding:
    """A method's numbers.

    Attributes:
        target: processor seconds for one target, however many experts there are.
        seconds: what each expert adds to them.
        once: processor seconds for one expert, spent when the bank is built.
        scores: targets by experts, lower is better; empty where only a cost was asked.
        distances: tasks by tasks; empty where none are kept.
        embeddings: to keep, by task id.
        facts: further measurements, as JSON values.
    """

    target: float = 0.0
    seconds: float = 0.0
    once: float = 0.0
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    distances: pd.DataFrame = field(default_factory=pd.DataFrame)
    embeddings: dict[str, Embedding] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)
