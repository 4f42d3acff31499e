"""``ssl export to=...``: a directory that works without ssl, and gives the numbers of the run's own model."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from experiments import composed, train
from exported import needs, shown
from PIL import Image

import ssl_cli
from ssl_cli.commands.export import run as export
from ssl_cli.errors import RunError, UserError
from ssl_cli.export import hub

TINY = ["trainer.max_steps=3", "backbone.widths=[4,8]"]


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
