"""What is handed over runs by itself, whatever the architecture, and sees images as the program does."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from t2v_core.bank.records import ExpertRecord
from t2v_core.experts.compare import Fitted
from t2v_core.experts.export import export_expert
from t2v_core.experts.scripts import CLASSIFY
from t2v_core.experts.weights import keep_weights, load_expert
from t2v_core.probe.heads import Head
from t2v_core.probe.probe import make_probe, normalise
from t2v_core.probe.registry import blank_network
from t2v_core.task.images import open_image, prepare
from t2v_core.task.record import InputSpec
from tests.task.pictures import encode

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
    return blank_network(architecture).detach()[0]


@pytest.mark.parametrize(
    ("architecture", "with_head"),
    [
        ("mobilenet_v3_small", True),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("mobilenet_v3_small", False),
                ("timm/resnet10t", False),
                ("timm/resnet10t", True),
                ("squeezenet1_1", True),
                ("squeezenet1_1", False),
                ("places365/resnet18", True),
                ("googlenet", False),
            )
        ),
    ],
)
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
    for wrong, words in (("nothing.png", "'nothing.png' does not exist"), (script, "cannot be read as an image")):
        bad = subprocess.run([sys.executable, script, "image.png", wrong], cwd=out, capture_output=True, text=True)
        assert bad.returncode == 2
        assert bad.stdout == ""
        assert words in bad.stderr
        assert len(bad.stderr.splitlines()) == 1
    # As the program itself sees the middle of the image: the crop is all but the border.
    z = load_expert(expert, tmp_path, CPU).network(normalise(pixels[None], SPEC, CPU))[0].detach().numpy()
    if with_head:
        expected = softmax(weight @ z)["abc".index(shown[1])]
        assert float(shown[2]) == pytest.approx(expected, abs=0.002)
        assert expected > 0.3
    else:
        np.testing.assert_allclose(np.array(shown[1:], float), z, atol=2e-3 + 1e-3 * np.abs(z).max())


# ---- pixels


def noise(mode: str, width: int = 50, height: int = 40) -> Image.Image:
    return Image.frombytes(mode, (width, height), np.random.default_rng(0).bytes(width * height * len(mode)))


def awkward_images() -> dict[str, bytes]:
    """One image file of every sort that can be read in more than one way."""
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = np.random.default_rng(0).integers(0, 65536, (40, 50), dtype=np.uint16)
    palette = noise("RGB").quantize(8)
    return {
        "rgba.png": encode(noise("RGBA")),
        "grey_and_alpha.png": encode(noise("LA")),
        "palette.png": encode(palette, transparency=3),
        "deep.png": encode(Image.fromarray(deep)),
        "floats.tiff": encode(Image.fromarray((deep / 65535).astype(np.float32)), "TIFF"),
        "cmyk.jpg": encode(noise("CMYK"), "JPEG"),
        "turned.jpg": encode(noise("RGB"), "JPEG", exif=turned),
        "large.jpg": encode(noise("RGB", 700, 500), "JPEG"),
        "odd.png": encode(noise("RGB", 35, 32)),
        "upright.png": encode(noise("RGB", 32, 35)),
        "line.png": encode(noise("RGB", 300, 2)),
    }


@pytest.mark.parametrize(
    ("resize", "crop", "interpolation", "squash"),
    [(32, 32, "bilinear", False), (40, 33, "bicubic", False), (31, 36, "bilinear", False), (40, 33, "bicubic", True)],
)
def test_the_script_sees_the_pixels_that_were_measured(resize, crop, interpolation, squash, tmp_path):
    spec = InputSpec(resize, crop, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), interpolation, squash)
    files = awkward_images()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "config.json").write_text(json.dumps({"transform": asdict(spec)}))
    (tmp_path / "network.py").write_text("features_network = None\n")
    (tmp_path / "classify.py").write_text(CLASSIFY)
    call = "import sys, classify, numpy; numpy.save('seen', [classify.load_image(p).numpy() for p in sys.argv[1:]])"
    subprocess.run([sys.executable, "-c", call, *files], cwd=tmp_path, check=True)
    for (name, data), seen in zip(files.items(), np.load(tmp_path / "seen.npy"), strict=True):
        expected = normalise(prepare(open_image(data, spec.resize), spec)[None], spec, CPU)[0].numpy()
        np.testing.assert_array_equal(seen, expected, err_msg=name)
