"""Which layers embed a task, and networks that cannot be probes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from t2v_core.errors import InputError
from t2v_core.probe.attention import make_attention_explicit
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.layers import last_stage, trace
from t2v_core.probe.probe import make_probe
from t2v_core.task.record import InputSpec

CPU = torch.device("cpu")
MIDDLE = InputSpec(resize=64, crop=64, mean=SPEC.mean, std=SPEC.std)


def transformer() -> nn.Module:
    torch.manual_seed(0)
    network = torchvision.models.VisionTransformer(32, 8, 4, 2, 16, 32, num_classes=7)
    nn.init.normal_(network.heads.head.weight)  # torchvision starts it at zero, which would hide a difference
    return network.eval()


def test_explicit_attention_computes_the_same_with_the_same_weights():
    network, images = transformer(), torch.randn(3, 3, 32, 32)
    expected = network(images)
    weights = {p.data_ptr() for p in network.parameters()}
    make_attention_explicit(network)
    torch.testing.assert_close(network(images), expected)
    assert {p.data_ptr() for p in network.parameters()} == weights
    names = [name for name, m in network.named_modules() if isinstance(m, nn.Linear)]
    assert "encoder.layers.encoder_layer_0.self_attention.qkv" in names


def test_cross_attention_is_refused_rather_than_misread():
    holder = nn.Module()
    holder.attention = nn.MultiheadAttention(8, 2, batch_first=True)
    make_attention_explicit(holder)
    x, other, mask = torch.zeros(1, 2, 8), torch.ones(1, 2, 8), torch.ones(2, 2).triu(1).bool()
    for asked, options in (((x, other, other), {}), ((x, x, x), {"attn_mask": mask})):
        with pytest.raises(ValueError, match="to themselves, all to all"):
            holder.attention(*asked, **options)


class Masked(nn.Module):
    """Attention to the tokens before alone."""

    def __init__(self, **kind: bool) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 16, stride=16)
        self.attention = nn.MultiheadAttention(8, 2, **kind)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        mask = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool()
        return self.attention(tokens, tokens, tokens, attn_mask=mask)[0].mean(1)


@pytest.mark.parametrize(
    ("network", "reason"),
    [(Masked(batch_first=True), "to themselves, all to all"), (Masked(), "only self-attention with the batch first")],
)
def test_attention_that_cannot_be_read_is_refused_in_words(network, reason):
    with pytest.raises(InputError, match=f"cannot be a probe: .*{reason}"):
        make_probe("x", "x", network, None, MIDDLE, "", CPU)


class Encoder(nn.Module):
    """torch's own transformer layer over the pixels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 8, stride=8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.embed(x).flatten(2).transpose(1, 2)).mean(1)


def test_torchs_transformer_layer_gives_what_it_gave_with_all_its_filters_read():
    torch.manual_seed(0)
    network = Encoder().eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = network(images)
    probe = make_probe("e", "e", network, None, MIDDLE, "", CPU)
    with torch.no_grad():
        torch.testing.assert_close(probe.network(images), before)
    assert [name for name, _ in probe.info.layers] == [
        "embed",
        "layer.self_attn.qkv",
        "layer.self_attn.proj",
        "layer.linear1",
        "layer.linear2",
    ]


@pytest.mark.parametrize(
    "made",
    [torch.nn.utils.parametrizations.weight_norm, torch.nn.utils.spectral_norm, torch.nn.utils.weight_norm],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_that_are_made_of_others_are_refused(made):
    network = nn.Sequential(nn.Flatten(), made(nn.Linear(3 * 64 * 64, 4)), nn.Linear(4, 2))
    with pytest.raises(InputError, match="the weights of layer '1' are made of other parameters"):
        make_probe("x", "x", network, None, MIDDLE, "", CPU)


def test_the_last_stage_begins_where_the_resolution_last_falls():
    probe = make_probe("r", "r", torchvision.models.resnet18(), None, MIDDLE, "", CPU, layers="last")
    assert [name.split(".")[0] for name, _ in probe.info.layers] == ["layer4"] * 5 + ["fc"]
    whole = make_probe("r", "r", probe.network, None, MIDDLE, "", CPU)
    assert probe.info.id == "r:last"
    assert probe.info.weights_hash != whole.info.weights_hash


def test_the_last_stage_of_a_transformer_is_its_last_quarter():
    _, ran = trace(transformer(), 32, CPU)
    assert [run.name for run in last_stage(ran)][-1] == "heads.head"
    assert len(last_stage(ran)) == -(-len(ran) // 4)


def test_the_last_stage_of_a_mixer_is_its_last_quarter_though_positions_go_to_and_fro():
    torch.manual_seed(0)
    _, ran = trace(timm.create_model("mixer_s32_224", num_classes=0).eval(), 224, CPU)
    assert len({run.positions for run in ran}) > 1
    assert len(last_stage(ran)) == -(-len(ran) // 4)


def test_the_last_stage_with_branches_begins_where_the_resolution_last_falls():
    torch.manual_seed(0)
    _, ran = trace(torchvision.models.inception_v3(init_weights=False, aux_logits=False).eval(), 139, CPU)
    assert any(b.positions > a.positions for a, b in pairwise(ran))  # a branch starts again at the resolution before
    assert last_stage(ran)[0].name.startswith("Mixed_7a.branch7x7x3_4")


class TwiceTheSame(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.conv(x)).mean((2, 3))


class Mixing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.conv(x).mean((2, 3))
        return z - z.mean(0)


class Raw(nn.Module):
    """A matrix of its own beside a convolution, multiplied by in one way or another."""

    def __init__(self, how: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.own = nn.Parameter(torch.randn(4, 4))
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.how(self.conv(x).mean((2, 3)), self.own)


@pytest.mark.parametrize(
    "how",
    [
        lambda z, w: z @ w,
        lambda z, w: z @ w.t(),
        lambda z, w: torch.matmul(z, w.mT),
        lambda z, w: z.mm(w.view(4, 4)),
        lambda z, w: torch.einsum("bi,ij->bj", z, w),
        lambda z, w: torch.tensordot(z, w, 1),
        lambda z, w: torch.nn.functional.linear(z, w[:2]),
    ],
)
def test_a_matrix_that_is_multiplied_by_in_another_way_is_refused(how):
    with pytest.raises(InputError, match="'own' uses its weights in a way"):
        trace(Raw(how), 16, CPU)


def test_a_matrix_that_is_only_added_or_handed_to_a_linear_map_is_read_or_let_be():
    _, runs = trace(Raw(lambda z, w: z + w.sum(0)), 16, CPU)
    assert [run.name for run in runs] == ["conv"]
    _, runs = trace(Raw(torch.nn.functional.linear), 16, CPU)
    assert {run.name for run in runs} == {"conv", "own"}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_are_refused(kind):
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.rows = nn.Conv2d(3, 4, 8, stride=8), kind(4, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rows(self.conv(x).flatten(2).mT)[0].mean(1)

    with pytest.raises(InputError, match=r"'rows\.weight_ih_l0' uses its weights in a way"):
        trace(Rows(), 16, CPU)


def test_a_layer_of_zeros_has_a_prior():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.zeros_(network[0].weight)
    probe = make_probe("x", "x", network, None, InputSpec(resize=16, crop=16, mean=SPEC.mean, std=SPEC.std), "", CPU)
    assert np.isfinite(probe.info.filter_prior).all()


def test_a_filter_is_named_by_its_layer_and_row():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    probe = make_probe("x", "x", network, None, InputSpec(resize=16, crop=16, mean=SPEC.mean, std=SPEC.std), "", CPU)
    assert probe.info.filter_names == ["0[0]", "0[1]", "3[0]", "3[1]", "3[2]"]


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (TwiceTheSame(), "'conv' runs more than once"),
        (Mixing(), "depend on the others in its batch"),
        (nn.Conv2d(3, 4, 3), "does not give one feature vector an image"),
        (nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "no convolution or linear layer"),
    ],
)
def test_networks_that_cannot_be_probes_say_why(network, reason):
    with pytest.raises(InputError, match=reason):
        make_probe("x", "x", network, None, InputSpec(resize=16, crop=16, mean=SPEC.mean, std=SPEC.std), "", CPU)
