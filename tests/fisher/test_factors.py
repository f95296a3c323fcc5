"""Both factors of diag(p) - p p^T: the exact one, and the drawn one on average."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.fisher.montecarlo import drawn_factor, exact_factor


def covariance(p: torch.Tensor) -> torch.Tensor:
    return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=9))
def test_the_exact_factor_is_exact(logits):
    p = torch.softmax(torch.tensor([logits], dtype=torch.float64), 1)
    v = exact_factor(p)
    assert v.shape[0] == len(logits) - 1
    torch.testing.assert_close(torch.einsum("jbk,jbl->bkl", v, v), covariance(p), rtol=1e-9, atol=1e-12)


def test_the_exact_factor_survives_certainty():
    p = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert torch.isfinite(exact_factor(p)).all()
    assert exact_factor(p).abs().max() == 0


def test_the_drawn_factor_is_right_on_average():
    p = torch.softmax(torch.randn(1, 4, generator=torch.Generator().manual_seed(1)), 1)
    u = torch.rand(1, 200_000, generator=torch.Generator().manual_seed(2))
    v = drawn_factor(p, u)
    torch.testing.assert_close(torch.einsum("jbk,jbl->bkl", v, v), covariance(p), atol=5e-3, rtol=0)
