"""The slow obvious versions: what the engine must agree with, written as the formulas stand on paper."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from t2v_core.probe.calls import Call, Listener


def call_of(layer: nn.Module, inputs: torch.Tensor) -> Call:
    """How a layer calls torch."""
    calls = []
    with torch.no_grad(), Listener(lambda call, output: calls.append(call) or output):
        layer(inputs)
    (call,) = calls
    return call


def fisher_of_drawn_labels(
    network: nn.Module, head: nn.Linear, images: torch.Tensor, drawn: torch.Tensor
) -> np.ndarray:
    """Mean over samples of the squared gradient of log p(drawn | x), averaged per filter; one sample at a time.

    ``images [N, 3, H, W]``, ``drawn [N, S]``; everything in float64.
    """
    network = copy.deepcopy(network).double().eval().requires_grad_(True)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    total = np.zeros(sum(len(m.weight) for m in layers))
    for image, labels in zip(images.double(), drawn, strict=True):
        for label in labels:
            network.zero_grad()
            log_p = torch.log_softmax(head(network(image[None])), 1)[0, label]
            log_p.backward()
            per_filter = [m.weight.grad.pow(2).flatten(1).mean(1) for m in layers]
            total += torch.cat(per_filter).numpy() / drawn.numel()
    return total


def exact_fisher(network: nn.Module, head: nn.Linear, images: torch.Tensor) -> np.ndarray:
    """The expectation over all labels under the model, one sample and label at a time."""
    network = copy.deepcopy(network).double().eval().requires_grad_(True)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    total = np.zeros(sum(len(m.weight) for m in layers))
    for image in images.double():
        classes = head.out_features
        for label in range(classes):
            network.zero_grad()
            log_p = torch.log_softmax(head(network(image[None])), 1)[0]
            probability = float(log_p[label].detach().exp())
            log_p[label].backward()
            per_filter = [m.weight.grad.pow(2).flatten(1).mean(1) for m in layers]
            total += probability * torch.cat(per_filter).numpy() / len(images)
    return total


def bernoulli_fisher(network: nn.Module, head: nn.Linear, images: torch.Tensor) -> np.ndarray:
    """The expectation over independent binary attributes: for each, both answers weighted by their probability."""
    network = copy.deepcopy(network).double().eval().requires_grad_(True)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    total = np.zeros(sum(len(m.weight) for m in layers))
    for image in images.double():
        for attribute in range(head.out_features):
            for answer in (0.0, 1.0):
                network.zero_grad()
                logit = head(network(image[None]))[0, attribute]
                log_p = nn.functional.logsigmoid(logit if answer else -logit)
                log_p.backward()
                per_filter = [m.weight.grad.pow(2).flatten(1).mean(1) for m in layers]
                total += float(log_p.detach().exp()) * torch.cat(per_filter).numpy() / len(images)
    return total


def symmetric_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine distance between F_a / (F_a + F_b) and F_b / (F_a + F_b), as T2V writes it."""
    alive = (a + b) > 0
    u, v = a[alive] / (a + b)[alive], b[alive] / (a + b)[alive]
    return 1 - float(u @ v / np.sqrt((u @ u) * (v @ v)))


def listeners() -> int:
    """How many things listen to torch's functions at the moment."""
    return torch._C._len_torch_function_stack()
