"""Factors of the Fisher information in the logits, for softmax classes and for binary attributes.

For one sample the inner expectation of the Fisher diagonal is J^T C J with J the Jacobian of the logits
and C their Fisher information: diag(p) - p p^T under a softmax, diag(p (1 - p)) for independent binary
attributes. Any factor C = sum_j v_j v_j^T turns it into backward passes with v_j as the gradient of the
logits. ``exact`` factors do so identically; on average do ``drawn`` ones, built from labels drawn from the model,
and ``signed`` ones, which add up the vectors of an exact factor under random signs (Hutchinson's estimator). Where the
model is sure, a drawn label is rarely another than the likely one and then weighs all the more: signs are less noisy.

Every function takes ``[B, K]`` logits and returns ``[S, B, K]``: S vectors for each of B samples.
"""

from __future__ import annotations

import torch
from torch import Tensor


def softmax_exact(logits: Tensor) -> Tensor:
    """The K - 1 vectors with sum_j v_j v_j^T = diag(p) - p p^T.

    A multinomial is a sequence of binomials. With r_j = p_j + ... + p_K the mass not yet decided, v_j is
    sqrt(p_j r_{j+1} / r_j) at j, -p_i sqrt(p_j / (r_j r_{j+1})) at i > j, and 0 before.
    """
    p, own, later = _binomials(logits)
    columns = torch.zeros(p.shape[1] - 1, *p.shape, dtype=p.dtype, device=p.device)
    for j in range(p.shape[1] - 1):
        columns[j, :, j] = own[:, j]
        columns[j, :, j + 1 :] = -p[:, j + 1 :] * later[:, j, None]
    return columns.to(logits.dtype)


def softmax_signed(logits: Tensor, signs: Tensor) -> Tensor:
    """The sums of the exact vectors under S sets of signs ``[B, S, K - 1]`` of +1 and -1, over sqrt(S).

    The K - 1 vectors themselves are never made: of 1,000 classes they would take a gigabyte for 128 samples.
    """
    p, own, later = _binomials(logits)
    signs = signs.to(p.dtype)
    first = torch.zeros_like(signs[..., :1])
    before = torch.cat([first, (signs * later[:, None]).cumsum(2)], 2)
    sums = torch.cat([signs * own[:, None], first], 2) - p[:, None] * before
    return (sums / signs.shape[1] ** 0.5).transpose(0, 1).to(logits.dtype)


def _binomials(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities p ``[B, K]``; of each v_j its entry at j, and what takes p_i to that at i > j, ``[B, K - 1]``."""
    p = torch.softmax(logits.double(), 1)
    rest = p.flip(1).cumsum(1).flip(1).clamp_min(1e-300)
    here, now, after = p[:, :-1], rest[:, :-1], rest[:, 1:]
    return p, torch.sqrt(here * after / now), torch.sqrt(here / now / after)


def softmax_drawn(logits: Tensor, uniforms: Tensor) -> Tensor:
    """The vectors (e_y - p) / sqrt(S) for S labels y drawn from p by inverse CDF; ``uniforms [B, S]``."""
    p = torch.softmax(logits, 1)
    drawn = draw_labels(p, uniforms)
    return (torch.nn.functional.one_hot(drawn.T, p.shape[1]) - p) / uniforms.shape[1] ** 0.5


def draw_labels(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Labels by inverse CDF: ``[B, K]`` probabilities and ``[B, S]`` uniforms in [0, 1) give ``[B, S]``."""
    cumulative = probabilities.double().cumsum(1)
    drawn = torch.searchsorted(cumulative, uniforms.double().contiguous(), right=True)
    return drawn.clamp_(max=probabilities.shape[1] - 1)


def bernoulli_exact(logits: Tensor) -> Tensor:
    """The K vectors sqrt(p_k (1 - p_k)) e_k: attributes are independent given the image."""
    return torch.diag_embed(_deviations(logits)).transpose(0, 1)


def bernoulli_drawn(logits: Tensor, uniforms: Tensor) -> Tensor:
    """The vectors (y - p) / sqrt(S) for S sets of attributes y drawn from p; ``uniforms [B, S, K]``."""
    p, rest = torch.sigmoid(logits.double())[:, None], torch.sigmoid(-logits.double())[:, None]
    return (torch.where(uniforms < p, rest, -p).transpose(0, 1) / uniforms.shape[1] ** 0.5).to(logits.dtype)


def bernoulli_signed(logits: Tensor, signs: Tensor) -> Tensor:
    """Likewise with S sets of signs ``[B, S, K]``."""
    return (signs.to(logits.dtype) * _deviations(logits)[:, None]).transpose(0, 1) / signs.shape[1] ** 0.5


def _deviations(logits: Tensor) -> Tensor:
    """sqrt(p_k (1 - p_k)) ``[B, K]``; 1 - p from the other side, where nothing of it is lost in p being near 1."""
    return torch.sqrt(torch.sigmoid(logits.double()) * torch.sigmoid(-logits.double())).to(logits.dtype)
