"""Files of weights: what is read of them, and what is refused, each in one line."""

import argparse
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ssl_cli.backbones.foreign import fetch, read
from ssl_cli.errors import UserError
from ssl_cli.runs import checkpoint

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3)}


class Thing:
    """What a script may put beside its weights."""


def test_tensors_are_found_wherever_they_stand(tmp_path):
    file = tmp_path / "full.pth"
    beside = {"args": argparse.Namespace(lr=0.1), "epoch": 3, "best": np.float64(0.5), "names": ["a", "b"]}
    torch.save({"model": WEIGHTS, **beside}, file)
    assert list(read.read(file).tensors) == ["model.a.weight"] and read.about(file) == {}
    safe = tmp_path / "model.safetensors"
    save_file(WEIGHTS, safe, {"mean": "[0.5]"})
    assert torch.equal(read.read(safe).tensors["a.weight"], WEIGHTS["a.weight"]) and read.about(safe) == {
        "mean": "[0.5]"
    }
    assert read.weights_in(tmp_path) == safe and read.weights_in(file) == file
    assert len(read.digest(file)) == 64 != read.digest(safe)


def test_a_directory_without_weights_is_refused(tmp_path):
    with pytest.raises(UserError, match="a directory without model.safetensors or pytorch_model.bin"):
        read.weights_in(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="config.json cannot be read"):
        read.config_beside(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    assert read.config_beside(tmp_path) == {"architecture": "resnet18"}


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda f: torch.save(torch.nn.Linear(2, 2), f), r"a whole pickled model .*torch.load\(.*\).state_dict\(\)"),
        (
            lambda f: torch.save(torch.nn.Linear(2, 2), f, _use_new_zipfile_serialization=False),
            "a whole pickled model .torch.nn.modules.linear.Linear",
        ),
        (
            lambda f: torch.save({"state_dict": WEIGHTS, "cfg": Thing()}, f),
            r'other things than tensors.*\["state_dict"\]',
        ),
        (lambda f: f.write_bytes(b"hello"), "cannot be read: damaged, or of another kind"),
        (lambda f: f.write_bytes(b""), "cannot be read: the file is empty"),
        (lambda f: torch.save({"epoch": 1}, f), "holds no tensors by name"),
        (lambda f: torch.save([1, 2], f), "holds no tensors by name"),
        (lambda f: checkpoint.save(f, {"model": WEIGHTS}), "is a checkpoint of ssl; write init="),
    ],
)
def test_what_holds_no_tensors_or_more_than_tensors_is_refused(tmp_path, write, said):
    file = tmp_path / "weights.pth"
    write(file)
    with pytest.raises(UserError, match=said) as caught:
        read.read(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file(WEIGHTS, file)
    file.write_bytes(file.read_bytes()[:-4])
    for look in (read.read, read.about):
        with pytest.raises(UserError, match="cannot be read: damaged"):
            look(file)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub's, and nothing beyond it."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(fetch, "reachable", lambda address: False)
    return tmp_path / "hub"


def put(hub, repository, name, content=b"x"):
    folder = hub / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc123")
    (folder / "snapshots" / "abc123").mkdir(parents=True)
    file = folder / "snapshots" / "abc123" / name
    file.write_bytes(content)
    return file


def test_what_the_hubs_cache_has_is_taken_without_asking(hub, monkeypatch):
    file = put(hub, "timm/toy.tag", "model.safetensors")
    monkeypatch.setattr(fetch, "reachable", lambda address: pytest.fail("the network was asked"))
    assert fetch.from_hub("timm/toy.tag") == file
    old = put(hub, "timm/old.tag", "pytorch_model.bin")
    assert fetch.from_hub("timm/old.tag") == old


@pytest.mark.parametrize("offline", [False, True])
def test_without_a_network_it_is_said_which_file_is_wanted(hub, monkeypatch, offline):
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(fetch, "reachable", lambda address: pytest.fail("the network was asked"))
    why = "HF_HUB_OFFLINE is set" if offline else "huggingface.co does not answer"
    with pytest.raises(UserError, match=rf"{why}.*timm/toy.tag/resolve/main/model.safetensors .*backbone.weights=FILE"):
        fetch.from_hub("timm/toy.tag")
    with pytest.raises(UserError, match=r"net.pth are not in .*; put https://example.org/net.pth there"):
        fetch.from_address("https://example.org/net.pth", hub)
    (hub / "net.pth").parent.mkdir(exist_ok=True)
    (hub / "net.pth").touch()
    assert fetch.from_address("https://example.org/net.pth", hub) == hub / "net.pth"


def test_an_address_that_nobody_answers_at_is_out_of_reach(monkeypatch):
    monkeypatch.setattr(fetch.urllib.request, "getproxies", dict)
    with fetch.socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert not fetch.reachable(address)
        server.listen()
        assert fetch.reachable(address)
        monkeypatch.setattr(fetch.urllib.request, "getproxies", lambda: {"https": address})
        assert fetch.reachable("https://nowhere.invalid")  # by the proxy
