"""How experts are fine-tuned: the papers' own schedule, and smaller ones for small networks and small machines."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from t2v_core.bank.records import ExpertRecord
from t2v_core.errors import InputError
from t2v_core.probe.training import TrainingSettings
from t2v_core.task.record import InputSpec

PADDING_SHARE = 1 / 8
"""Border for random crops as a share of the input's side: 4 pixels of 32."""


@dataclass(frozen=True)
class Schedule:
    """A fine-tuning in its two phases: the head alone, then everything (T2V supplement 4.1).

    Attributes:
        name: what it is called.
        body: the second phase.
        head_epochs: epochs of the first phase, as ``fit_by_epochs`` trains; 0 fits the head to convergence.
    """

    name: str
    body: TrainingSettings
    head_epochs: int = 0

    @property
    def key(self) -> str:
        """Name and the start of the hash of the settings: outcomes of other settings are never mixed.

        The seed is a record of its own, and the border follows from the network's input.
        """
        settings = {k: v for k, v in asdict(self.body).items() if k not in ("seed", "padding")}
        text = json.dumps([self.head_epochs, settings], sort_keys=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


SCALED = Schedule(
    "scaled",
    TrainingSettings(epochs=24, images_per_epoch=2000, batch_size=64, learning_rate=0.05, balanced=True),
)
"""The papers' 60 epochs of 10,000 images, scaled to a network and tasks a hundredth of the size."""

BRIEF = Schedule(
    "brief",
    TrainingSettings(epochs=6, images_per_epoch=1000, batch_size=64, learning_rate=0.05, balanced=True),
)
"""An eighth of that, for experiments of many trainings."""

PAPER = Schedule(
    "paper",
    TrainingSettings(
        epochs=60,
        images_per_epoch=10_000,
        batch_size=64,
        learning_rate=1e-3,
        warmup=0.0,
        weight_decay=5e-4,
        balanced=True,
        decay_at=40,
    ),
    head_epochs=10,
)
"""T2V supplement 4.1. It leaves open the size of a batch, the momentum and the augmentation; those are ours."""

SCHEDULES = {schedule.name: schedule for schedule in (SCALED, BRIEF, PAPER)}


def choose_schedule(
    name: str, spec: InputSpec, seed: int = 0, epochs: int | None = None, images_per_epoch: int | None = None
) -> Schedule:
    """A named schedule for a network's input size, shortened or lengthened where asked.

    Args:
        name: one of ``SCHEDULES``.
        spec: the network's input.
        seed: of the training.
        epochs, images_per_epoch: in place of the schedule's own.

    Raises:
        InputError: there is no such schedule, or a number is not positive.
    """
    if name not in SCHEDULES:
        raise InputError(f"there is no schedule {name!r}; choose one of {', '.join(SCHEDULES)}")
    chosen = SCHEDULES[name]
    for option, value in (("--epochs", epochs), ("--images-per-epoch", images_per_epoch)):
        if value is not None and value < 1:
            raise InputError(f"{option} must be at least 1, got {value}")
    body = replace(
        chosen.body,
        epochs=epochs or chosen.body.epochs,
        images_per_epoch=images_per_epoch or chosen.body.images_per_epoch,
        padding=round(PADDING_SHARE * spec.crop),
        seed=seed,
    )
    return replace(chosen, body=body)


def settings_of(expert: ExpertRecord) -> TrainingSettings | None:
    """What an expert was fine-tuned with, as far as its record says; a setting it does not know was at its default."""
    kept = expert.training.get("settings")
    return TrainingSettings(**kept) if isinstance(kept, dict) else None


def trained_from(expert: ExpertRecord, weights_hash: str, settings: TrainingSettings) -> bool:
    """Whether an expert was fine-tuned from these very weights with these settings."""
    return expert.training.get("from_weights") == weights_hash and settings_of(expert) == settings
