"""A run that ssl 0.1.0 made before its modules moved: it is read, probed, resumed, reported and exported as then.

``old_run/run`` is what ``ssl train method=supervised optimizer=sgd backbone.widths=[4,8,16] trainer.epochs=2
trainer.batch_size=64 trainer.threads=1 probes.linear.draws=2`` and ``ssl probe ckpt=run probe=knn`` left, without the
kept features; ``old_run/resumed_to_epoch_3.json`` has the norm and the sum of each tensor after that version went on
with it for a third epoch.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from experiments import CONF
from omegaconf import OmegaConf

from ssl_cli.cli import main
from ssl_cli.config.moved import MOVED, with_new_names
from ssl_cli.config.stored import _own_targets, check_targets
from ssl_cli.errors import UserError
from ssl_cli.report.figures import embedding
from ssl_cli.runs import checkpoint
from ssl_cli.runs.directory import RunDir

HERE = Path(__file__).parent / "old_run"


@pytest.fixture
def run(tmp_path, monkeypatch):
    shutil.copytree(HERE / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def rows(file: Path) -> dict:
    return {(row["model"], row["probe"]): row for row in json.loads(file.read_text())["results"]}


def test_it_is_probed_with_the_same_result(run):
    assert main(["probe", "ckpt=run", "probe=knn"]) == 0
    old, new = (rows(file) for file in sorted(run.glob("probes/*/result.json")))
    assert old.keys() == new.keys() and len(old) == 3
    for key, row in old.items():
        assert new[key]["mean"] == pytest.approx(row["mean"], abs=0.01), key
        assert new[key]["protocol"] == row["protocol"]
    frozen = [json.loads(file.read_text())["frozen"]["before"] for file in sorted(run.glob("probes/*/result.json"))]
    assert frozen[0] == frozen[1]  # the same weights, to the last bit


def test_it_goes_on_as_its_own_version_went_on(run, capsys):
    assert main(["train", "resume=run", "trainer.epochs=3"]) == 0
    assert "changed: trainer.epochs was 2, is 3" in capsys.readouterr().out
    state = checkpoint.load(run / "checkpoints/last.pt")
    assert state["progress"]["step"] == 57
    expected = json.loads((HERE / "resumed_to_epoch_3.json").read_text())
    assert state["model"].keys() == expected.keys()
    for name, value in state["model"].items():  # another processor rounds otherwise
        found = torch.stack([value.float().norm(), value.float().sum()])
        torch.testing.assert_close(found, torch.tensor(expected[name]), rtol=0.02, atol=0.02, msg=name)
    assert RunDir(run).config.optimizer["_target_"] == "ssl_cli.optim.optimizers.sgd"


def test_it_is_whole_and_resumes_exactly(run, capsys):
    assert main(["check", "run"]) == 0
    assert "2 steps from step 38, twice, are bitwise equal" in capsys.readouterr().out


def test_it_is_compared_and_reported(run, monkeypatch, capsys):
    monkeypatch.setattr(embedding, "tsne", lambda features: embedding.pca(features)[0])  # which takes seconds
    assert main(["compare", "run", "--to", "json"]) == 0
    assert {line["name"] for line in json.loads(capsys.readouterr().out)["rows"]} >= {"raw pixels", "supervised"}
    assert main(["report", "run"]) == 0
    page = (run / "report/index.html").read_text()
    assert "supervised on digits" in page and "No features" not in page


def test_it_is_a_beginning_and_its_features_and_weights_are_written(run, capsys):
    named = ["backbone=convnet", "backbone.widths=[4,8,16]"]  # has settings now that the run does not name
    for backbone in ([], named):
        assert main(["train", "method=simclr", "init=run", *backbone, "trainer.dry_run=true"]) == 0
        assert "the backbone of run/checkpoints/last.pt" in capsys.readouterr().out
    assert main(["embed", "ckpt=run", "split=test"]) == 0
    assert (run / "embeddings/digits-test.npz").is_file()
    assert main(["predict", "ckpt=run", "split=test"]) == 0
    assert len((run / "predicted/digits-test.csv").read_text().splitlines()) == 360
    pytest.importorskip("safetensors")
    assert main(["export", "ckpt=run"]) == 0
    assert (run / "export/backbone.safetensors").is_file()


def test_names_that_moved_are_built_from_where_they_are_now():
    shipped = yaml.safe_load((HERE / "run/config.yaml").read_text())
    new = with_new_names(shipped)
    check_targets(new)
    check_targets(shipped)  # the old names are trusted, too
    assert new["optimizer"]["_target_"] == MOVED[shipped["optimizer"]["_target_"]]
    assert not set(MOVED) & set(_own_targets()) and set(MOVED.values()) <= set(_own_targets())
    assert with_new_names([{"a": [{"_target_": "ssl_cli.optim.adamw"}]}]) == [
        {"a": [{"_target_": "ssl_cli.optim.optimizers.adamw"}]}
    ]
    with pytest.raises(UserError, match="trusted_modules"):
        check_targets({"_target_": "ssl_cli.optim.LARS.step"})


def test_every_target_of_the_configs_can_be_imported():
    from hydra.utils import get_object

    for file in CONF.glob("*/*.yaml"):
        if target := OmegaConf.load(file).get("_target_"):
            assert callable(get_object(target)), file
