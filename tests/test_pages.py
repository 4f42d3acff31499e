"""README.md, CONTRIBUTING.md and the pages in docs/ say what is so: what they name exists, their tables are whole."""

import dataclasses
import importlib
import re
from pathlib import Path

import pytest
import yaml
from pages import PAGES, ROOT, blocks, commands, options, read, write_files

from ssl_cli.cli import COMMANDS
from ssl_cli.config.schema import TrainerConfig

GROUPS = [
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
]


def test_the_pages_have_the_commands_that_they_are_for():
    for page, words in {
        "README.md": {"train method=simclr", "train -m", "train method=supervised", "views dataset=folder"},
        "docs/measure.md": {"probe ckpt=last"},
        "docs/predict.md": {"predict ckpt=last"},
        "docs/export.md": {"embed ckpt=last", "export ckpt=last"},
        "docs/sweeps.md": {"train -m", "compare outputs/mine", "runs"},
        "docs/resume.md": {"train resume=last", "check last"},
        "docs/report.md": {"report last"},
        "docs/extend.md": {"train --config-dir", "probe ckpt=last"},
        "docs/inputs.md": {"views --config-dir", "train --config-dir", "probe ckpt=last"},
    }.items():
        assert words <= {" ".join(line.split()[1:3]) for line in commands(page)}, page


def test_the_first_commands_are_the_ones_that_ci_runs():
    first, *_, docs, tests = (block.strip() for block in blocks("README.md", "sh"))
    assert first.endswith("pip install -e . && ssl train method=simclr") and first.startswith("python3 -m venv")
    assert docs == "pip install -e '.[docs]' && mkdocs serve"
    assert tests == "pip install -e '.[dev]' && pytest"
    ci = read(".ci/run")
    assert "pip install -q -e '.[dev,docs]'" in ci and "\nmkdocs build --strict" in ci and "\npytest" in ci


def test_the_readme_is_short_enough_to_be_read_to_its_end():
    assert len(read("README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "docs/options.md"])
def test_the_commands_and_options_on_disk_are_in_the_tables_and_the_other_way_round(page):
    rows = {}
    for first, rest in re.findall(r"^\| (.*?) \| (.*)\|$", read(page), re.M):
        rows[first] = set(re.findall(r"`(\w+)`", rest))
    if page == "README.md":
        assert {f"`ssl {name}`" for name in COMMANDS} == {name for name in rows if name.startswith("`ssl ")}
        families = read(page).split("| family |")[1].split("\n\n")[0]
        assert set(re.findall(r"`(\w+)`", families)) == options("method")
        return
    for group in GROUPS:
        assert rows[f"`{group}`"] == options(group), group
    assert rows["`experiment`"] <= options("experiment")
    patterns = {f"{name}_{size}" for name in options("method") for size in ("cifar10", "imagenet")}
    assert options("experiment") <= rows["`experiment`"] | patterns


@pytest.mark.parametrize(
    ("page", "heading", "group"), [("docs/methods.md", "method", "method"), ("docs/measure.md", "probe", "probe")]
)
def test_the_table_that_explains_a_group_has_all_of_it(page, heading, group):
    table = read(page).split(f"| {heading} |")[1].split("\n\n")[0]
    assert {
        name for cell in re.findall(r"^\| (.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", cell)
    } == options(group)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page, tmp_path):
    text = read(page).replace("\\_", "_")
    own = {Path(name).stem for name in write_files(page, tmp_path)}
    for group, names in re.findall(rf"(?<![\w.@/])({'|'.join([*GROUPS, 'experiment'])})=([a-z\d_,]*[a-z\d_])", text):
        none = {"null"} if group in ("launcher", "tracker") else set()
        assert set(names.split(",")) <= options(group) | own | none, f"{group}={names}"
    for name in re.findall(r"(?<![\w/.-])((?:ssl_cli|conf|tests|benchmarks|docs)/[\w./-]*)", text):
        assert (ROOT / name.rstrip(".")).exists() or "foo" in name, name
    for link in re.findall(r"\]\(([^)#]+)", text) + re.findall(r'src="([^"]+)"', text):
        assert link.startswith("http") or ((ROOT / page).parent / link).exists(), link
    for module, names in re.findall(r"^from (ssl_cli[\w.]*) import ([\w, ]+)", "\n".join(blocks(page, "python")), re.M):
        for name in names.split("#")[0].split(", "):
            found = importlib.import_module(module)
            assert hasattr(found, name.strip()) or importlib.import_module(f"{module}.{name.strip()}"), name


def test_the_page_of_the_options_has_every_setting_of_the_trainer():
    named = set(re.findall(r"`trainer\.(\w+)`", read("docs/options.md")))
    assert named == {field.name for field in dataclasses.fields(TrainerConfig)}


def test_every_page_is_in_the_navigation_of_the_site():
    nav = yaml.safe_load(read("mkdocs.yml"))["nav"]
    listed = [file for section in nav for pages in section.values() for page in pages for file in page.values()]
    assert sorted(f"docs/{file}" for file in listed) == [page for page in PAGES if page.startswith("docs/")]


def test_examples_of_own_code_import_public_names_only():
    for page in PAGES:
        if page != "docs/export.md":  # which is about what there is inside
            for block in blocks(page, "python"):
                assert set(re.findall(r"^from (ssl_cli[\w.]*)", block, re.M)) <= {"ssl_cli.plugins"}, page
