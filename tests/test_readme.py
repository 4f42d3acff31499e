"""The commands of README.md and CONTRIBUTING.md do what they say, in the order they stand there."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
QUICK = ["trainer.max_steps=2", "trainer.batch_size=16", "probes.linear.labels=[all]"]


def blocks(file: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / file).read_text(), re.M | re.S)


def commands(file: str) -> list[str]:
    return [line for block in blocks(file, "sh") for line in re.findall(r"(?:^|&& )(ssl .*)$", block, re.M)]


def test_the_commands_of_the_readme_run_in_order(ssl, image_folder):
    seen = []
    for line in commands("README.md"):
        args = shlex.split(line.replace("DIR", str(image_folder)))[1:]
        if args[0] == "train" and not any(arg.startswith("resume") for arg in args):
            args += QUICK
        if args[0] == "probe" and "probe=linear" in args:
            args += ["probe.draws=2"]
        downloads = "dataset=cifar10" in args
        outcome = ssl(*args, *(["dataset.download=false", f"dataset.root={image_folder}"] if downloads else []))
        assert outcome.status == (2 if downloads else 0), (line, outcome.err)
        if downloads:
            assert "cifar-10-python.tar.gz" in outcome.err and str(image_folder) in outcome.err
        seen.append(" ".join(args[:2]))
    assert {"train method=simclr", "train method=supervised", "train -m", "probe ckpt=last"} <= set(seen)


def test_the_first_commands_are_the_ones_that_ci_runs():
    first, second = (block.strip() for block in blocks("README.md", "sh")[:2])
    assert first.endswith("pip install -e . && ssl train method=simclr") and first.startswith("python3 -m venv")
    assert second == "pip install -e '.[dev]' && pytest"
    ci = (ROOT / ".ci/run").read_text()
    assert "pip install -q -e '.[dev]'" in ci and "\npytest" in ci


def test_every_option_on_disk_is_in_the_readme_and_the_other_way_round():
    text = (ROOT / "README.md").read_text().split("## What there is")[1].split("`ssl train --help`")[0]
    named = set(re.findall(r"`([a-z0-9_]+)`", text))
    known = {"imagenet", "experiment", *(f.stem for f in (ROOT / "conf/experiment").glob("*.yaml"))}
    for group in ("method", "dataset", "pretext", "augment", "backbone", "optimizer", "schedule", "probe", "launcher"):
        options = {f.stem for f in (ROOT / "conf" / group).glob("*.yaml") if not f.stem.startswith("_")}
        assert options <= named, group
        known |= options | {group}
    assert named <= known


def test_the_example_of_contributing_works_from_outside_the_package(ssl):
    train, probe, _ = own_package(ssl.cwd)
    outcome = ssl(*train, *QUICK, PYTHONPATH=str(ssl.cwd))
    assert outcome.status == 0, outcome.err
    assert "brightness" in outcome.out
    refused = ssl(*probe[:2], PYTHONPATH=str(ssl.cwd))
    assert refused.status == 2 and "trusted_modules=[my_package]" in refused.err
    outcome = ssl(*probe, "probe.draws=2", PYTHONPATH=str(ssl.cwd))
    assert outcome.status == 0, outcome.err
    refused = ssl(*train, "method.weight=0", PYTHONPATH=str(ssl.cwd))
    assert refused.status == 2 and "method.weight=0" in refused.err
    missing = ssl(*train, *QUICK)
    assert missing.status == 2 and "my_package.brightness.Brightness" in missing.err


def own_package(cwd: Path) -> list[list[str]]:
    """Write the examples of CONTRIBUTING.md as it says, and return its commands."""
    method, pretext = blocks("CONTRIBUTING.md", "python")
    method_yaml, pretext_yaml = blocks("CONTRIBUTING.md", "yaml")
    (cwd / "my_package").mkdir()
    (cwd / "my_package/__init__.py").touch()
    for group, name, code, yaml in (
        ("method", "brightness", method, method_yaml),
        ("pretext", "mirrored", pretext, pretext_yaml),
    ):
        (cwd / f"my_package/{name}.py").write_text(code)
        (cwd / "mine" / group).mkdir(parents=True)
        (cwd / "mine" / group / f"{name}.yaml").write_text(yaml)
    return [shlex.split(line)[1:] for line in commands("CONTRIBUTING.md")]


def test_the_pretext_of_contributing_works_from_outside_the_package(ssl):
    _, _, train = own_package(ssl.cwd)
    outcome = ssl(*train, *QUICK, "hydra.run.dir=run", PYTHONPATH=str(ssl.cwd))
    assert outcome.status == 0, outcome.err
    assert "pretext_accuracy" in (ssl.cwd / "run/metrics.jsonl").read_text()
    refused = ssl(*train, "pretext.share=1", PYTHONPATH=str(ssl.cwd))
    assert refused.status == 2 and "pretext.share=1" in refused.err
    probed = ssl("probe", "ckpt=run", "probe=knn", "trusted_modules=[my_package]", PYTHONPATH=str(ssl.cwd))
    assert probed.status == 0, probed.err
    two_views = ssl("train", "--config-dir", "mine", "method=simclr", "pretext=mirrored", PYTHONPATH=str(ssl.cwd))
    assert two_views.status == 2 and "two_views" in two_views.err


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md"])
def test_paths_that_are_named_exist(file):
    for name in re.findall(r"`((?:ssl_cli|conf|tests)/[\w./]*)`", (ROOT / file).read_text()):
        assert (ROOT / name).exists() or "foo" in name, name
