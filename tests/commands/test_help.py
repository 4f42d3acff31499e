"""``ssl COMMAND --help`` fits the terminal, and names all there is on disk."""

import re
from pathlib import Path

import pytest

from ssl_cli.cli import COMMANDS
from ssl_cli.commands.help import command_help, families
from ssl_cli.config.paths import conf_dir

GROUPS = (
    "method",
    "dataset",
    "pretext",
    "augment",
    "backbone",
    "optimizer",
    "schedule",
    "probe",
    "launcher",
    "tracker",
)


@pytest.fixture
def text(monkeypatch):
    def text(command: str, columns: int, conf: Path | None = None) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        return command_help(command, COMMANDS[command], conf or conf_dir())

    return text


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_longer_than_the_terminal(text, command, columns):
    lines = text(command, columns).splitlines()
    assert [line for line in lines if len(line) > columns] == []
    assert lines[0].startswith(f"ssl {command}: ") and any(line.startswith("usage: ") for line in lines)


def test_a_very_wide_or_narrow_terminal_changes_nothing_more(text):
    assert text("train", 300) == text("train", 100) != text("train", 80)
    assert text("train", 20) == text("train", 60)


@pytest.mark.parametrize("columns", [80, 100])
def test_wrapping_loses_no_word(text, columns):
    for command in COMMANDS:
        assert text(command, columns).split() == text(command, 60).split()


@pytest.mark.parametrize("columns", [80, 100])
def test_every_option_on_disk_is_found(text, columns):
    listed = " ".join(text("train", columns).split("the settings people")[0].split())
    words = set(re.findall(r"\w+", listed))
    for group in GROUPS:
        options = {file.stem for file in (conf_dir() / group).glob("*.yaml") if file.stem[0] != "_"}
        assert options and options <= words, group
    named = {
        pattern.replace("NAME", name)
        for pattern, names in re.findall(r"(\w*NAME\w*) [^;]*; NAME is one of ((?:\w+, )*\w+)", listed)
        for name in names.split(", ")
    }
    assert named == {file.stem for file in (conf_dir() / "experiment").glob("*.yaml")}


def test_a_new_option_or_experiment_is_listed_without_being_named_in_the_code(text, tmp_path):
    for group, name in (("method", "brightness"), ("experiment", "brightness_cifar10"), ("experiment", "my_own")):
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / f"{name}.yaml").write_text("")
    (tmp_path / "train.yaml").write_text("defaults:\n  - method: brightness\n  - experiment: null\n")
    shown = text("train", 80, tmp_path)
    assert re.search(r"^  method +brightness\*$", shown, re.M)
    assert "NAME is one of brightness\n" in shown and re.search(r"^  others +my_own$", shown, re.M)


def test_experiments_that_belong_to_no_family_stand_alone():
    assert families(["mine", "sweep_all"]) == [("sweep_NAME", "sweeps; NAME is one of all"), ("others", "mine")]


def test_a_second_line_stands_below_the_text_of_the_first(text):
    first, second = re.search(r"^(  init=RUN +)start.*\n( +)", text("train", 80), re.M).groups()
    assert len(first) == len(second)
