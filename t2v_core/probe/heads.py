"""Linear heads on frozen features.

Two fits for two ends. ``fit_heads`` asks how well a task can be solved from an expert's features: many
feature sets of one task at once, early stopping on a validation split. ``fit_regularised_head`` gives
the head behind an embedding: the optimum of a strongly regularised loss. A head that follows its
training images closely is sure of them, the surer the fewer they are; the Fisher information then tells
how many images there were rather than what the task is, and a small data set lies far from a large one of
the very same classes (measured: benchmarks/README.md, "How the head was chosen").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from inspect import unwrap

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from t2v_core.task.sampling import stratified_split

LEARNING_RATE = 0.05
WEIGHT_DECAY = 5e-4
EPSILON = 1e-5
"""Adam's. The biases' gradient is zero at first, as classes are balanced: a smaller one would scale up its rounding."""
MAX_STEPS = 600
PATIENCE = 60
CHECK_EVERY = 5
VALIDATION_SHARE = 0.2
SHORT_BATCH = 50
REGULARISATION = 0.2
"""Weight decay of the embedding's head on standardised features; 0.05 to 0.2 find every twin (benchmarks/heads.py)."""


@dataclass(frozen=True)
class Head:
    """A linear softmax classifier on features z.

    Attributes:
        weight: ``[K, d]`` float32.
        bias: ``[K]`` float32.
        validation_accuracy: balanced accuracy (mean over classes) on the validation split, 0..1.
        validation_size: images in that split.
        steps: optimiser steps (``fit_heads``: those at which the validation loss was least).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    validation_accuracy: float
    validation_size: int
    steps: int

    def logits(self, features: Tensor) -> Tensor:
        """Logits ``[N, K]`` of features ``[N, d]``, in the features' type and device."""
        weight = torch.as_tensor(self.weight, dtype=features.dtype, device=features.device)
        bias = torch.as_tensor(self.bias, dtype=features.dtype, device=features.device)
        return features @ weight.T + bias


def class_weights(labels: np.ndarray, num_classes: int) -> NDArray[np.float64]:
    """``[N]`` weights, summing to 1, that give every class present the same total weight.

    They take the place of class-balanced sampling with replacement (T2V supplement 4.1): the same
    expectation without its sampling noise.
    """
    counts = np.bincount(labels, minlength=num_classes)
    return 1.0 / (np.count_nonzero(counts) * counts[labels])


def _balance(targets: Tensor, num_classes: int) -> Tensor:
    """``class_weights`` as float32, of all images or of a part, in which classes may have other shares."""
    return torch.from_numpy(class_weights(targets.cpu().numpy(), num_classes)).float().to(targets.device)


class _Descent:
    """Full-batch Adam on weighted cross entropy for several feature sets at once, which do not influence each other.

    Attributes:
        W: ``[E, K, d]`` of the sets still descending.
        b: ``[E, K, 1]``.
    """

    def __init__(self, x: Tensor, targets: Tensor, weights: Tensor, num_classes: int) -> None:
        """Start at zero; ``x [E, N, d]``, ``targets [N]``, ``weights [N]``."""
        self._x, self._targets, self._weights = x, targets, weights
        self.W = torch.zeros(len(x), num_classes, x.shape[2], device=x.device, requires_grad=True)
        self.b = torch.zeros(len(x), num_classes, 1, device=x.device, requires_grad=True)
        self._adam = torch.optim.Adam([self.W, self.b], lr=LEARNING_RATE, eps=EPSILON)

    def step(self) -> None:
        """One step of every set."""
        loss = _mean_loss(_logits(self._x, self.W, self.b), self._targets, self._weights).sum()
        self._adam.zero_grad(set_to_none=True)
        (loss + 0.5 * WEIGHT_DECAY * self.W.pow(2).sum()).backward()
        self._adam.step()

    def keep(self, going: Tensor) -> None:
        """Go on with the sets of ``going [E]`` alone: most are done long before the last."""
        moments = self._adam.state_dict()
        for state in moments["state"].values():
            state |= {name: state[name][going] for name in ("exp_avg", "exp_avg_sq")}
        self._x = self._x[going]
        self.W, self.b = (p.detach()[going].requires_grad_() for p in (self.W, self.b))
        self._adam = torch.optim.Adam([self.W, self.b])
        self._adam.load_state_dict(moments)


def _mean_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross entropy ``[E]`` of logits ``[E, K, N]``."""
    log_p = torch.log_softmax(logits, 1)
    return -(log_p.gather(1, targets.expand(len(logits), 1, -1)).squeeze(1) * (weights / weights.sum())).sum(1)


def _logits(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """``[E, K, N]``: with the many images last, the softmax over few classes is four times as fast."""
    return torch.baddbmm(b, W, x.transpose(1, 2))


def _best_steps(x: Tensor, targets: Tensor, num_classes: int, held: Tensor) -> tuple[Tensor, Tensor]:
    """Early stopping: the step ``[E]`` of least validation loss, and the balanced accuracy ``[E]`` there."""
    best_loss = torch.full((len(x),), torch.inf, device=x.device)
    best_step = torch.ones(len(x), dtype=torch.long, device=x.device)
    accuracy = torch.zeros(len(x), device=x.device)
    held_x, held_targets = x[:, held], targets[held]
    balance = _balance(held_targets, num_classes)
    descent = _Descent(x[:, ~held], targets[~held], _balance(targets[~held], num_classes), num_classes)
    live = torch.arange(len(x), device=x.device)
    for step in range(1, MAX_STEPS + 1):
        descent.step()
        if step % CHECK_EVERY:
            continue
        with torch.no_grad():
            logits = _logits(held_x, descent.W, descent.b)
            loss = _mean_loss(logits, held_targets, balance)
            correct = logits.argmax(1) == held_targets
        better = loss < best_loss[live]
        improved = live[better]
        best_loss[improved], best_step[improved] = loss[better], step
        accuracy[improved] = (correct[better] * balance).sum(1)
        going = step - best_step[live] < PATIENCE
        if not going.any():
            break
        if not going.all():
            descent.keep(going)
            live, held_x = live[going], held_x[going]
    return best_step, accuracy


def _descend(
    x: Tensor, targets: Tensor, weights: Tensor, num_classes: int, steps: Tensor
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Each set's ``(e, W [K, d], b [K])`` after its own number of ``steps [E]``."""
    descent = _Descent(x, targets, weights, num_classes)
    live = torch.arange(len(x), device=x.device)
    for step in range(1, int(steps.max()) + 1):
        descent.step()
        due = steps[live] == step
        if due.any():
            yield from zip(live[due].tolist(), descent.W.detach()[due], descent.b.detach()[due, :, 0], strict=True)
            descent.keep(~due)
            live = live[~due]


def fit_heads(features: Tensor, labels: np.ndarray, num_classes: int, seed: int = 0) -> list[Head]:
    """Fit a linear head to each of E feature sets of the same images.

    Features are standardised, the class-balanced cross entropy is minimised by full-batch Adam, the
    number of steps is chosen by early stopping on a stratified validation split, and the head is then
    fitted on all images for that number of steps.

    Args:
        features: ``[E, N, d]`` float32.
        labels: ``[N]`` class indices in ``0..num_classes-1``.
        num_classes: K.
        seed: of the validation split.

    Returns:
        E heads; standardisation is folded into their weights, so they act on raw features.
    """
    x, mean, std = _standardise(features)
    device = features.device
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device)
    weights = _balance(targets, num_classes)
    held = torch.from_numpy(stratified_split(labels, VALIDATION_SHARE, seed)).to(device)
    steps, accuracy = _best_steps(x, targets, num_classes, held)
    heads = {
        e: _head(W, b, mean[e], std[e], float(accuracy[e]), int(held.sum()), int(steps[e]))
        for e, W, b in _descend(x, targets, weights, num_classes, steps)
    }
    return [heads[e] for e in range(len(features))]


def fit_regularised_head(
    features: Tensor,
    labels: np.ndarray,
    num_classes: int,
    seed: int = 0,
    weight_decay: float = REGULARISATION,
    *,
    validate: bool = True,
) -> Head:
    """The minimum of the class-balanced cross entropy plus weight_decay / 2 ||W||^2 on standardised features.

    The problem is convex, so the head depends on the data alone: not on a schedule, a start or N. Its
    accuracy is that of the same fit on 80 % of the images, measured on the other 20 %.

    Args:
        features: ``[N, d]`` float32.
        labels: ``[N]`` class indices in ``0..num_classes-1``.
        num_classes: K.
        seed: of the validation split.
        weight_decay: strength of the L2 penalty; biases are free.
        validate: whether to measure that accuracy; without, it is 0 on 0 images.
    """
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(features.device)

    def fit(rows: Tensor | slice) -> Head:
        goal = targets[rows]
        weight = _balance(goal, num_classes).double()
        return minimise(features[rows], num_classes, weight_decay, lambda logits: _mean_loss(logits, goal, weight)[0])

    whole = fit(slice(None))
    if not validate:
        return whole
    held = torch.from_numpy(stratified_split(labels, VALIDATION_SHARE, seed)).to(features.device)
    correct = fit(~held).logits(features[held]).argmax(1) == targets[held]
    accuracy = float((correct * _balance(targets[held], num_classes)).sum())
    return replace(whole, validation_accuracy=accuracy, validation_size=int(held.sum()))


class _LBFGS(torch.optim.LBFGS):
    """PyTorch's own, without the decorator of two methods, whose first call imports torch.compile: two seconds."""

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)


def minimise(features: Tensor, num_classes: int, weight_decay: float, loss: Callable[[Tensor], Tensor]) -> Head:
    """The minimum of a convex loss plus weight_decay / 2 ||W||^2 on standardised features, by L-BFGS in float64.

    Of fewer images than features the rows of the optimal W lie in the N directions that the images span: it is looked
    for there, with N numbers a row in place of d.

    Args:
        features: ``[N, d]``.
        num_classes: K.
        weight_decay: strength of the L2 penalty; biases are free.
        loss: of logits ``[1, K, N]``, a scalar.

    Returns:
        The head; its accuracy is left at 0 on 0 images.
    """
    x, mean, std = _standardise(features[None].double())
    directions = None
    if x.shape[1] < x.shape[2]:
        directions = torch.linalg.qr(x[0].T).Q.T  # [N, d]
        x = x @ directions.T
    W = torch.zeros(1, num_classes, x.shape[2], dtype=x.dtype, device=x.device, requires_grad=True)
    b = torch.zeros(1, num_classes, 1, dtype=x.dtype, device=x.device, requires_grad=True)
    optimiser = _LBFGS([W, b], max_iter=MAX_STEPS, tolerance_grad=1e-7, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        total = loss(_logits(x, W, b)) + 0.5 * weight_decay * W.pow(2).sum()
        total.backward()
        return total

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    steps = int(optimiser.state[W]["n_iter"])
    weight = W.detach()[0] if directions is None else W.detach()[0] @ directions
    return _head(weight, b.detach()[0, :, 0], mean[0], std[0], 0.0, 0, steps)


def fit_two_epochs(features: Tensor, labels: np.ndarray, num_classes: int, seed: int = 0) -> Head:
    """The papers' head start (method section 3): ``fit_by_epochs`` for two of them.

    Kept to study what the schedule does to an embedding.
    """
    return fit_by_epochs(features, labels, num_classes, 2, seed)


def fit_by_epochs(features: Tensor, labels: np.ndarray, num_classes: int, epochs: int, seed: int = 0) -> Head:
    """A head as the papers train it: from zero, epochs of Adam at 1e-4 on 10,000 images, balanced over classes.

    Its ``validation_accuracy`` is that on the images themselves, and ``validation_size`` 0: nothing was held out.

    Args:
        features: ``[N, d]`` float32.
        labels: ``[N]`` class indices in ``0..num_classes-1``.
        num_classes: K.
        epochs: of 10,000 images each, drawn with replacement.
        seed: of the images drawn.
    """
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(features.device)
    W = torch.zeros(num_classes, features.shape[1], device=features.device, requires_grad=True)
    b = torch.zeros(num_classes, device=features.device, requires_grad=True)
    optimiser = torch.optim.Adam([W, b], lr=1e-4)
    rng = np.random.default_rng([seed, 4])
    drawn = rng.choice(len(labels), (epochs * 10_000 // SHORT_BATCH, SHORT_BATCH), p=class_weights(labels, num_classes))
    for rows in torch.from_numpy(drawn).to(features.device):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(features[rows] @ W.T + b, targets[rows]).backward()
        optimiser.step()
    correct = (features @ W.T + b).argmax(1) == targets
    balance = torch.from_numpy(class_weights(labels, num_classes)).to(features.device)
    return Head(W.detach().cpu().numpy(), b.detach().cpu().numpy(), float((correct * balance).sum()), 0, len(drawn))


def _standardise(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``[E, N, d]`` with mean 0 and deviation 1 over the images, and the means and deviations ``[E, 1, d]``."""
    mean = features.mean(1, keepdim=True)
    # A feature that never varies carries nothing: scale 1 keeps it at zero instead of dividing by zero.
    std = features.std(1, keepdim=True, correction=0)
    std = torch.where(std > 1e-6, std, torch.ones_like(std))
    return (features - mean) / std, mean, std


def _head(W: Tensor, b: Tensor, mean: Tensor, std: Tensor, accuracy: float, size: int, steps: int) -> Head:
    """Fold the standardisation into ``W [K, d]`` and ``b [K]``, so that the head acts on raw features."""
    scaled = W / std
    bias = b - scaled @ mean[0]
    return Head(scaled.contiguous().float().cpu().numpy(), bias.float().cpu().numpy(), accuracy, size, steps)
