"""Distilling several networks into one smaller one (Hinton et al. 2015).

The student learns what its teachers answer on average, for an image and its mirror image, instead of the label alone.
Teachers are slow, so they answer once for each of a few augmented copies of the data set (Beyer et al. 2022: student
and teachers must see the same view), and the student comes back to these copies epoch after epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from t2v_core.probe.training import TrainingSettings, augment, descend, erase, logits_of
from t2v_core.task.record import Progress

TEMPERATURE = 4.0
"""Divides logits on both sides, so that what a teacher thinks of the wrong classes counts too."""
BATCH = 500
"""Images for which the teachers answer in one pass."""
STRETCH = 1000
"""Images that are augmented together."""


@dataclass(frozen=True)
class Distillation:
    """One descent of the student.

    Attributes:
        training: its schedule; ``flip`` mirrors images of a copy, ``padding`` and ``erase`` make the copies.
        copies: numbers of the copies, one an epoch, from the start again when all were seen.
        labels: share of the loss that is cross entropy with the true labels; the rest is against the teachers.
    """

    training: TrainingSettings
    copies: tuple[int, ...]
    labels: float = 0.0


class TaughtCopies:
    """Augmented copies of a data set, by number, with the teachers' answers to them.

    Args:
        images: ``[N, 3, H, W]``, normalised.
        teachers: networks that give logits ``[B, K]``; put into eval mode.
        settings: how images are shifted and erased.
        plain: copies with this number or a higher one have every image mixed with another one.
    """

    def __init__(self, images: Tensor, teachers: Sequence[nn.Module], settings: TrainingSettings, plain: int) -> None:
        self.images, self.teachers, self.settings, self.plain = images, teachers, settings, plain
        self._answers: dict[int, Tensor] = {}
        for teacher in teachers:
            teacher.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Images ``[N, 3, H, W]`` of a copy, and the teachers' mean probabilities ``[N, K]`` at ``TEMPERATURE``."""
        images = self._augmented(number)
        if number not in self._answers:
            self._answers[number] = self._ask(images)
        return images, self._answers[number]

    def _augmented(self, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(STRETCH + number)
        images = torch.cat(
            [
                erase(augment(part, self.settings.padding, False, generator), self.settings.erase, generator)
                for part in self.images.split(STRETCH)
            ]
        )
        if number >= self.plain:
            other = torch.randperm(len(images), generator=generator).to(images.device)
            share = torch.rand(len(images), generator=generator).to(images.device)[:, None, None, None]
            images = share * images + (1 - share) * images[other]
        return images

    @torch.no_grad()
    def _ask(self, images: Tensor) -> Tensor:
        def mean_answer(batch: Tensor) -> Tensor:
            views = [logits_of(teacher, view) for teacher in self.teachers for view in (batch, batch.flip(3))]
            return torch.stack([torch.softmax(logits / TEMPERATURE, 1) for logits in views]).mean(0)

        return torch.cat([mean_answer(batch) for batch in images.split(BATCH)])


def distil(
    student: nn.Module,
    copies: TaughtCopies,
    labels: np.ndarray,
    settings: Distillation,
    progress: Progress | None = None,
) -> float:
    """Train ``student`` in place towards its teachers' answers.

    The loss is ``labels`` times the cross entropy with the true classes, and for the rest the Kullback-Leibler
    divergence from the teachers' probabilities at ``TEMPERATURE``, times its square (Hinton et al. 2015, section 2).

    Args:
        student: maps images to logits ``[B, K]``; trained on the device it stands on.
        copies: what it sees and what the teachers say to it.
        labels: ``[N]`` class indices.
        settings: the schedule.
        progress: called after every epoch.

    Returns:
        Mean training loss of the last epoch.
    """
    training = settings.training
    rng = np.random.default_rng(training.seed)
    generator = torch.Generator().manual_seed(training.seed)
    device = copies.images.device
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device)
    batch_size = min(training.batch_size, len(targets))
    steps_per_epoch = len(targets) // batch_size

    def losses(epoch: int) -> Iterator[Tensor]:
        images, answers = copies[settings.copies[epoch % len(settings.copies)]]
        order = torch.from_numpy(rng.permutation(len(targets))).to(device)
        for index in order[: steps_per_epoch * batch_size].split(batch_size):
            logits = logits_of(student, augment(images[index], 0, training.flip, generator))
            softened = torch.log_softmax(logits / TEMPERATURE, 1)
            taught = TEMPERATURE**2 * functional.kl_div(softened, answers[index], reduction="batchmean")
            true = functional.cross_entropy(logits, targets[index])
            yield settings.labels * true + (1 - settings.labels) * taught

    return descend(student, losses, training, steps_per_epoch, progress)
