"""What is handed over runs by itself, whatever the architecture."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from scipy.special import softmax

from t2v_core.bank.records import ExpertRecord
from t2v_core.experts.compare import Fitted
from t2v_core.experts.export import export_expert
from t2v_core.experts.weights import keep_weights, load_expert
from t2v_core.probe.heads import Head
from t2v_core.probe.probe import make_probe, normalise
from t2v_core.task.record import InputSpec

CPU = torch.device("cpu")
SPEC = InputSpec(resize=40, crop=32, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), interpolation="bicubic")
FACTS = {
    "expert": "birds",
    "trained_on": "birds",
    "task": "mine",
    "images": 10,
    "distance": 0.1,
    "p_first": 0.9,
    "selector": "symmetric",
    "created": "2026-01-01",
}


def network_of(architecture: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if architecture.startswith("timm/"):
        return timm.create_model(architecture.removeprefix("timm/"), pretrained=False, num_classes=0)
    network = torchvision.models.get_model(architecture)
    network.classifier[-1] = torch.nn.Identity()
    return network


@pytest.mark.parametrize("architecture", ["mobilenet_v3_small", "timm/resnet10t"])
@pytest.mark.parametrize("with_head", [True, False])
def test_another_architecture_runs_in_a_fresh_process(architecture, with_head, tmp_path):
    probe = make_probe(architecture, "birds", network_of(architecture), None, SPEC, "", CPU)
    file, sha256 = keep_weights(probe.network, tmp_path)
    expert = ExpertRecord("birds", "birds", architecture, file.name, sha256, None, spec=SPEC)
    weight = np.random.default_rng(0).normal(size=(3, probe.info.feature_dim)).astype(np.float32)
    head = Head(weight, np.zeros(3, np.float32), 0.9, 5, 1)
    fitted = Fitted(0.9, 0.8, 0.95, 10, "held-out images", head) if with_head else None
    data = export_expert(expert, tmp_path, fitted, ("a", "b", "c"), FACTS | {"weights_sha256": sha256})
    out = tmp_path / "out"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(out)
    needed = (out / "requirements.txt").read_text().split()
    assert ("timm" if architecture.startswith("timm/") else "torchvision") in needed
    assert "ask them what it was trained on" in (out / "README.md").read_text()
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(np.pad(pixels, ((4, 4), (4, 4), (0, 0)))).save(out / "image.png")
    script = "classify.py" if with_head else "features.py"
    run = subprocess.run([sys.executable, script, "image.png"], cwd=out, capture_output=True, text=True, check=True)
    shown = run.stdout.strip().split("\t")
    # As the program itself sees the middle of the image: the crop is all but the border.
    z = load_expert(expert, tmp_path, CPU).network(normalise(pixels[None], SPEC, CPU))[0].detach().numpy()
    if with_head:
        expected = softmax(weight @ z)["abc".index(shown[1])]
        assert float(shown[2]) == pytest.approx(expected, abs=0.002)
        assert expected > 0.3
    else:
        np.testing.assert_allclose(np.array(shown[1:], float), z, atol=2e-3 + 1e-3 * np.abs(z).max())
