"""The Maximal Coding Rate Reduction loss: how well features separate classes without a classifier.

    L = -R(Z) + R_class(Z),   R(Z)       = 1/2 logdet(I + d / (m eps^2) Z Z^T)
                              R_class(Z) = sum_j m_j / (2m) logdet(I + d / (m_j eps^2) Z_j Z_j^T)

(Yu et al. 2020; WLF equations 8 to 10), Z the d x m features with columns of length 1, Z_j the m_j of
class j. It is lowest where the features of each class lie close together and those of different classes
span different directions. No order of the classes enters it, unlike the cross entropy of a random head.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

EPS_SQUARE = 0.5
"""WLF's prescribed precision eps^2."""


def mcr2_loss(features: Tensor, labels: Tensor, eps_square: float = EPS_SQUARE) -> Tensor:
    """L of a batch of features, differentiable in them.

    Z Z^T and the Gram matrix Z^T Z have the same nonzero eigenvalues, so each logdet is taken of an m x m matrix.
    In the Gram matrix without the entries between classes, the classes are blocks: its Cholesky factor holds all
    of theirs, and one factorisation gives every term of R_class.

    Args:
        features: ``[m, d]``, one row a sample; rows are brought to length 1 here.
        labels: ``[m]`` class indices; only which of them are equal matters.
        eps_square: eps^2.

    Returns:
        A scalar. A class of one sample adds a constant to R_class: it has nothing to be compact with.
    """
    m, d = features.shape
    z = functional.normalize(features, dim=1)
    gram = z @ z.T
    same = (labels[:, None] == labels[None, :]).to(z.dtype)
    size = same.sum(1)  # m_j of each sample's own class
    whole = _half_logdet(d / (m * eps_square) * gram)
    classes = _half_logdet(d / eps_square * same * gram / size[:, None])
    return (size / m * classes).sum() - whole.sum()


def _half_logdet(matrix: Tensor) -> Tensor:
    """``[m]`` terms whose sum is 1/2 logdet(I + matrix): the logarithms of the diagonal of its Cholesky factor."""
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return torch.linalg.cholesky(identity + matrix).diagonal().log()
