"""Every network as each kind of directory: the copy gives the numbers of the model, or is refused."""

import json

import numpy as np
import pytest
import torch
from experiments import options
from exported import needs, shown, subject
from PIL import Image

from ssl_cli.errors import UserError
from ssl_cli.export.directory import write_directory
from ssl_cli.export.pixels import CentreSquare
from ssl_cli.export.subject import check_same


@pytest.fixture
def shallow(monkeypatch):
    """ResNets of one block a stage: what they are made of is what counts."""
    from torchvision.models import resnet

    whole = resnet._resnet
    monkeypatch.setattr(resnet, "_resnet", lambda block, _, *rest, **kwargs: whole(block, [1] * 4, *rest, **kwargs))


# One of each kind (test_export_model.py has a convnet); the other backbones are as these.
QUICK = ("resnet18", "vit_small_images")
NAMES = options("backbone")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in NAMES])
def test_every_backbone_becomes_an_onnx_file(name, tmp_path, shallow):
    needs("onnx")
    import onnxruntime

    s = subject(name)
    assert write_directory(tmp_path / "out", "onnx", s) <= 1e-4  # on 100 images of four sizes
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        *("README.md", "about.json", "example.py", "model.onnx")
    ]
    session = onnxruntime.InferenceSession(tmp_path / "out/model.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["about"])["classes"] == ["a", "b", "c"]
    pixels = s.images[0][:1, :, :, :]
    features, probabilities = session.run(["features", "probabilities"], {"images": pixels.numpy()})
    x = (pixels.permute(0, 3, 1, 2) / 255 - 0.4) / 0.2
    torch.testing.assert_close(torch.from_numpy(features), s.model(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.from_numpy(probabilities), s.model.predict(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vit_tiny", {}),
        ("vit_small_images", {"channels": 1}),
        ("resnet18", {"stem": "imagenet"}),
        ("resnet50", {"stem": "imagenet", "norm": "group", "channels": 1}),
    ],
)
def test_timm_builds_networks_that_it_knows(name, settings, tmp_path):
    needs("timm")
    import timm

    s = subject(name, **settings)
    assert write_directory(tmp_path / "out", "timm", s) <= 1e-4
    model = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    pixels = s.images[0][0].numpy()
    pixels = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    with torch.no_grad():
        found = model(transform(pixels)[None])
    torch.testing.assert_close(found, s.model(s.model.transform(pixels)[None]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"stem": "imagenet", "channels": 1}, {"norm": "group"}, {"stem": "imagenet"}])
def test_torchvision_builds_a_resnet_by_the_example(settings, tmp_path, monkeypatch, capsys):
    needs("safetensors")
    s = subject("resnet18", **settings)
    write_directory(tmp_path / "out", "safetensors", s)
    pixels = s.images[0][0].numpy()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(tmp_path / "picture.png")
    features, _ = shown(tmp_path / "out", tmp_path / "picture.png", monkeypatch, capsys)
    x = s.model.transform(tmp_path / "picture.png")[None]
    assert features == pytest.approx(s.model(x)[0].tolist(), abs=1e-4)
    assert not (tmp_path / "out/network.py").exists()


@pytest.mark.parametrize("size", [(16, 16), (33, 20), (9, 7), (100, 47)])
def test_the_square_is_pillows(size):
    pixels = np.random.default_rng(0).integers(70, 180, (*size, 3), dtype=np.uint8)  # nothing goes beyond 0 and 255
    image, side = Image.fromarray(pixels), min(size)
    left, top = (size[1] - side) / 2, (size[0] - side) / 2
    expected = np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC, (left, top, left + side, top + side)))
    found = CentreSquare(16, [0.0] * 3, [1.0] * 3)(torch.from_numpy(pixels)[None])[0].permute(1, 2, 0) * 255
    apart = np.abs(found.numpy() - expected)
    assert apart.max() <= (1e-4 if size == (16, 16) else 1.6)  # Pillow rounds to whole levels, twice


def test_a_copy_that_is_not_the_model_is_refused():
    one, two = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.6, 0.4]])
    assert check_same("copy", (one, two), (one + 1e-5, two)) == pytest.approx(5e-6, rel=0.1)
    with pytest.raises(UserError, match="gives other numbers"):
        check_same("copy", (one,), (one + 0.01,))
    with pytest.raises(UserError, match="gives other numbers"):
        check_same("copy", (one,), (one * float("nan"),))


def test_a_file_is_seen_as_the_run_saw_it_and_an_image_of_pillow_nearly_so(tmp_path):
    s = subject("convnet")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "image.png")
    file, image = s.model.transform(tmp_path / "image.png"), s.model.transform(Image.open(tmp_path / "image.png"))
    assert file.shape == (3, 16, 16) and torch.equal(file, image)
    with pytest.raises(UserError, match=r"cannot read .*missing.png"):
        s.model.transform(tmp_path / "missing.png")
    assert not any(p.requires_grad for p in s.model.parameters()) and not s.model.training
