"""The bundled probe, and torchvision's probes from files as their users have them."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from t2v_core.errors import InputError
from t2v_core.probe import registry, weights
from t2v_core.probe.bundled import CARD, WEIGHTS
from t2v_core.probe.registry import load_probe, torchvision_options
from t2v_core.probe.timm_models import blank_timm
from t2v_core.probe.training import erase
from tests.conftest import QUICK

CPU = torch.device("cpu")


@pytest.fixture
def weights_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("T2V_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def test_the_bundled_probe_has_the_shape_its_card_tells(bundled):
    card = json.loads(CARD.read_text())
    assert card["parameters"] == 272474
    assert card["test_accuracy"] >= 0.91
    assert abs(card["test_accuracy_float32"] - card["test_accuracy"]) < 0.001
    assert 0.25e6 < card["parameters"] < 0.35e6
    assert bundled.info.dimension == 784
    assert bundled.info.feature_dim == 64
    assert WEIGHTS.stat().st_size < 2**20


def test_the_bundled_probe_accepts_larger_inputs(bundled):
    assert bundled.network(torch.zeros(2, 3, 96, 64)).shape == (2, 64)


def test_the_bundled_probe_knows_more_than_chance(bundled, worlds):
    """Its features separate drawn shapes, which it never saw, far better than chance."""
    from t2v_core.probe.heads import fit_heads

    task = worlds["shapes"].decoded
    (head,) = fit_heads(bundled.features(task.pixels)[None], task.task.labels, 5)
    assert head.validation_accuracy > 0.6


def test_resnet34_from_a_safetensors_file(weights_folder):
    torch.manual_seed(0)
    network = torchvision.models.resnet34()
    save_file(network.state_dict(), weights_folder / "resnet34.safetensors")
    probe = load_probe("resnet34", CPU)
    assert probe.info.dimension == 8512  # method section 2
    assert probe.info.feature_dim == 512
    assert probe.info.spec.crop == 224
    assert probe.classifier.out_features == 1000
    assert probe.info.layers[0] == ("conv1", 64)
    x = torch.randn(1, 3, 64, 64)
    network.eval()
    # Another memory layout, another order of summation.
    torch.testing.assert_close(probe.classifier(probe.network(x)), network(x), rtol=1e-3, atol=1e-4)
    assert weights.preferred()[0] == "resnet34"


def test_an_inception_network_sees_images_as_its_published_weights_want_them(weights_folder):
    """They were trained on images normalised otherwise, which torchvision makes up for within the network."""
    torch.manual_seed(0)
    network = torchvision.models.googlenet(transform_input=True, init_weights=False)  # as with weights=DEFAULT
    save_file(network.state_dict(), weights_folder / "googlenet.safetensors")
    probe = load_probe("googlenet", CPU)
    assert not any("aux" in name for name, _ in probe.info.layers)
    x = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(probe.classifier(probe.network(x)), network.eval()(x), rtol=1e-3, atol=1e-3)
    assert isinstance(probe.network.train()(x.repeat(2, 1, 1, 1)), torch.Tensor)


def test_a_vision_transformer_has_the_size_of_its_published_weights():
    assert torchvision_options("vit_h_14") == {"image_size": 518}
    assert torchvision_options("vit_b_16") == {"image_size": 224}
    assert torchvision_options("resnet18") == {}


@pytest.mark.parametrize("published", [False, True])
def test_places365_is_read_from_its_authors_file_or_safetensors(weights_folder, published):
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=365)
    state = network.state_dict()
    if published:  # as its authors wrote it: a checkpoint of a data parallel training
        checkpoint = {"epoch": 90, "arch": "resnet18", "state_dict": {f"module.{k}": v for k, v in state.items()}}
        torch.save(checkpoint, weights_folder / "resnet18_places365.pth.tar")
    else:
        save_file(state, weights_folder / "resnet18_places365.safetensors")
    probe = load_probe("places365/resnet18", CPU)
    assert probe.classifier.out_features == 365
    assert (probe.info.spec.resize, probe.info.spec.crop) == (256, 224)
    assert "Places365" in probe.info.title
    assert {s.id for s in weights.statuses() if s.ready} == {"bundled", "places365/resnet18"}
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(probe.classifier(probe.network(x)), network.eval()(x), rtol=1e-3, atol=1e-4)


def test_places365_asks_for_its_file_and_takes_no_other(weights_folder):
    with pytest.raises(InputError, match=r"put resnet18_places365\.pth\.tar, from its authors, into"):
        load_probe("places365/resnet18", CPU)
    file = weights_folder / "resnet18_places365.pth.tar"
    torch.save({"state_dict": torchvision.models.resnet18().state_dict()}, file)  # a thousand classes
    with pytest.raises(InputError, match="does not hold this network's weights"):
        load_probe("places365/resnet18", CPU)
    for content in (b"", b"no weights at all", file.read_bytes()[:5000]):
        file.write_bytes(content)
        with pytest.raises(InputError, match="does not hold this network's weights"):
            load_probe("places365/resnet18", CPU)
    with pytest.raises(InputError, match="there is no probe 'nothing'"):
        load_probe("places365/nothing", CPU)


def test_published_files_are_checked_against_their_name(weights_folder):
    file = weights_folder / weights.PUBLISHED["resnet18"]
    torch.save(torchvision.models.resnet18().state_dict(), file)
    with pytest.raises(InputError, match="checksum in its name"):
        load_probe("resnet18", CPU)


def test_other_shapes_are_refused_with_a_sentence(weights_folder):
    save_file(torchvision.models.resnet18().state_dict(), weights_folder / "resnet34.safetensors")
    with pytest.raises(InputError, match="does not hold this network's weights"):
        load_probe("resnet34", CPU)


def test_weights_are_downloaded_checked_and_kept(weights_folder, tmp_path, monkeypatch):
    content = tmp_path / "content.pth"
    torch.save(torchvision.models.resnet18().state_dict(), content)
    digest = hashlib.sha256(content.read_bytes()).hexdigest()[:8]
    served = tmp_path / f"resnet18-{digest}.pth"
    content.rename(served)
    seen = []
    found = registry._download(served.as_uri(), lambda done, total, text: seen.append((done, total)))
    assert found == weights_folder / served.name
    assert seen[-1][0] == seen[-1][1] == served.stat().st_size
    assert [f.name for f in weights_folder.iterdir()] == [served.name]


def test_without_network_or_file_the_message_says_what_to_do(weights_folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(registry.urllib.request, "urlopen", refuse)
    with pytest.raises(InputError, match=r"resnet34-b627a593.pth .* put the file into .* or use the bundled probe"):
        load_probe("resnet34", CPU)
    assert list(weights_folder.iterdir()) == []


def test_published_names_are_torchvisions():
    for name, published in weights.PUBLISHED.items():
        assert registry._weights(name).url.endswith("/" + published)


def test_an_unknown_probe_is_named():
    with pytest.raises(InputError, match="no probe 'resnet999'"):
        load_probe("resnet999", CPU)


def test_features_are_the_same_in_any_batch_size(bundled, shapes):
    a = bundled.features(shapes.pixels[:20], batch_size=3)
    b = bundled.features(shapes.pixels[:20], batch_size=20)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_training_repeats_with_a_seed(shapes):
    from t2v_core.probe.network import ResNet20
    from t2v_core.probe.training import train_classifier

    def run() -> np.ndarray:
        torch.manual_seed(0)
        network = ResNet20(5)
        images = torch.from_numpy(shapes.pixels).permute(0, 3, 1, 2).float() / 255
        train_classifier(network, images, shapes.task.labels, QUICK)
        return network.fc.weight.detach().numpy()

    np.testing.assert_array_equal(run(), run())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_erasing_blanks_one_rectangle_of_some_images(share):
    images = torch.ones(2000, 3, 32, 24)
    blank = erase(images, share, torch.Generator().manual_seed(0)) == 0
    assert (images == 1).all()
    assert (blank == blank[:, :1]).all()
    blank = blank[:, 0]
    rectangle = blank.any(2)[:, :, None] & blank.any(1)[:, None, :]
    assert (blank == rectangle).all()
    for along in (blank.any(1), blank.any(2)):  # without a gap
        assert ((along[:, 1:] != along[:, :-1]).sum(1) <= 2).all()
    hit = blank.flatten(1).float().mean(1)
    assert abs(float((hit > 0).float().mean()) - share) < 0.04
    # An area even between 2 and 33 %; whole pixels, and what is longer than the image is cut off.
    assert float(hit.max()) < 0.42
    if share:
        assert 0.13 < float(hit[hit > 0].mean()) < 0.19


def test_a_timm_model_from_a_local_file_is_the_network_timm_means(weights_folder):
    torch.manual_seed(0)
    network = timm.create_model("test_vit", pretrained=False).eval()
    save_file(network.state_dict(), weights_folder / "timm_test_vit.safetensors")
    probe = load_probe("timm/test_vit", CPU)
    x = torch.randn(2, 3, 160, 160)
    torch.testing.assert_close(probe.classifier(probe.network(x)), network(x), rtol=1e-4, atol=1e-5)
    assert probe.info.spec.crop == 160
    assert ("blocks.0.attn.qkv", 192) in probe.info.layers
    last = load_probe("timm/test_vit:last", CPU)
    assert last.info.layers == probe.info.layers[-len(last.info.layers) :]
    assert last.info.weights_hash != probe.info.weights_hash


@pytest.mark.parametrize(
    ("published", "spec"),
    [
        ({"crop_mode": "center", "crop_pct": 0.8}, (200, 160, False)),
        ({"crop_mode": "squash", "crop_pct": 1.0}, (160, 160, True)),
        ({"crop_mode": "border"}, "cropped by 'border'"),
        ({"input_size": (3, 160, 224)}, "160x224 pixels"),
    ],
)
def test_a_timm_model_gets_images_as_it_was_trained_on_or_none(published, spec, monkeypatch):
    make = timm.create_model

    def with_config(name, **options):
        network = make(name, **options)
        network.pretrained_cfg = {**network.pretrained_cfg, **published}
        return network

    monkeypatch.setattr(timm, "create_model", with_config)
    if isinstance(spec, str):
        with pytest.raises(InputError, match=spec):
            blank_timm("timm/test_vit")
    else:
        found = blank_timm("timm/test_vit").spec
        assert (found.resize, found.crop, found.squash) == spec


def test_timm_without_network_says_where_to_put_the_file(weights_folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(InputError, match=r"no route to host.*timm_test_vit.safetensors into .* bundled probe"):
        load_probe("timm/test_vit", CPU)


@pytest.mark.parametrize(
    ("name", "reason"), [("timm/nothing_like_it", "timm knows no model"), ("bundled:first", "no choice of layers")]
)
def test_unknown_names_are_explained(name, reason):
    with pytest.raises(InputError, match=reason):
        load_probe(name, CPU)


def test_features_that_are_no_numbers_are_refused(shapes):
    probe = load_probe("bundled", CPU)
    with torch.no_grad():
        probe.network.conv1.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="features that are not finite numbers; choose another probe"):
        probe.features(shapes.pixels[:4])
