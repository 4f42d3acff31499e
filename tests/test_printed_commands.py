"""Every command that is printed can be pasted: the shell and Hydra read in it the names that were meant."""

import ast
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from written_runs import CONFIG, put

import ssl_cli
from ssl_cli.config import texts
from ssl_cli.config.jobs import sweep_command
from ssl_cli.config.paths import conf_dir
from ssl_cli.data.images.base import ImageData
from ssl_cli.errors import UserError
from ssl_cli.runs.directory import RunDir, resume_command

ODD = "a b, c=d [é] #'1'"
PACKAGE = Path(ssl_cli.__file__).parent
PARSER = OverridesParser.create()
FOLDER = {"dataset": {**CONFIG["dataset"], "_target_": "ssl_cli.data.folder.load", "root": f"/images/{ODD}"}}


def pasted(line: str) -> tuple[list[str], dict[str, object]]:
    """Return the words and the settings that ``ssl`` reads in a command, as the shell and Hydra give them to it."""
    words = shlex.split(line)
    assert words[0] == "ssl", line
    plain = [word for word in words[1:] if not re.match(r"[\w.]+=", word)]
    settings = [word for word in words[1:] if word not in plain]
    settings = texts.texts_as_texts(settings, words[1], "-m" in words, [conf_dir()])
    parsed = [PARSER.parse_override(word) for word in settings]
    return plain, {item.key_or_group: None if item.is_sweep_override() else item.value() for item in parsed}


def test_to_go_on_with_a_run_and_a_sweep(tmp_path, monkeypatch):
    run = RunDir(tmp_path / ODD)
    assert pasted(resume_command(run)) == (["train"], {"resume": str(run.path)})
    monkeypatch.setattr(sys, "argv", ["ssl train", "-m", "seed=1,2", f"dataset.root='{2024}'"])
    words, settings = pasted(sweep_command(tmp_path / ODD))
    assert words == ["train", "-m"]
    assert settings == {"seed": None, "dataset.root": "2024", "hydra.sweep.dir": str(tmp_path / ODD)}
    run.path.mkdir()
    (run.path / "x").touch()
    with pytest.raises(UserError) as refused:
        RunDir.check_free(run.path)
    advice = re.search(r"or (.*) to go on", str(refused.value))[1]
    assert pasted(f"ssl train {advice}") == (["train"], {"resume": str(run.path)})


def test_at_the_end_of_a_run(capsys):
    from ssl_cli.training.run import conclude

    experiment = SimpleNamespace(info=SimpleNamespace(classes=()), data=ImageData, total_steps=1)
    conclude(experiment, RunDir(Path(ODD)), [], 1.0)
    out = capsys.readouterr().out
    probe, report = (pasted(re.search(f"{head}: (.*)", out)[1]) for head in ("next", "look"))
    assert probe == (
        ["probe"],
        {"ckpt": ODD, "probe": "linear", "dataset": "folder", "dataset.root": "LABELLED_DIR"},
    )
    assert report == (["report", ODD], {})


def test_measure_on_the_users_own_folder_again(tmp_path):
    from ssl_cli.compare.comparison import compare

    put(tmp_path / ODD / "a", config=FOLDER, dataset="images")
    put(tmp_path / ODD / "b", "byol", dataset="digits")
    with pytest.raises(UserError) as refused:
        compare([tmp_path / ODD / "a", tmp_path / ODD / "b"])
    line = re.search(r"on one data set \((.*)\) and compare", str(refused.value))[1]
    assert pasted(line) == (["probe"], {"ckpt": "RUN", "dataset": "folder", "dataset.root": f"/images/{ODD}"})

    put(tmp_path / ODD / "c", "moco", config=FOLDER, dataset="images", settings={"k": 5})
    with pytest.raises(UserError) as refused:
        compare([tmp_path / ODD / "a", tmp_path / ODD / "c"])
    line = re.search(r"measure alike \((.*)\) and compare", str(refused.value))[1]
    assert pasted(line) == (["probe"], {"ckpt": str(tmp_path / ODD / "c"), "probe": "knn", "probe.k": 20})


def test_on_the_pages_of_a_report(tmp_path):
    from ssl_cli.report.read import read_run
    from ssl_cli.report.run_page import _state_notes, supervised_command
    from ssl_cli.report.sweep_page import _without_report

    put(tmp_path / ODD, config=FOLDER, dataset="images")
    run = read_run(tmp_path / ODD)
    (note,) = _without_report([run])
    assert pasted(note.partition("one: ")[2]) == (["report", str(run.path)], {})
    words, settings = pasted(supervised_command(run))
    assert (words, settings["dataset"], settings["dataset.root"]) == (["train", "-m"], "folder", f"/images/{ODD}")
    run.summary["state"] = "interrupted"
    (note,) = _state_notes(run)
    assert pasted(note.partition("resume it: ")[2]) == (["train"], {"resume": str(run.path)})


def test_no_command_is_put_together_elsewhere():
    """A name in a text that begins ``ssl train ...`` or ``write resume=...`` is quoted for Hydra and the shell."""
    loose = re.compile(
        r"(?<!`)\bssl (train|probe|embed|export|views|compare|report) [^`;)]*\{(?!word\(|command)"
        r"|write '?(resume|init|ckpt|out|dataset\.root|hydra\.(run|sweep)\.dir)=\{"
    )
    found = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr) and loose.search(text := ast.unparse(node)):
                found.append(f"{file.name}: {text}")
    assert not found, "\n".join(found)


def test_the_examples_of_the_help_are_read():
    everything = "\n".join(file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))
    lines = re.findall(r"^  (ssl [a-z]+ .*?)(?:   .*)?$", everything, re.M)
    assert len(lines) > 10
    for line in lines:
        pasted(line)
