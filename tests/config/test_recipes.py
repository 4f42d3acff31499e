"""The recipes name their sources and train as these do; docs/recipes.md lists what differs, and nothing else does."""

import fnmatch
import functools
import re
from pathlib import Path

import pytest
from experiments import CONF, composed
from omegaconf import OmegaConf
from published_cifar import CIFAR
from published_imagenet import IMAGENET_RECIPES

PUBLISHED = CIFAR | IMAGENET_RECIPES
ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
SWEEPS = [name for name in RECIPES if name.startswith("sweep_")]
SOURCE = re.compile(r"([\w.-]+/[\w.-]+), (\S+), commit ([0-9a-f]{40})\b")


def header(name: str) -> dict[str, str]:
    """Return the entries of a recipe's comment: word -> text, on one line."""
    lines = (CONF / "experiment" / f"{name}.yaml").read_text().split("defaults:")[0].splitlines()
    text = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    parts = re.split(r"\b(Source|Command|Cost|Expected): ", text)
    return {word: part.strip() for word, part in zip(parts[1::2], parts[2::2], strict=True)}


def setting(name: str, key: str):
    """Return what a recipe sets; None for what it does not have."""
    config = composed("train", [f"experiment={name}", "dataset.root=somewhere"])
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


@functools.cache
def tables() -> list[list[list[str]]]:
    """Return the tables of the page: rows of cells, without the heads."""
    found, rows = [], []
    for line in [*(ROOT / "docs/recipes.md").read_text().splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            found.append(rows[2:])
            rows = []
    return found


def named(cell: str) -> set[str]:
    """Return the recipes that the first cell of a row is about."""
    patterns = ["*_*"] if cell == "all" else re.findall(r"`([\w*]+)`", cell)
    found = {pattern: set(fnmatch.filter(RECIPES, pattern)) for pattern in patterns}
    assert patterns and all(found.values()), f"{cell}: no such recipe"
    return set().union(*found.values())


@functools.cache
def differing() -> dict[tuple[str, str], tuple[str, str]]:
    """Return what the page says differs: (recipe, setting) -> (here, in the source)."""
    found = {}
    for cell, key, here, there, _ in tables()[1]:
        for name in named(cell) & set(PUBLISHED):
            found[name, key.strip("`")] = (here.strip("`"), there.strip("`"))
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_names_its_source_and_only_such_a_figure(name):
    entries = header(name)
    source = SOURCE.search(entries["Source"])
    assert (source is None) == (name not in PUBLISHED)
    if source:
        known = PUBLISHED[name]
        assert source.groups() == (known.repository, known.file, known.commit)
    else:
        assert entries["Source"].startswith(("none: ", "ours"))
        figure = re.search(r"\d %", entries["Expected"])
        assert not figure or name in SWEEPS and "docs/results-digits.md" in entries["Expected"]


def test_each_recipe_has_a_row_in_the_table_of_sources_that_says_the_same():
    rows = [(named(row[0]), *row[1:]) for row in tables()[0]]
    assert sorted(name for names, *_ in rows for name in names) == RECIPES
    for names, source, commit, figure in rows:
        for name in names & set(PUBLISHED):
            known = PUBLISHED[name]
            assert source.replace("\\", "") == f"{known.repository}, {known.file}"
            assert known.commit.startswith(commit)
            expected = header(name)["Expected"]
            assert figure.startswith("none") == ("the source has no figure" in expected)
            for value in re.findall(r"\d+\.\d+", figure):
                assert f"{value} %" in expected


def test_what_the_page_and_the_sources_say_are_of_recipes_with_a_source():
    assert set(PUBLISHED) <= set(RECIPES)
    for cell, *_ in tables()[2]:
        named(cell.replace(" of solo-learn", ""))


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_setting_is_the_source_s_or_in_the_table_of_those_that_differ(name):
    page = {key: values for (recipe, key), values in differing().items() if recipe == name}
    known = PUBLISHED[name].settings
    found = {}
    for key, there in known.items():
        here = setting(name, key)
        same = here == (pytest.approx(there, rel=2e-3) if isinstance(there, float) else there)
        if not same and not (there is None and not here):
            found[key] = (str(here), str(there))
    assert found == page


@pytest.mark.parametrize(
    "name, model", [(f"{a}_{b}", f"simclr_{b}") for a in ("siamese", "triplet") for b in ("cifar10", "imagenet")]
)
def test_what_is_said_to_have_the_settings_of_another_recipe_has_them(name, model):
    ours, theirs = (
        OmegaConf.to_container(composed("train", [f"experiment={recipe}", "dataset.root=somewhere"]))
        for recipe in (name, model)
    )
    for key in ("augment", "backbone", "dataset", "optimizer", "pretext", "schedule", "trainer"):
        assert ours[key] == theirs[key], key
