"""Any torchvision or timm classifier serves as a probe with every weight it multiplies by, or is refused in words."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.modules.conv import _ConvNd

from t2v_core.errors import InputError
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.heads import Head
from t2v_core.probe.probe import Probe, make_probe
from t2v_core.probe.registry import _detach_classifier
from t2v_core.task.record import InputSpec

TORCHVISION = {
    "alexnet": 64,
    "convnext_tiny": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "efficientnet_v2_s": 32,
    "googlenet": 32,
    "inception_v3": 75,
    "maxvit_t": 224,
    "mnasnet0_5": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "regnet_x_400mf": 32,
    "regnet_y_400mf": 32,
    "resnet18": 32,
    "resnext50_32x4d": 32,
    "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 32,
    "swin_t": 64,
    "swin_v2_t": 64,
    "vgg11": 32,
    "vgg11_bn": 32,
    "vit_b_32": 224,
    "wide_resnet50_2": 32,
}
"""A small member of every family of torchvision's classifiers, and an input it takes."""

TIMM = [
    "beit_base_patch16_224",
    "coatnet_nano_rw_224",
    "convnext_atto",
    "convnextv2_atto",
    "deit_tiny_distilled_patch16_224",
    "densenet121",
    "efficientnet_b0",
    "eva02_tiny_patch14_224",
    "focalnet_tiny_srf",
    "maxvit_tiny_tf_224",
    "mixer_s32_224",
    "mobilenetv3_small_050",
    "mobilevit_xxs",
    "regnetx_002",
    "regnety_002",
    "resnet10t",
    "resnetv2_50",
    "resnext50_32x4d",
    "seresnet18",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "vgg11",
    "vit_small_patch14_dinov2",
    "vit_tiny_patch16_224",
]

REFUSED = {
    "coat_tiny": "'cpe1.proj' runs more than once",
    "lambda_resnet26t": "'stages.2.1.self_attn.conv_lambda' convolves over three",
    "nf_resnet50": r"'stem.conv' uses its weights .* \(reshape\)",
    "resnetv2_50x1_bit": r"'stem.conv' uses its weights .* \(reshape\)",
    "tf_efficientnet_cc_b0_4e": r"uses its weights .* \(matmul\)",
}
"""timm's models whose filters cannot be read, and what the refusal says."""


def state(network: nn.Module) -> list[object]:
    """What could be left behind on a network: attributes, hooks, buffers, what requires a gradient."""
    modules = [(set(vars(m)), len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()]
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return [*modules, *((name, v._version, v.requires_grad, v.grad) for name, v in tensors)]


def multiplied_by(probe: Probe) -> set[str]:
    """Convolutions and linear layers that the features depend on, as autograd finds them."""
    named = {n: m.weight for n, m in probe.network.named_modules() if isinstance(m, nn.Linear | _ConvNd)}
    probe.network.requires_grad_(True)
    try:
        z = probe.network(torch.randn(1, 3, probe.info.spec.crop, probe.info.spec.crop))
        found = torch.autograd.grad(z.sum(), list(named.values()), allow_unused=True)
    finally:
        probe.network.requires_grad_(False)
    return {name for name, gradient in zip(named, found, strict=True) if gradient is not None}


def check(network: nn.Module, size: int) -> None:
    spec = InputSpec(resize=size, crop=size, mean=SPEC.mean, std=SPEC.std)
    probe = make_probe("x", "x", network, None, spec, "", torch.device("cpu"))
    assert {name for name, _ in probe.info.layers} == multiplied_by(probe)
    before = state(probe.network)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (2, size, size, 3), dtype=np.uint8)
    # Features of random weights may be huge; a head that is sure of its answer has no Fisher information.
    weight = rng.normal(size=(2, probe.info.feature_dim)) / float(probe.features(pixels).norm(dim=1).max())
    head = Head(weight.astype(np.float32), np.zeros(2, np.float32), 0, 0, 0)
    found = fisher_diagonal(probe, head, pixels, np.array([0, 1]), DiagonalSettings(batch_size=2)).mean
    assert found.shape == (probe.info.dimension,)
    assert np.isfinite(found).all() and (found >= 0).all() and found.any()
    assert state(probe.network) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_every_family_of_torchvision(name):
    torch.manual_seed(0)
    quick = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network = torchvision.models.get_model(name, **quick)
    _detach_classifier(network)
    check(network, TORCHVISION[name])


def test_the_families_are_all_of_torchvisions():
    def family(name: str) -> str:
        return torchvision.models.get_model_builder(name).__module__

    known = torchvision.models.list_models(module=torchvision.models)
    assert {family(name) for name in known} == {family(name) for name in TORCHVISION}


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_families_of_timm(name):
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=0)
    check(network, network.pretrained_cfg["input_size"][1])


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_filters_that_cannot_be_read_are_refused(name):
    network = timm.create_model(name, pretrained=False, num_classes=0)
    with pytest.raises(InputError, match=REFUSED[name]):
        check(network, network.pretrained_cfg["input_size"][1])
