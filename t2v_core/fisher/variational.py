"""The robust Fisher information: the precision of the widest noise on the weights that the task tolerates.

Minimise over the precision Lambda (one value a filter, Lambda = exp(L)), one prior precision lambda^2 a
layer and the head (T2V section 3.1 and supplement 6)

    E_{w ~ N(w0, 1/Lambda)} [cross entropy] + beta / 2N KL(N(w0, 1/Lambda) || N(0, 1/lambda^2))

by stochastic gradient variational Bayes with local reparametrization (Kingma et al. 2015): the noise is
drawn on a layer's output, with mean A w0 and variance A^2 / Lambda, independently at every position. The
weight of the KL term is the one under which the optimum is (beta / 2N) Lambda = F + (beta lambda^2 / 2N).

Two things to know about the estimate. Noise that is independent at every position leaves out the products between
positions that the Fisher information of a shared filter has: the two agree for a layer that runs once an image, and
for convolutions but loosely (measured: benchmarks/README.md). And the gradient of L is a second-order effect under
first-order noise, with a ratio of about sqrt(beta / 2N); each batch is therefore run with the noise and with its
negative, which cancels the first order.
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
from t2v_core.probe.calls import Call, Listener
from t2v_core.probe.heads import Head, class_weights
from t2v_core.probe.precision import full_precision
from t2v_core.probe.probe import Probe
from t2v_core.probe.record import BETA
from t2v_core.task.record import IntArray, Progress

Batch = Callable[[IntArray], tuple[Tensor, Tensor]]
"""Gives the normalised images of some rows, and as their targets class indices ``[B]`` or probabilities ``[B, K]``."""


@dataclass(frozen=True)
class VariationalSettings:
    """The schedule.

    Attributes:
        beta: weight of the KL term.
        epochs: passes with head, Lambda and lambda^2 trained together.
        epoch_size: images drawn an epoch, class-balanced and with replacement.
        batch_size: images a step; each runs twice, with opposite noise.
        head_rate, precision_rate: learning rates of Adam.
    """

    beta: float = BETA
    epochs: int = 10
    epoch_size: int = 2000
    batch_size: int = 50
    head_rate: float = 1e-4
    precision_rate: float = 1e-2


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
    start: NDArray[np.float64],
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
        start: ``[D]`` a first guess of F. Only its mean over each layer is used: L starts at one value a
            layer, of the right magnitude, since Adam moves it by no more than its rate a step.
        settings: the schedule.
        seed: of the images drawn and the noise.
        progress: called with epochs done.
        batch: makes the images and targets of each step, for augmented images and soft labels; ``labels`` then only
            balance what is drawn. By default the images as they are, with their labels.
        likelihood: ``"softmax"`` over classes, or ``"bernoulli"`` for independent binary attributes.

    Raises:
        InputError: a layer of the network runs once for all images of a batch: noise would not be each image's own.
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
    counts = [count for _, count in probe.info.layers]
    kl_weight = settings.beta / (2 * len(labels))
    size = torch.tensor([weight[0].numel() for weight in weights], device=device)
    square = [weight.flatten(1).pow(2).mean(1) for weight in weights]
    log_prior = torch.tensor(probe.info.prior_precision, device=device).log().requires_grad_()
    means = torch.tensor([part.mean() for part in np.split(start, np.cumsum(counts)[:-1])], device=device)
    first = (means.float() / kl_weight + log_prior.detach().exp()).log()
    log_precision = [
        torch.full((n,), float(v), device=device, requires_grad=True) for n, v in zip(counts, first, strict=True)
    ]
    linear = _as_module(head, device)
    optimiser = torch.optim.Adam(
        [
            {"params": linear.parameters(), "lr": settings.head_rate},
            {"params": [*log_precision, log_prior], "lr": settings.precision_rate},
        ],
    )
    rng = np.random.default_rng([seed, 2])
    generator = torch.Generator(device).manual_seed(seed)
    balance = class_weights(np.zeros(len(labels), int), 1) if attributes else class_weights(labels, linear.out_features)
    losses = []
    for epoch in range(settings.epochs):
        drawn = rng.choice(len(labels), settings.epoch_size, p=balance)
        total = 0.0
        for rows in np.array_split(drawn, max(1, settings.epoch_size // settings.batch_size)):
            images, targets = batch(rows)
            with noise(weights, log_precision, generator):
                z = probe.network(torch.cat([images, images]))
            logits = linear(z)
            fit = _log_loss(logits, torch.cat([targets, targets]), attributes)
            kl = _kl(log_precision, log_prior, square, size)
            optimiser.zero_grad(set_to_none=True)
            # Divided by the KL's weight, or the gradient of L would drown in Adam's epsilon.
            (fit / kl_weight + kl).backward()
            optimiser.step()
            total += float(fit.detach() + kl_weight * kl.detach()) * len(rows)
        losses.append(total / settings.epoch_size)
        if progress is not None:
            progress(epoch + 1, settings.epochs, "variational Fisher")
    precision = torch.cat(log_precision).detach().exp().double().cpu().numpy()
    prior = np.repeat(log_prior.detach().exp().double().cpu().numpy(), counts)
    trained = Head(
        linear.weight.detach().cpu().numpy(),
        linear.bias.detach().cpu().numpy(),
        head.validation_accuracy,
        head.validation_size,
        head.steps,
    )
    fisher = np.maximum(kl_weight * (precision - prior), 0)
    return VariationalFisher(precision, prior, fisher, np.array(losses), trained)


def _log_loss(logits: Tensor, targets: Tensor, attributes: bool) -> Tensor:
    """Mean over the images of -log p(y|x)."""
    if attributes:
        return functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)
    return functional.cross_entropy(logits, targets)


def _as_module(head: Head, device: torch.device) -> nn.Linear:
    linear = nn.Linear(head.weight.shape[1], head.weight.shape[0], device=device)
    linear.weight.data = torch.tensor(head.weight, device=device)
    linear.bias.data = torch.tensor(head.bias, device=device)
    return linear


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


def noise(weights: Sequence[Tensor], log_precision: Sequence[Tensor], generator: torch.Generator) -> Listener:
    """While active, the output of every call with one of the weights carries Gaussian noise of variance A^2 / Lambda.

    The batch holds every image twice: the second half gets the negative of the first half's noise.
    """
    numbers = {id(weight): number for number, weight in enumerate(weights)}

    def heard(call: Call, output: Tensor) -> Tensor:
        if id(call.weight) not in numbers:
            return output
        half = torch.randn(
            output[: len(output) // 2].shape, device=output.device, dtype=output.dtype, generator=generator
        )
        spread, norms = torch.exp(-0.5 * log_precision[numbers[id(call.weight)]]), input_norms(call)
        if not call.linear:
            spread = spread.reshape(-1, *[1] * (output.dim() - 2))
            norms = norms.reshape(len(output), -1, *output.shape[2:])
        return output + torch.cat([half, -half]) * spread * norms

    return Listener(heard)


def input_norms(call: Call) -> Tensor:
    """Norm ||A_p|| of the input patch behind every output position: ``[B, groups or O, H', W']`` or ``[..., 1]``."""
    square = call.inputs.pow(2)
    if call.linear:
        return square.sum(-1, keepdim=True).clamp_min(1e-30).sqrt()
    square = call.padded(square)
    square = square.unflatten(1, (call.groups, -1)).sum(2)
    ones = torch.ones(call.groups, 1, *call.kernel, device=square.device, dtype=square.dtype)
    sums = functional.conv2d(square, ones, stride=call.stride, dilation=call.dilation, groups=call.groups)
    norms = sums.clamp_min(1e-30).sqrt()
    return norms.repeat_interleave(call.filters // call.groups, 1) if call.groups > 1 else norms
