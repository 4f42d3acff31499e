"""Which trackers a run has: chosen, refused, kept in the run and taken up again."""

import json
from importlib import util

import pytest
import tracked
import yaml

from ssl_cli.config.elsewhere import elsewhere, resumed_trackers
from ssl_cli.config.paths import conf_dir
from ssl_cli.errors import UserError
from ssl_cli.runs.directory import RunDir, resume_command
from ssl_cli.training.trackers import chosen
from ssl_cli.training.trackers.base import kept_files, require

TOOLS = ("tensorboard", "mlflow", "wandb")
TENSORBOARD = {"_target_": "ssl_cli.training.trackers.tensorboard.TensorBoard", "dir": None}
MLFLOW = {"_target_": "ssl_cli.training.trackers.mlflow.MLflow", "uri": None, "experiment": "ssl", "files": True}
SERVER = {**MLFLOW, "uri": "http://lab:5000"}
FEW = [
    *("dataset=shapes", "dataset.num_images=200", "dataset.storage_size=16", "dataset.channels=1"),
    *("backbone.widths=[4,8]", "trainer.batch_size=16", "trainer.max_steps=3", "trainer.log_every=1"),
    *("~probes.linear", "~probes.propagate"),
]


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_that_is_not_installed_is_named_with_its_extra(name, monkeypatch):
    node = yaml.safe_load((conf_dir() / f"tracker/{name}.yaml").read_text())
    monkeypatch.setattr(util, "find_spec", lambda package: None)
    with pytest.raises(UserError, match=rf"tracker={name} needs {name}, .* pip install 'ssl-cli\[{name}\]'"):
        chosen.chosen({"tracker": {name: node}})


def test_a_folder_that_is_called_like_the_tool_is_not_the_tool(tmp_path, monkeypatch):
    (tmp_path / "no_such_tool").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="not installed"):
        require("no_such_tool", "wandb")


@pytest.mark.parametrize(
    "typed, words",
    [
        (["tracker=mlfow"], "there is no tracker 'mlfow'; did you mean 'mlflow'?"),
        (["tracker=[tensorboard,mlfow]"], "there is no tracker 'mlfow'; did you mean 'mlflow'?"),
        (["tracker=tensorboard,mlflow"], "write 'tracker=[tensorboard,mlflow]'"),
        (["tracker.mlflow.uri=x"], "write tracker=mlflow, too"),
        (["tracker=wandb", "tracker.wandb.mode=on"], "is not one of auto, online, offline"),
        (["+tracker.foo=1"], "begin its YAML file with `# @package tracker.NAME`"),
        (["tracker=tensorboard", "tracker.tensorboard.dirr=x"], "did you mean 'tracker.tensorboard.dir'?"),
    ],
)
def test_bad_input_is_one_line_before_torch_and_the_tools_are_imported(ssl, typed, words):
    outcome = ssl("train", *typed, process="light")
    assert outcome.status == 2 and words in outcome.err and outcome.err.count("\n") == 1
    assert not {"torch", "tensorboard", "mlflow", "wandb"} & outcome.modules


def test_the_id_of_a_run_stays_and_is_of_each_run_its_own(tmp_path):
    config = {"tracker": {}, "seed": 3, "dataset": {"root": "x", "_texts_": ["root"]}, "launcher": None}
    runs = [RunDir(tmp_path / name) for name in ("a", "b")]
    for run in runs:
        run.path.mkdir()
    first, other = (chosen.tracked_run(run, config, tmp_path) for run in runs)
    assert first.id != other.id and (first.name, first.group) == ("a", str(tmp_path))
    assert first.config == {"seed": 3, "dataset": {"root": "x"}}
    assert chosen.tracked_run(runs[0], config, None) == first, "group and all"
    runs[0].write(chosen.FILE, {"id": first.id, "name": "../../up", "group": None})
    assert chosen.tracked_run(runs[0], config, None).name == "up"
    runs[0].write(chosen.FILE, {"id": "../up"})
    assert chosen.tracked_run(runs[0], config, None).id.isalnum()


def test_a_copy_of_a_run_is_what_is_no_trackers_and_no_cache(tmp_path):
    for name in (
        "config.yaml",
        "checkpoints/last.pt",
        "plots/a.png",
        "mlruns/1/a",
        "wandb/x",
        "features/a",
        "lock",
        ".b",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [name for _, name in kept_files(tmp_path)] == ["checkpoints/last.pt", "config.yaml", "plots/a.png"]


def test_a_run_goes_on_with_its_own_trackers_and_their_settings(tmp_path):
    own = {"tensorboard": {**TENSORBOARD, "dir": str(tmp_path)}}
    both = {"tensorboard": TENSORBOARD, "mlflow": MLFLOW}
    assert resumed_trackers(own, None, {"resume"}) == own
    assert resumed_trackers(own, None, {"resume", "tracker"}) is None
    assert resumed_trackers(None, both, {"tracker"}) == both, "an older run, or one without"
    assert resumed_trackers(own, both, {"tracker"}) == {**own, "mlflow": MLFLOW}
    typed = {"tracker", "tracker.tensorboard.dir"}
    assert resumed_trackers(own, both, typed)["tensorboard"]["dir"] is None


def test_a_strangers_run_sends_nothing_anywhere_unasked(tmp_path):
    own = {"mlflow": SERVER}
    with pytest.raises(UserError, match="tracker.mlflow.uri=http://lab:5000, .* else tracker=null"):
        resumed_trackers(own, None, {"resume"})
    with pytest.raises(UserError):
        resumed_trackers(own, {"mlflow": MLFLOW}, {"tracker"})
    assert resumed_trackers(own, {"mlflow": SERVER}, {"tracker", "tracker.mlflow.uri"}) == own
    elsewhere_too = {"wandb": {"entity": "team"}, "tensorboard": {"dir": str(tmp_path / "new")}}
    assert set(elsewhere(elsewhere_too)) == {"tracker.wandb.entity", "tracker.tensorboard.dir"}
    command = resume_command(RunDir(tmp_path), {"tracker": own})
    assert command == f"ssl train resume={tmp_path} 'tracker=[mlflow]' tracker.mlflow.uri=http://lab:5000"


@pytest.mark.skipif(not all(map(util.find_spec, TOOLS)), reason=f"not all of {', '.join(TOOLS)} are installed")
def test_a_sweep_with_all_of_them_and_one_that_fails(ssl):
    outcome = ssl(
        *("train", "-m", "seed=1", "hydra.sweep.dir=sweep", *FEW, "tracker=[tensorboard,mlflow,wandb]"),
        *("tracker.wandb.mode=offline", "tracker.mlflow.uri=/proc/no/store"),
    )
    assert outcome.status == 0 and outcome.err == ""
    warnings = [line for line in outcome.out.splitlines() if "warning: tracker" in line]
    assert len(warnings) == 1 and "tracker=mlflow is left out" in warnings[0]
    told = "\n".join(line for line in outcome.out.splitlines() if "waiting for" not in line).replace(warnings[0], "")
    assert told.count("wandb") == told.count("mlflow") == 3, "the job, twice, and the plan"
    (run,) = ssl.cwd.glob("sweep/0-*")
    assert json.loads((run / "tracker.json").read_text())["group"] == "sweep"
    expected = tracked.of_metrics(run / "metrics.jsonl")
    for found in (tracked.tensorboard(run / "tensorboard"), tracked.wandb(run / "wandb")):
        assert dict(found["loss"]) == pytest.approx(dict(expected["loss"]))
        assert [name for name in found if name.startswith("test/simclr/knn/all/")]
    assert {path.name for path in ssl.cwd.iterdir()} == {"sweep"}, "nothing is written elsewhere"
