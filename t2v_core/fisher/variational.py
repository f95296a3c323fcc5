"""The robust Fisher information: the precision of the widest noise on the weights that the task tolerates.

Minimise over the precision Lambda (one value a filter, Lambda = exp(L)), one prior precision lambda^2 a
layer and the head (T2V section 3.1 and supplement 6)

    E_{w ~ N(w0, 1/Lambda)} [cross entropy] + beta / 2N KL(N(w0, 1/Lambda) || N(0, 1/lambda^2))

by stochastic gradient descent. The weight of the KL term is the one under which the optimum is
(beta / 2N) Lambda = F + (beta lambda^2 / 2N).

Noise acts on the expected loss through its variance, and the derivative with respect to that is half the expected
second derivative with respect to the weights (Price's theorem). For the latter stands the Fisher information under the
noise (the Gauss-Newton step of Khan et al. 2018), by the same squares per sample as without noise:

    d E[cross entropy] / dL = -1/2 D F / Lambda   for a filter of D weights.

The papers differentiate through noise that they draw on a layer's output (local reparametrization, Kingma et al. 2015).
That is an effect of second order under noise of first order, about sqrt(beta / 2N) of it, in which 400 steps of Adam do
not even forget where they started. And of a convolution that noise is another one at every position, as if there were a
copy of the filter at each, so that the products between positions are left out of F. Here the noise is drawn on the
weights, as the loss above has it, anew for every few images (all measured: benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from t2v_core.errors import InputError
from t2v_core.fisher import factors
from t2v_core.fisher.capture import watch
from t2v_core.fisher.layers import filter_means, read_input
from t2v_core.probe.calls import Call, Substitute
from t2v_core.probe.heads import Head, class_weights
from t2v_core.probe.precision import full_precision
from t2v_core.probe.probe import Probe
from t2v_core.probe.record import BETA
from t2v_core.task.record import IntArray, Progress

PUBLISHED_BETA = 1e-7
"""Weight of the KL term in the authors' code. Under the weight by which distances are taken (``BETA``) the noise is too
wide for a head of two epochs, and nothing of the task is left in the estimate (measured: benchmarks/README.md)."""

SHARING = 10
"""Images that share one draw of the noise: fewer would cost more passes, more would make F depend on fewer draws."""

GRADIENT = "Fisher information under noise"
"""Where the gradient of L comes from; part of an embedding's record, since by another one it is another vector."""

Batch = Callable[[IntArray], tuple[Tensor, Tensor]]
"""Gives the normalised images of some rows, and as their targets class indices ``[B]`` or probabilities ``[B, K]``."""


@dataclass(frozen=True)
class VariationalSettings:
    """The schedule.

    Attributes:
        beta: weight of the KL term.
        epochs: passes with head, Lambda and lambda^2 trained together.
        epoch_size: images drawn an epoch, class-balanced and with replacement.
        batch_size: images a step.
        head_rate, precision_rate: learning rates of Adam.
    """

    beta: float = BETA
    epochs: int = 10
    epoch_size: int = 2000
    batch_size: int = 50
    head_rate: float = 1e-4
    precision_rate: float = 1e-2

    def __post_init__(self) -> None:
        """Refuse what no estimate can be made with."""
        if min(self.epochs, self.epoch_size, self.batch_size) < 1:
            raise InputError("epochs, the size of an epoch and the batch size must be at least 1")
        if not self.beta > 0 or not min(self.head_rate, self.precision_rate) >= 0:
            raise InputError(
                f"beta must be above 0 and the learning rates at least 0; got {self.beta:g}, {self.head_rate:g} and "
                f"{self.precision_rate:g}"
            )


@dataclass(frozen=True)
class VariationalFisher:
    """What the optimisation found.

    Attributes:
        precision: ``[D]`` Lambda of every filter.
        prior: ``[D]`` lambda^2 of every filter's layer.
        fisher: ``[D]`` (beta / 2N) (Lambda - lambda^2), at least 0: the Fisher diagonal, as this estimate sees it.
        loss: ``[epochs]`` mean cross entropy plus weighted KL in each epoch.
        head: as trained along.
    """

    precision: NDArray[np.float64]
    prior: NDArray[np.float64]
    fisher: NDArray[np.float64]
    loss: NDArray[np.float64]
    head: Head


@full_precision()
def variational_fisher(
    probe: Probe,
    head: Head,
    pixels: np.ndarray,
    labels: np.ndarray,
    settings: VariationalSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    batch: Batch | None = None,
    likelihood: Literal["softmax", "bernoulli"] = "softmax",
) -> VariationalFisher:
    """Estimate the Fisher diagonal of a task by variational inference.

    Args:
        probe: the frozen network.
        head: where the head starts from, after its own start alone (supplement 6: two epochs).
        pixels: ``[N, S, S, 3]`` uint8.
        labels: ``[N]`` class indices, or ``[N, K]`` zeros and ones under ``"bernoulli"``, where images are drawn alike.
        settings: the schedule.
        seed: of the images drawn and the noise.
        progress: called with epochs done.
        batch: makes the images and targets of each step, for augmented images and soft labels; ``labels`` then only
            balance what is drawn. By default the images as they are, with their labels.
        likelihood: ``"softmax"`` over classes, or ``"bernoulli"`` for independent binary attributes.

    Raises:
        InputError: a layer of the network runs once for all images of a batch: gradients would not be each image's own.
    """
    if probe.one_by_one:
        raise InputError(
            f"{probe.info.title} computes something once for all images, which the variational estimate cannot follow; "
            "use the exact or the Monte Carlo one"
        )
    settings = settings or VariationalSettings()
    attributes = likelihood == "bernoulli"
    labels = np.asarray(labels, np.float32 if attributes else np.int64)
    batch = batch or (lambda rows: (probe.normalise(pixels[rows]), torch.from_numpy(labels[rows]).to(device)))
    device, weights = probe.device, probe.weights()
    dtype = torch.promote_types(weights[0].dtype, torch.float32)
    kl_weight = settings.beta / (2 * len(labels))
    size = torch.tensor([weight[0].numel() for weight in weights], device=device)
    square = [weight.flatten(1).pow(2).mean(1) for weight in weights]
    linear = _as_module(head, device, dtype)
    rng = np.random.default_rng([seed, 2])
    generator = torch.Generator(device).manual_seed(seed)
    balance = class_weights(np.zeros(len(labels), int), 1) if attributes else class_weights(labels, linear.out_features)
    log_prior = torch.tensor(probe.info.prior_precision, device=device, dtype=dtype).log().requires_grad_()
    # One value a layer, of the right magnitude, since Adam moves L by no more than its rate a step.
    images, _ = batch(rng.choice(len(labels), settings.batch_size, p=balance))
    _, fisher = fisher_under_noise(probe, linear, images, None, attributes, generator)
    log_precision = [
        torch.full_like(f, float((f.mean() / kl_weight + prior.exp()).log())).requires_grad_()
        for f, prior in zip(fisher, log_prior.detach(), strict=True)
    ]
    optimiser = torch.optim.Adam(
        [
            {"params": linear.parameters(), "lr": settings.head_rate},
            {"params": [*log_precision, log_prior], "lr": settings.precision_rate},
        ],
    )
    losses = []
    for epoch in range(settings.epochs):
        drawn = rng.choice(len(labels), settings.epoch_size, p=balance)
        total = 0.0
        for rows in np.array_split(drawn, max(1, settings.epoch_size // settings.batch_size)):
            images, targets = batch(rows)
            z, fisher = fisher_under_noise(probe, linear, images, log_precision, attributes, generator)
            fit = _log_loss(linear(z), targets, attributes)
            kl = _kl(log_precision, log_prior, square, size)
            optimiser.zero_grad(set_to_none=True)
            # Divided by the KL's weight, or the gradient of L would drown in Adam's epsilon.
            ((fit + _second_order(fisher, log_precision, size)) / kl_weight + kl).backward()
            optimiser.step()
            total += float(fit.detach() + kl_weight * kl.detach()) * len(rows)
        losses.append(total / settings.epoch_size)
        if progress is not None:
            progress(epoch + 1, settings.epochs, "variational Fisher")
    precision = torch.cat(log_precision).detach().exp().double().cpu().numpy()
    prior = np.repeat(log_prior.detach().exp().double().cpu().numpy(), [len(weight) for weight in weights])
    trained = Head(
        linear.weight.detach().cpu().numpy(),
        linear.bias.detach().cpu().numpy(),
        head.validation_accuracy,
        head.validation_size,
        head.steps,
    )
    diagonal = np.maximum(kl_weight * (precision - prior), 0)
    return VariationalFisher(precision, prior, diagonal, np.array(losses), trained)


def fisher_under_noise(
    probe: Probe,
    linear: nn.Linear,
    images: Tensor,
    log_precision: Sequence[Tensor] | None,
    attributes: bool,
    generator: torch.Generator,
) -> tuple[Tensor, list[Tensor]]:
    """Images through the noisy network and back.

    Args:
        probe: the frozen network.
        linear: the head, which has no noise.
        images: ``[B, 3, S, S]``, normalised.
        log_precision: L ``[O]`` of each layer; None for no noise.
        attributes: whether the logits are of binary attributes in place of classes.
        generator: of the noise, and of the signs under which the vectors of the logits' Fisher information are added
            up (``factors``).

    Returns:
        The noisy features ``[B, d]``, without a graph, and for each layer the mean over the images of a filter's
        squared gradients ``[O]``.
    """
    weights = probe.weights()
    signed = factors.bernoulli_signed if attributes else factors.softmax_signed

    def under_one_draw(some: Tensor) -> tuple[Tensor, list[Tensor]]:
        sums = [weight.new_zeros(len(weight)) for weight in weights]

        def keep(number: int, call: Call, delta: Tensor) -> None:
            sums[number] = filter_means(call, read_input(call, len(some)), delta, len(some)).sum(0)

        noisy = {} if log_precision is None else _noisy(weights, log_precision, generator)
        with Substitute(noisy), watch(weights, keep):
            z = probe.network(some).to(linear.weight.dtype)
            logits = functional.linear(z, linear.weight.detach(), linear.bias.detach())
        columns = logits.shape[1] - (not attributes)
        signs = torch.randint(0, 2, (len(logits), 1, columns), generator=generator, device=logits.device) * 2 - 1
        logits.backward(signed(logits.detach(), signs)[0])
        return z.detach(), sums

    features, sums = zip(*map(under_one_draw, images.split(SHARING)), strict=True)
    return torch.cat(features), [torch.stack(of_layer).sum(0) / len(images) for of_layer in zip(*sums, strict=True)]


@torch.no_grad()
def _noisy(weights: Sequence[Tensor], log_precision: Sequence[Tensor], generator: torch.Generator) -> dict[int, Tensor]:
    """Draws from N(w0, 1 / Lambda), by ``id`` of w0."""
    drawn = {}
    for weight, L in zip(weights, log_precision, strict=True):
        normal = torch.randn(weight.shape, device=weight.device, dtype=weight.dtype, generator=generator)
        spread = torch.exp(-0.5 * L).to(weight.dtype).reshape(-1, *[1] * (weight.dim() - 1))
        drawn[id(weight)] = weight + normal * spread
    return drawn


def _log_loss(logits: Tensor, targets: Tensor, attributes: bool) -> Tensor:
    """Mean over the images of -log p(y|x)."""
    if targets.is_floating_point():
        targets = targets.to(logits.dtype)
    if attributes:
        return functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)
    return functional.cross_entropy(logits, targets)


def _as_module(head: Head, device: torch.device, dtype: torch.dtype) -> nn.Linear:
    linear = nn.Linear(head.weight.shape[1], head.weight.shape[0])
    linear.weight.data = torch.tensor(head.weight, device=device, dtype=dtype)
    linear.bias.data = torch.tensor(head.bias, device=device, dtype=dtype)
    return linear


def _second_order(fisher: list[Tensor], log_precision: list[Tensor], size: Tensor) -> Tensor:
    """What the noise adds to the expected loss, to second order: half of F / Lambda for every weight.

    To the loss itself the noise is a constant. This term has the gradient over L that the expected loss has.
    """
    layers = zip(fisher, log_precision, strict=True)
    return 0.5 * (size * torch.stack([(f * torch.exp(-L)).sum() for f, L in layers])).sum()


def _kl(log_precision: list[Tensor], log_prior: Tensor, square: list[Tensor], size: Tensor) -> Tensor:
    """KL(N(w0, 1/Lambda) || N(0, 1/lambda^2)) summed over all weights of the probe.

    Args:
        log_precision: L ``[O]`` of each layer.
        log_prior: log lambda^2 ``[layers]``.
        square: mean of w0^2 over the weights of each filter, ``[O]`` of each layer.
        size: weights a filter, ``[layers]``.
    """
    parts = []
    for number, (L, w2) in enumerate(zip(log_precision, square, strict=True)):
        prior = log_prior[number]
        parts.append(0.5 * size[number] * (L - prior - 1 + torch.exp(prior - L) + prior.exp() * w2).sum())
    return torch.stack(parts).sum()
