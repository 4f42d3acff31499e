"""Files from a stranger: pickles with code in them, configs that name code, resolvers, bombs. None runs, none hangs.

Each case leaves a file behind if its code runs. The figure: pytest tests/survival/test_hostile.py
"""

import json
import os
import signal
import sys

import pytest
import torch
from experiments import composed, train
from gadgets import GADGETS, HERE, SHELL, WRAPPED, Calls
from omegaconf import OmegaConf

from ssl_cli.cli import main
from ssl_cli.config.stored import check_targets
from ssl_cli.errors import UserError
from ssl_cli.runs import checkpoint


@pytest.fixture(autouse=True)
def watched(tmp_path, monkeypatch):
    """Nothing runs, and nothing computes for longer than a minute."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ssl"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def late(*_):
        raise TimeoutError("it hangs")

    previous = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, 60)  # of this process: the machine may be busy
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, previous)
    assert not (tmp_path / HERE).exists(), "its code ran"


@pytest.mark.parametrize("gadget", GADGETS)
@pytest.mark.parametrize("wrapped", ["raw pickle", "data.pkl in a zip"])
def test_a_pickle_with_code_in_it_is_refused(tmp_path, gadget, wrapped):
    file = tmp_path / "last.pt"
    file.write_bytes(WRAPPED[wrapped](GADGETS[gadget]()))
    with pytest.raises(UserError, match="damaged or not a checkpoint|not a checkpoint of ssl"):
        checkpoint.load(file)


@pytest.mark.parametrize("wrapped", ["second data.pkl in a zip", "legacy", "legacy tar"])
def test_so_is_one_in_an_odd_place_of_the_format(tmp_path, wrapped):
    file = tmp_path / "last.pt"
    file.write_bytes(WRAPPED[wrapped](GADGETS["os.system"]()))
    with pytest.raises(UserError):
        checkpoint.load(file)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    small = ["dataset=shapes", "dataset.num_images=100", "dataset.storage_size=16", "trainer.max_steps=1"]
    _, run = train(tmp_path_factory.mktemp("stranger") / "run", [*small, "augment=none", "backbone.widths=[4,8]"])
    return torch.load(run.checkpoint_file(), weights_only=True)


@pytest.mark.parametrize("place", ["config", "data", "model", "optimizer", "progress", "another"])
def test_a_gadget_beside_the_true_content_is_refused(tmp_path, state, place):
    file = tmp_path / "last.pt"
    torch.save({**state, place: Calls(os.system, SHELL)}, file)
    with pytest.raises(UserError, match="damaged or not a checkpoint"):
        checkpoint.load(file)


COMMANDS = (["probe", "ckpt=run"], ["train", "resume=run"], ["train", "init=run"], ["check", "run"])
TARGETS = {
    "os.system": {"command": SHELL},
    "builtins.eval": {"_args_": [f"open({HERE!r}, 'w')"]},
    "builtins.exec": {"_args_": [f"open({HERE!r}, 'w')"]},
    "subprocess.Popen": {"args": ["touch", HERE]},
    "torch.load": {"f": "evil.pt", "weights_only": False},
    "torch.hub.load": {"repo_or_dir": "evil", "model": "evil", "source": "local"},
    "torch.hub.load_state_dict_from_url": {"url": "file:evil.pt"},
    "torch.jit.load": {"f": "evil.pt"},
    "torch.package.PackageImporter": {"file_or_buffer": "evil.pt"},
    "torch.utils.model_zoo.load_url": {"url": "file:evil.pt"},
    "torchvision.datasets.DatasetFolder": {"root": "."},
    "timm.create_model": {"model_name": "hf-hub:evil/evil", "pretrained": True},
    "numpy.load": {"file": "evil.npy", "allow_pickle": True},
    "joblib.load": {"filename": "evil.joblib"},
    "pickle.loads": {"_args_": ["x"]},
    "pathlib.Path.write_text": {"_args_": [HERE, "x"]},
    "shutil.copyfile": {"src": "/etc/hostname", "dst": HERE},
    "hydra.utils.instantiate": {"config": {"_target_": "os.system", "command": SHELL}},
    "hydra.utils.get_method": {"path": "os.system"},
    "importlib.import_module": {"name": "evil"},
    "ssl_cli.cli.main": {"argv": ["train"]},
    "ssl_cli.data.images.files.cache.mapped": {"path": HERE},
    "ssl_cli.runs.environment.subprocess.run": {"args": SHELL},
    "ssl_cli.system.atomic.replace": {"file": HERE, "payload": "x"},
}


def with_payload(config, place, payload):
    config = json.loads(json.dumps(config))
    node = config
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = payload
    return config


@pytest.mark.parametrize("target", TARGETS)
def test_a_config_that_names_code_is_refused_in_a_checkpoint_and_in_a_run_directory(tmp_path, state, capsys, target):
    payload = {"_target_": target, **TARGETS[target]}
    places = (["backbone"], ["method", "temperature"], ["probes", "linear"], ["dataset", "root"])
    for place in places:
        with pytest.raises(UserError, match="not a plug-in of ssl.*trusted_modules"):
            check_targets(with_payload(state["config"], place, payload))
    number = list(TARGETS).index(target)  # the commands take turns, in each of the places
    command, place = COMMANDS[number % 4], places[number // 4 % 4]
    config = with_payload(state["config"], place, payload)
    checkpoints = tmp_path / "run/checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save({**state, "config": config}, checkpoints / "last.pt")
    OmegaConf.save(OmegaConf.create(config), tmp_path / "run/config.yaml")
    status, said = main(command), capsys.readouterr()
    if command[0] == "check":
        assert status == 1 and "not a plug-in of ssl" in said.out
    else:
        lines = said.err.strip().splitlines()
        assert status == 2 and len(lines) == 1 and target in lines[0]


RESOLVERS = [
    "${oc.env:HOME}",
    "${oc.create:{_target_:os.system}}",
    "${oc.decode:x}",
    "${hydra:runtime.cwd}",
    "${seed}",
    "a ${b",
]


@pytest.mark.parametrize("number", range(len(RESOLVERS)), ids=RESOLVERS)
def test_resolvers_are_refused(tmp_path, state, capsys, number):
    value, command = RESOLVERS[number], COMMANDS[number % 3]  # of those that build what the config says
    config = with_payload(state["config"], ["name"], value)
    with pytest.raises(UserError, match="interpolation"):
        check_targets(config)
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    text = OmegaConf.to_yaml(OmegaConf.create({**state["config"], "name": "PLACE"})).replace("PLACE", f"'{value}'")
    (tmp_path / "run/config.yaml").write_text(text)
    torch.save({**state, "config": config}, tmp_path / "run/checkpoints/last.pt")
    assert main(command) == 2, command
    err = capsys.readouterr().err
    assert "interpolation" in err and len(err.strip().splitlines()) == 1
    assert os.environ["HOME"] not in err


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join(['*a' + str(i - 1)] * 9)}]\n" for i in range(1, 10)
)
YAMLS = {
    "alias bomb": LAUGHS,
    "merge bomb": "a: &a {x: 1}\n" + "b: {<<: *a}\n",
    "deep": "[" * 100_000,
    "deep but short": "a: " + "[" * 5000 + "]" * 5000,
    "long": "a: " + "x" * 10_000_000,
    "python tag": f"a: !!python/object/apply:os.system ['{SHELL}']\n",
    "python name": "a: !!python/name:os.system\n",
    "a list": "- 1\n- 2\n",
    "bytes": "\x00\x01",
    "a list for settings": "trainer: [1, 2]\ndataset: 3\nmethod: null\n",
}


@pytest.mark.parametrize("name", YAMLS)
def test_a_config_file_that_is_a_bomb_is_one_line(tmp_path, capsys, name):
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/config.yaml").write_text(YAMLS[name])
    assert main(["train", "resume=run"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert main(["check", "run"]) == 1


def shared(depth):
    node = ["x"] * 9
    for _ in range(depth):
        node = [node] * 9
    return node


def itself():
    node = []
    node.append(node)
    return node


def deep():
    node = []
    for _ in range(200):
        node = [node]
    return node


@pytest.mark.parametrize("bomb", [lambda: shared(12), itself, deep], ids=["shared", "itself", "deep"])
def test_a_checkpoint_whose_config_is_a_bomb_is_refused(tmp_path, state, capsys, bomb):
    torch.save({**state, "config": {**state["config"], "name": bomb()}}, tmp_path / "bomb.pt")
    assert main(["probe", "ckpt=bomb.pt"]) == 2
    assert "far larger" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        *(("mean", "x"), ("mean", [0.5, 0.5]), ("std", [0.0]), ("std", [float("nan")]), ("mean", ["0.5"])),
        *(("channels", "3"), ("channels", 0), ("image_size", 1.5), ("classes", "abc"), ("classes", [1, 2])),
        *(("name", ["a"]), ("train_size", -1), ("labelled", True)),
    ],
)
def test_facts_about_the_data_that_cannot_be_are_one_line(tmp_path, state, capsys, fact, value):
    value = value * state["data"]["channels"] if fact == "std" else value
    torch.save({**state, "data": {**state["data"], fact: value}}, tmp_path / "last.pt")
    assert main(["probe", "ckpt=last.pt"]) == 2
    err = capsys.readouterr().err
    assert f"ValueError: data.{fact} cannot be {repr(value)[:40]})" in err and len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {
            "_target_": "ssl_cli.data.images.folder.load",
            "root": ".",
            "cache_dir": "made/by/a/stranger",
            "storage_limit": 0,
        },
        {"_target_": "ssl_cli.data.images.torchvision_sets.load", "name": "mnist", "root": "made", "download": True},
    ],
)
def test_a_strangers_config_makes_no_directories(tmp_path, state, capsys, settings):
    config = {**state["config"], "dataset": {**state["config"]["dataset"], **settings}}
    torch.save({**state, "config": config}, tmp_path / "last.pt")
    assert main(["probe", "ckpt=last.pt"]) == 2
    assert "make the directory first" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_what_is_allowed_is_named_one_by_one_and_what_we_ship_is_among_it():
    for target in ("torch.nn.GELU", "torch.optim.AdamW", "ssl_cli.methods.simclr.SimCLR"):
        check_targets({"x": {"_target_": target}})
    for target in (
        "torch.nn.Module.load_state_dict",
        "torch.nn",
        "torch.optim.swa_utils.AveragedModel",
        "ssl_cli.optim.optimizers.LARS.step",
    ):
        with pytest.raises(UserError):
            check_targets({"x": {"_target_": target}})
    check_targets(OmegaConf.to_container(composed("train", []), resolve=True))
