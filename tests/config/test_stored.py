"""A config from a file that anybody may have written: of the right types, or one line that names the file."""

from pathlib import Path

import pytest
from experiments import composed
from omegaconf import OmegaConf

from ssl_cli.config.stored import blaming_config, stored_config
from ssl_cli.errors import UserError

FILE = Path("run/config.yaml")


def test_what_a_run_has_written_comes_back_as_it_was():
    config = OmegaConf.to_container(composed("train", ["method=moco", "trainer.epochs=3"]), resolve=True)
    assert OmegaConf.to_container(stored_config(config, FILE)) == config


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", None, r"can build \(seed: ValidationError"),
        ("seed", "???", "seed is not set"),
        ("trainer.threads", [2], r"\(trainer.threads: "),
        ("trainer.epochs", 0, "trainer.epochs=0 is out of range"),
        ("method", 3, "method=3 is not a group of settings"),
        ("method._limits_", {"temperature": "small"}, "method._limits_.temperature=small is not a limit"),
        ("method._needs_", 3, "method._needs_=3 is not a list"),
        ("sede", 1, "sede"),
    ],
)
def test_what_no_run_writes_is_refused_by_its_file(key, value, said):
    config = composed("train", [])
    OmegaConf.set_struct(config, False)
    node = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    OmegaConf.update(node, key, value, merge=False, force_add=True)
    with pytest.raises(UserError, match=said) as error:
        stored_config(OmegaConf.to_container(node), FILE)
    assert str(FILE) in str(error.value) and len(str(error.value).splitlines()) == 1


def test_want_of_memory_is_not_the_fault_of_a_file():
    with (
        pytest.raises(UserError, match=rf"{FILE} is not one that ssl can build \(TypeError: no\)"),
        blaming_config(FILE),
    ):
        raise TypeError("no\nmore")
    for kind in (MemoryError, OSError, type("OutOfMemoryError", (RuntimeError,), {})):
        with pytest.raises(kind), blaming_config(FILE):
            raise kind("no")
