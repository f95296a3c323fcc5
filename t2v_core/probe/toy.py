"""Two tiny probes on images of one pixel, red being x and green y: the feature extractors of T2V supplement Fig. 4."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from t2v_core.probe.probe import Probe, make_probe
from t2v_core.task.record import InputSpec

DEGREE, FEATURES = 3, 10

SPEC = InputSpec(resize=1, crop=1, mean=(0.5, 0.5, 0.0), std=(1.0, 1.0, 1.0))
"""The unit square around the origin. With a corner at the origin the monomials are nearly collinear (condition number
of their correlations 4,900 instead of 33), and their weights would follow that instead of the task."""


class Monomials(nn.Module):
    """All x^i y^j with i + j <= 3, each times a scale of its own: ten filters in ten layers."""

    def __init__(self) -> None:
        super().__init__()
        self.powers = [(i, j) for i, j in product(range(DEGREE + 1), repeat=2) if i + j <= DEGREE]
        self.scales = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in self.powers)
        for weight in self.parameters():
            nn.init.ones_(weight)

    def forward(self, images: Tensor) -> Tensor:
        x, y = images[:, 0, 0], images[:, 1, 0]
        return torch.cat([scale(x**i * y**j) for scale, (i, j) in zip(self.scales, self.powers, strict=True)], 1)


def cubic_probe() -> Probe:
    """The monomials up to degree 3. The constant one says nothing beside the head's bias: its value is always 0."""
    return _probe("toy-cubic", "Polynomials up to degree 3", Monomials())


def random_probe(seed: int) -> Probe:
    """Ten features max(0, ax + by + c), a and b drawn from [-1/2, 1/2] and c from [-1, 1].

    A feature that is 0 on the whole square (more than one in three) is none: the next one is taken.
    """
    drawn = np.random.default_rng([seed, 1]).uniform([-0.5, -0.5, -1], [0.5, 0.5, 1], (100 * FEATURES, 3))
    at_best_corner = drawn[:, 2] + np.abs(drawn[:, :2]).sum(1) / 2
    layer = nn.Conv2d(3, FEATURES, 1, bias=False)
    layer.weight.data = torch.from_numpy(drawn[at_best_corner > 0][:FEATURES, :, None, None]).float()
    return _probe("toy-random", "Random features", nn.Sequential(layer, nn.ReLU(), nn.Flatten()))


def _probe(probe_id: str, title: str, network: nn.Module) -> Probe:
    return make_probe(probe_id, title, network, None, SPEC, "made by code", torch.device("cpu"))
