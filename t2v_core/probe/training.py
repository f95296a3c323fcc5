"""Training a network on a task held in memory: the loop behind the bundled probe and every expert.

T2V supplement 4.1 trains experts by SGD with class-balanced sampling; the schedule here is the same
idea scaled to small networks: Nesterov SGD, linear warm-up, cosine decay to zero, or the papers' own
fall to a tenth at one epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from t2v_core.task.record import Progress


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that determines a training run besides data and initial weights.

    Attributes:
        epochs: passes of ``images_per_epoch`` images.
        images_per_epoch: images drawn an epoch; 0 means the size of the data set.
        batch_size: images per optimiser step.
        learning_rate: peak learning rate, reached after ``warmup`` of all steps.
        warmup: share of the steps spent warming up linearly.
        weight_decay: L2 penalty on every parameter.
        momentum: Nesterov momentum.
        balanced: draw classes with equal probability, with replacement (T2V supplement 4.1);
            otherwise each epoch is a permutation of the data.
        padding: pixels of reflected border for random cropping.
        flip: mirror half of the images.
        erase: share of the images that lose a random rectangle (random erasing, Zhong et al. 2020).
        seed: seeds the order and the augmentation.
        decay_at: epoch from which the learning rate is a tenth, constant before and after; 0 is a cosine to zero.
    """

    epochs: int = 40
    images_per_epoch: int = 0
    batch_size: int = 128
    learning_rate: float = 0.2
    warmup: float = 0.1
    weight_decay: float = 5e-4
    momentum: float = 0.9
    balanced: bool = False
    padding: int = 4
    flip: bool = True
    erase: float = 0.0
    seed: int = 0
    decay_at: int = 0


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 autocast where the device computes bfloat16 faster than float32, else a no-op."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported()
    else:
        fast = bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def augment(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Randomly shift (within a reflected border) and mirror each image of ``[B, 3, H, W]``."""
    count, _, height, width = images.shape
    if flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        images = torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(3), images)
    if padding:
        padded = functional.pad(images, [padding] * 4, mode="reflect")
        top = torch.randint(0, 2 * padding + 1, (count,), generator=generator)
        left = torch.randint(0, 2 * padding + 1, (count,), generator=generator)
        images = torch.stack(
            [padded[i, :, t : t + height, s : s + width] for i, (t, s) in enumerate(zip(top, left, strict=True))]
        )
    return images


def erase(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Blank a rectangle in a ``share`` of the normalised images ``[B, 3, H, W]`` (random erasing, Zhong et al. 2020).

    Its area is 2 to 33 % of the image's, its sides 0.3 to 3.3 times each other, cut off at the image's border; what is
    blank is the mean colour.
    """
    count, _, height, width = images.shape
    u = torch.rand(5, count, generator=generator)
    area, ratio = (0.02 + 0.31 * u[0]) * height * width, 0.3 * 11 ** u[1]
    rows, columns = (
        _span(size, length.sqrt(), where)
        for size, length, where in ((height, area * ratio, u[2]), (width, area / ratio, u[3]))
    )
    blank = rows[:, :, None] & columns[:, None, :] & (u[4] < share)[:, None, None]
    return images.masked_fill(blank[:, None].to(images.device), 0.0)


def _span(size: int, length: Tensor, where: Tensor) -> Tensor:
    """Which of ``size`` pixels ``[B, size]`` stretches of these lengths cover, each placed within what is left over."""
    start = where * (size - length).clamp(min=0)
    position = torch.arange(size) + 0.5
    return (position >= start[:, None]) & (position < (start + length)[:, None])


def _epoch_order(labels: np.ndarray, settings: TrainingSettings, rng: np.random.Generator) -> np.ndarray:
    size = settings.images_per_epoch or len(labels)
    if settings.balanced:
        classes, inverse = np.unique(labels, return_inverse=True)
        members = [np.flatnonzero(inverse == k) for k in range(len(classes))]
        drawn = rng.integers(0, len(classes), size)
        position = rng.random(size)
        return np.array([members[k][int(u * len(members[k]))] for k, u in zip(drawn, position, strict=True)])
    return np.concatenate([rng.permutation(len(labels)) for _ in range(math.ceil(size / len(labels)))])[:size]


def train_classifier(
    network: nn.Module,
    images: Tensor,
    labels: np.ndarray,
    settings: TrainingSettings,
    progress: Progress | None = None,
) -> float:
    """Train ``network`` in place by cross entropy.

    Args:
        network: maps normalised images to logits; trained on the device it stands on.
        images: ``[N, 3, H, W]`` already normalised, on the network's device.
        labels: ``[N]`` class indices.
        settings: the schedule.
        progress: called after every epoch.

    Returns:
        Mean training loss of the last epoch.

    Raises:
        ValueError: there are fewer than two images, or labels and images disagree in number.
    """
    if len(images) != len(labels) or len(images) < 2:
        raise ValueError(f"need at least 2 images and as many labels, got {len(images)} images, {len(labels)} labels")
    device = images.device
    rng = np.random.default_rng(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device)
    size = settings.images_per_epoch or len(labels)
    batch_size = min(settings.batch_size, size)
    # A last partial batch would be a noisy BatchNorm estimate: leave it out.
    steps_per_epoch = size // batch_size

    def losses(_: int) -> Iterator[Tensor]:
        order = _epoch_order(labels, settings, rng)
        for step in range(steps_per_epoch):
            index = torch.from_numpy(order[step * batch_size : (step + 1) * batch_size]).to(device)
            batch = augment(images[index], settings.padding, settings.flip, generator)
            if settings.erase:
                batch = erase(batch, settings.erase, generator)
            yield functional.cross_entropy(logits_of(network, batch), targets[index])

    return descend(network, losses, settings, steps_per_epoch, progress)


def logits_of(network: nn.Module, batch: Tensor) -> Tensor:
    """Logits ``[B, K]`` in float32 of a batch ``[B, 3, H, W]``, computed in bfloat16 where that is faster."""
    with autocast(batch.device):
        return network(batch.contiguous(memory_format=torch.channels_last)).float()


def descend(
    network: nn.Module,
    losses: Callable[[int], Iterator[Tensor]],
    settings: TrainingSettings,
    steps_per_epoch: int,
    progress: Progress | None = None,
) -> float:
    """Train ``network`` in place by the schedule of ``settings``, whatever the loss.

    Args:
        network: what is trained.
        losses: given the epoch (from 0), yields the loss of each of its steps, computed with the network as it is then.
        settings: epochs, learning rate and its course, momentum, weight decay.
        steps_per_epoch: how many losses an epoch yields.
        progress: called after every epoch.

    Returns:
        Mean training loss of the last epoch.
    """
    total = steps_per_epoch * settings.epochs
    warm = max(1, int(settings.warmup * total))
    optimiser = torch.optim.SGD(
        network.parameters(),
        settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
    )

    def decay(k: int) -> float:
        if settings.decay_at:
            return 1.0 if k < settings.decay_at * steps_per_epoch else 0.1
        return 0.5 * (1 + math.cos(math.pi * max(0, k - warm) / max(1, total - warm)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: min((k + 1) / warm, decay(k)))
    network.train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean_loss = math.nan
    for epoch in range(settings.epochs):
        found = []
        for loss in losses(epoch):
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            found.append(loss.detach())
        mean_loss = float(torch.stack(found).mean())
        if progress is not None:
            progress(epoch + 1, settings.epochs, f"loss {mean_loss:.3f}")
    network.eval()
    return mean_loss


@torch.no_grad()
def predict(network: nn.Module, images: Tensor, batch_size: int = 512, *, whole: bool = False) -> Tensor:
    """Logits ``[N, K]`` (float32) of normalised ``images`` ``[N, 3, H, W]``, network in eval mode.

    Args:
        whole: compute in float32 even where bfloat16 is faster.
    """
    network.eval()
    logits = []
    for batch in images.split(batch_size):
        logits.append(network(batch).float() if whole else logits_of(network, batch))
    return torch.cat(logits)
