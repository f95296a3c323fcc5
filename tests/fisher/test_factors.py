"""Factors of the logits' Fisher information: the exact ones, and the drawn ones on average."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.fisher.factors import (
    bernoulli_drawn,
    bernoulli_exact,
    bernoulli_signed,
    draw_labels,
    softmax_drawn,
    softmax_exact,
    softmax_signed,
)


def second_moment(vectors: torch.Tensor) -> torch.Tensor:
    return torch.einsum("jbk,jbl->bkl", vectors, vectors)


def covariance(logits: torch.Tensor) -> torch.Tensor:
    p = torch.softmax(logits, 1)
    return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=9))
def test_the_exact_softmax_factor_is_exact(values):
    logits = torch.tensor([values], dtype=torch.float64)
    v = softmax_exact(logits)
    assert v.shape[0] == len(values) - 1
    torch.testing.assert_close(second_moment(v), covariance(logits), rtol=1e-9, atol=1e-12)


def test_the_exact_factor_survives_certainty():
    logits = torch.tensor([[1e4, 0.0, 0.0], [0.0, 0.0, 1e4]])
    assert torch.isfinite(softmax_exact(logits)).all()
    assert softmax_exact(logits).abs().max() == 0


def test_the_drawn_softmax_factor_is_right_on_average():
    logits = torch.randn(1, 4, generator=torch.Generator().manual_seed(1))
    u = torch.rand(1, 200_000, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(second_moment(softmax_drawn(logits, u)), covariance(logits), atol=5e-3, rtol=0)


def test_the_exact_bernoulli_factor_is_the_variance_of_each_attribute():
    logits = torch.randn(3, 4, dtype=torch.float64)
    p = torch.sigmoid(logits)
    torch.testing.assert_close(second_moment(bernoulli_exact(logits)), torch.diag_embed(p * (1 - p)))


@given(st.floats(-40, 40), st.integers(0, 1))
def test_a_sure_attribute_counts_alike_whichever_way_it_is_named(logit, side):
    """In single precision too, where 1 - p has no digits left for p near 1."""
    logits = torch.tensor([[logit]], dtype=torch.float32)
    expected = torch.sigmoid(logits.double()) * torch.sigmoid(-logits.double())
    torch.testing.assert_close(second_moment(bernoulli_exact(logits)).double()[0], expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(bernoulli_exact(logits), bernoulli_exact(-logits), rtol=1e-6, atol=0)
    signs = torch.full((1, 1, 1), 2 * side - 1)
    torch.testing.assert_close(bernoulli_signed(logits, signs).abs(), bernoulli_exact(logits), rtol=1e-6, atol=0)
    drawn = bernoulli_drawn(logits, torch.tensor([[[float(side)]]]))  # 0 draws it, 1 draws none
    missed = torch.sigmoid(logits.double() if side else -logits.double()).float()
    torch.testing.assert_close(drawn.abs()[0], missed, rtol=1e-6, atol=0)


def test_the_drawn_bernoulli_factor_is_right_on_average():
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    u = torch.rand(2, 200_000, 3, generator=torch.Generator().manual_seed(2))
    p = torch.sigmoid(logits)
    found = second_moment(bernoulli_drawn(logits, u))
    torch.testing.assert_close(found, torch.diag_embed(p * (1 - p)), atol=5e-3, rtol=0)


def test_drawn_labels_follow_the_probabilities():
    p = torch.tensor([[0.2, 0.5, 0.3]])
    drawn = draw_labels(p, torch.rand(1, 20000, generator=torch.Generator().manual_seed(0)))[0]
    torch.testing.assert_close(
        torch.bincount(drawn, minlength=3) / 20000, torch.tensor([0.2, 0.5, 0.3]), atol=0.015, rtol=0
    )
    assert draw_labels(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.999999]])).item() == 0


def test_random_signs_are_right_on_average():
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    signs = torch.randint(0, 2, (2, 200_000, 3), generator=torch.Generator().manual_seed(2)) * 2 - 1
    found = second_moment(softmax_signed(logits, signs))
    torch.testing.assert_close(found, covariance(logits), atol=5e-3, rtol=0)


@given(st.integers(2, 9), st.integers(1, 3), st.integers(0, 20))
def test_signs_add_up_the_exact_vectors(classes, draws, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(4, classes, dtype=torch.float64, generator=generator)
    for exact, signed, columns in (
        (softmax_exact, softmax_signed, classes - 1),
        (bernoulli_exact, bernoulli_signed, classes),
    ):
        signs = torch.randint(0, 2, (4, draws, columns), generator=generator) * 2 - 1
        expected = torch.einsum("cbk,bsc->sbk", exact(logits), signs.double()) / draws**0.5
        torch.testing.assert_close(signed(logits, signs), expected, rtol=1e-12, atol=1e-14)


def test_signs_of_many_classes_take_little_memory():
    logits = torch.randn(2, 20_000, generator=torch.Generator().manual_seed(0))  # the exact vectors: 6 GB
    signs = torch.randint(0, 2, (2, 1, 19_999), generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = softmax_signed(logits, signs)
    assert found.shape == (1, 2, 20_000) and torch.isfinite(found).all()
    torch.testing.assert_close(found.sum(2), torch.zeros(1, 2), atol=1e-5, rtol=0)  # as of every vector
