"""``ssl export to=...``: a directory that works without ssl, and gives the numbers of the run's own model."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from experiments import CONF, composed, option, train
from omegaconf import OmegaConf
from PIL import Image

import ssl_cli
from ssl_cli.backbones.build import build_backbone
from ssl_cli.commands.export import run as export
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import RunError, UserError
from ssl_cli.export import hub
from ssl_cli.export.directory import write_directory
from ssl_cli.export.kinds import KINDS
from ssl_cli.export.model import Model
from ssl_cli.export.pixels import CentreSquare
from ssl_cli.export.subject import Subject, _images, check_same

TINY = ["trainer.max_steps=3", "backbone.widths=[4,8]"]


def needs(to: str) -> None:
    for package in KINDS[to]:
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def supervised(tmp_path_factory):
    run = tmp_path_factory.mktemp("supervised") / "run"
    train(run, ["method=supervised", "dataset.labels=4/class", *TINY])
    return run


@pytest.fixture
def picture(tmp_path):
    """A digit at the size of the run's images, which no reader has to resize."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def shown(directory: Path, picture: Path, monkeypatch, capsys) -> tuple[list[float], dict[str, float]]:
    """Run the example of a directory, without ssl; return the features and the probabilities that it prints."""
    monkeypatch.setattr(sys, "argv", ["example.py", str(picture)])
    monkeypatch.setattr(sys, "path", [str(directory), *sys.path])
    monkeypatch.delitem(sys.modules, "network", raising=False)
    hidden = {name: None for name in sys.modules if name.split(".")[0] == "ssl_cli"}
    with monkeypatch.context() as context:
        for name in hidden:
            context.setitem(sys.modules, name, None)  # importing it raises
        capsys.readouterr()
        runpy.run_path(str(directory / "example.py"))
    features, *classes = capsys.readouterr().out.splitlines()
    return [float(x) for x in features.split()[1:]], {k: float(v) for k, v in (line.split(": ") for line in classes)}


@pytest.mark.parametrize("to", ["safetensors", "onnx"])
def test_the_example_gives_the_features_and_probabilities_of_the_model(
    to, supervised, picture, tmp_path, monkeypatch, capsys
):
    needs(to)
    assert export(composed("export", [f"ckpt={supervised}", f"to={to}", f"out={tmp_path / 'out'}"])) == 0
    features, probabilities = shown(tmp_path / "out", picture, monkeypatch, capsys)
    model = ssl_cli.load(supervised)
    x = model.transform(picture)[None]
    assert features == pytest.approx(model(x)[0].tolist(), abs=1e-4) and np.std(features) > 0
    assert list(probabilities) == list(model.classes) == list("0123456789")
    assert list(probabilities.values()) == pytest.approx(model.predict(x)[0].tolist(), abs=1e-4)

    about = json.loads((tmp_path / "out/about.json").read_text())
    assert (about["method"], about["labels"], about["step"]) == ("supervised", "4/class", 3)
    assert about["classifier"] == "the method's own classifier" and about["preprocessing"]["size"] == 16
    readme = (tmp_path / "out/README.md").read_text()
    metadata = yaml.safe_load(readme.split("---\n")[1])
    assert metadata["pipeline_tag"] == "image-classification" and to in metadata["tags"]
    assert (tmp_path / "out/example.py").read_text() in readme


def test_a_linear_probe_goes_with_a_model_that_has_learned_no_classifier(
    trained, picture, tmp_path, monkeypatch, capsys
):
    needs("safetensors")
    run, _ = trained
    model, out = ssl_cli.load(run), tmp_path / "out"
    with pytest.raises(UserError, match="no classifier"):
        model.predict(model.transform(picture)[None])
    assert export(composed("export", [f"ckpt={run}", "to=safetensors", "head=linear", f"out={out}"])) == 0
    features, probabilities = shown(out, picture, monkeypatch, capsys)
    assert features == pytest.approx(model(model.transform(picture)[None])[0].tolist(), abs=1e-4)
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4) and len(probabilities) == 10

    about = json.loads((out / "about.json").read_text())
    (row,) = (
        row
        for row in json.loads((run / "summary.json").read_text())["results"]
        if (row["model"], row["probe"], row["labels"]) == ("simclr", "linear", "all")
    )
    assert f"; {100 * row['mean']:.1f} % of its test images right" in about["classifier"]  # the probe of the table
    table, data = (out / "README.md").read_text(), yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    assert f"| simclr | linear, all labels | accuracy | {row['mean']:.4f} |" in table and "| pixels | knn" in table
    (result,) = data["model-index"][0]["results"]
    assert {"type": "accuracy", "value": row["mean"], "name": "linear, all labels"} in result["metrics"]


def test_of_another_step_than_the_last_no_number_is_told(trained, tmp_path):
    needs("safetensors")
    summary = json.loads((trained[0] / "summary.json").read_text())
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/config.yaml").write_bytes((trained[0] / "config.yaml").read_bytes())
    (tmp_path / "run/checkpoints/last.pt").write_bytes((trained[0] / "checkpoints/last.pt").read_bytes())
    (tmp_path / "run/summary.json").write_text(json.dumps({**summary, "steps": summary["steps"] + 1}))
    assert export(composed("export", [f"ckpt={tmp_path / 'run'}", "to=safetensors"])) == 0
    out = tmp_path / "run/export/safetensors"
    assert json.loads((out / "about.json").read_text())["results"] == []
    assert "Nothing was measured" in (out / "README.md").read_text()


def subject(name: str, channels: int = 3, **settings) -> Subject:
    """A backbone of conf/, narrow or shallow, that nobody has trained."""
    node = OmegaConf.to_container(option("backbone", name))
    small = {"widths": [4, 8], "dim": 32, "depth": 2, "heads": 2}
    node |= {key: value for key, value in small.items() if key in node} | settings
    side = max(16, 2 * node.get("patch_size", 1)) if settings.get("stem") != "imagenet" else 32
    numbers = {"mean": (0.4,) * channels, "std": (0.2,) * channels}
    info = ImageInfo("shapes", channels, side, ("a", "b", "c"), 9, 9, 9, **numbers)
    backbone = build_backbone(node, info, 0, pretrained=False)
    with torch.no_grad():
        for layer in backbone.modules():  # as training leaves them
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 2)
    config = OmegaConf.create({"name": "simclr", "seed": 0, "dataset": {"labels": "all"}, "backbone": node})
    model = Model(backbone, info, torch.nn.Linear(backbone.dim, 3))
    return Subject(model, config, 1, "a test", {}, _images(info, None))


@pytest.fixture
def shallow(monkeypatch):
    """ResNets of one block a stage: what they are made of is what counts."""
    from torchvision.models import resnet

    whole = resnet._resnet
    monkeypatch.setattr(resnet, "_resnet", lambda block, _, *rest, **kwargs: whole(block, [1] * 4, *rest, **kwargs))


QUICK = ("convnet_plain", "resnet18", "vit_small_images")  # one of each kind; the other backbones are as these
NAMES = sorted(file.stem for file in (CONF / "backbone").glob("*.yaml"))


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


class StandIn:
    """The hub as `huggingface_hub.HfApi` shows it, in memory."""

    repos: dict = {}

    def repo_exists(self, repo):
        return repo in self.repos

    def list_repo_files(self, repo):
        return self.repos[repo]

    def create_repo(self, repo, private, exist_ok, repo_type):
        assert private and repo_type == "model"
        self.repos.setdefault(repo, [".gitattributes"])
        return f"https://hub/{repo}"

    def upload_folder(self, repo_id, folder_path, repo_type, commit_message):
        if repo_id.startswith("nobody/"):
            raise ConnectionError("403 Forbidden\nno token")
        self.repos[repo_id] += [file.name for file in Path(folder_path).iterdir()]


def test_a_directory_is_pushed_into_an_empty_repository_only(supervised, tmp_path, monkeypatch, capsys):
    needs("safetensors")
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.HfApi", StandIn)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "a token")
    monkeypatch.setattr(StandIn, "repos", {"me/taken": ["README.md"]})

    def push(name, out):
        return export(composed("export", [f"ckpt={supervised}", "to=safetensors", f"out={out}", f"push={name}"]))

    assert push("me/digits", tmp_path / "one") == 0
    assert "pushed, as a private repository: https://hub/me/digits" in capsys.readouterr().out
    assert set(StandIn.repos["me/digits"]) >= {"README.md", "model.safetensors", "example.py"}
    for taken in ("me/digits", "me/taken"):
        with pytest.raises(UserError, match="nothing was overwritten"):
            push(taken, tmp_path / "two")
    assert not (tmp_path / "two").exists()
    with pytest.raises(RunError, match=r"403 Forbidden; to try again: hf upload nobody/digits .*two"):
        push("nobody/digits", tmp_path / "two")
    assert (tmp_path / "two/README.md").is_file()
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UserError, match="hf auth login"):
        hub.check_hub("me/digits")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["to=onx"], "to=onx is not one of safetensors, timm, onnx; did you mean 'onnx'?"),
        (["to=onnx", "head=knn"], "head=knn is not one of linear"),
        (["head=linear"], "head=linear goes with a directory; add to=safetensors, to=timm or to=onnx"),
        (["push=me/it"], "push=me/it goes with a directory"),
        (["to=onnx", "out=there"], "there exists; nothing was overwritten: write another out=DIR"),
        (["to=onnx", "out=model.onnx"], "write out=DIR"),
        (["to=safetensors", "push=me"], "push=me is not the name of a repository on the hub; write push=USER/NAME"),
        (["to=onnx", "trainer.device=gpu"], "trainer.device=gpu"),
    ],
)
def test_mistakes_are_one_line_before_torch_is_imported(ssl, trained, args, expected):
    (ssl.cwd / "there").mkdir()
    before = ssl.files()
    outcome = ssl("export", f"ckpt={trained[0]}", *args, process="light")
    assert outcome.status == 2 and expected in outcome.err and outcome.err.count("\n") == 1, outcome.err
    assert "torch" not in outcome.modules and ssl.files() == before


def test_a_package_that_is_missing_and_a_network_that_timm_lacks_are_one_line(supervised, tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else name)
        with pytest.raises(UserError, match=r"^to=onnx needs onnxruntime: pip install 'ssl-cli\[export\]'$"):
            export(composed("export", [f"ckpt={supervised}", "to=onnx"]))
    needs("timm")
    with pytest.raises(UserError, match="timm does not know this ConvNet; write to=safetensors or to=onnx"):
        export(composed("export", [f"ckpt={supervised}", "to=timm", f"out={tmp_path / 'out'}"]))
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_imported_without_torch(ssl):
    import subprocess

    code = "import sys, ssl_cli; assert 'torch' not in sys.modules and 'load' in ssl_cli.__all__; ssl_cli.nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "AttributeError: module 'ssl_cli' has no attribute 'nothing'" in done.stderr
