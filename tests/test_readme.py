"""README.md, CONTRIBUTING.md and the pages in docs/ say what is so: their commands run, what they name exists."""

import dataclasses
import importlib
import json
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from command_line import CommandLine
from pages import ROOT, read, write_files
from written_texts import write_table

from ssl_cli.cli import COMMANDS
from ssl_cli.config.schema import TrainerConfig

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))]
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

TEXTS = {"docstrings", "texts"}  # data sets that need no download, and another network

# What makes a command of a page small: a few images, a narrow network, two steps.
FEW = ["dataset.num_images=200", "dataset.storage_size=16"]
SHORT = ["trainer.max_steps=2", "trainer.batch_size=16"]
PROBES = ["probes.linear.labels=[all]", "probes.linear.penalties=[0.01]", "probes.propagate.draws=2"]
KNN_ALONE = ["probes.linear=null", "probes.propagate=null"]
NARROW = ["backbone.widths=[4,8]"]
CLIPS = ["dataset.num_clips=96", "dataset.storage_size=16"]

# What comes out of a page's commands as the page says: words that they print, and files below the directory.
PRINTED = {
    "README.md": ["random weights", "picture: ", "scored once, on", "cifar-10-python.tar.gz", "(6 of 6 jobs finished)"],
    "docs/audit.md": ["findings: outputs/", "look: outputs/"],
    "docs/few-labels.md": ["init=last: ", "own classifier", "learn from them, too: ", "propagated ones"],
    "docs/measure.md": ["ckpt=last: ", "the backbone stayed frozen", "R²", "10% of"],
    "docs/pick.md": ["images to label: tasks.json", "interface: tasks.xml"],
    "docs/resume.md": ["all is well"],
    "docs/sweeps.md": ["(6 of 6 jobs finished)", "is finished; nothing to do", "difference to supervised"],
    "docs/your-images.md": ["picture: ", "nothing was trained or written", "R²", "labels in column label"],
    "docs/extend.md": ["brightness"],
    "docs/inputs.md": ["text: ", "raw inputs", "test signals"],
}
LEFT = {
    "README.md": ["views.png", "summary.json", "checkpoints/last.pt", "checkpoints/last.pt.sha256"],
    "docs/audit.md": ["audit.csv", "audit.html"],
    "docs/export.md": ["embeddings/shapes.npz", "export/backbone.safetensors", "export/onnx/model.onnx"],
    "docs/measure.md": ["features/*.npz", "probes/*/result.json"],
    "docs/index.md": ["report/index.html", "report/tsne_images.png", "report/*.svg"],
    "docs/methods.md": ["views.png", "plots/*.png"],
    "docs/pick.md": ["picked/typical-3.csv", "picked/typical-3.html"],
    "docs/predict.md": ["predicted/images.csv", "heads/linear-*.npz"],
    "docs/report.md": ["report/index.html", "report/tsne_images.png", "report/*.svg"],
    "docs/trackers.md": ["tensorboard/events.out.tfevents.*", "tracker.json"],
}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", read(page), re.M | re.S)


def commands(page: str) -> list[str]:
    return [line for block in blocks(page, "sh") for line in re.findall(r"(?:^|&& )(ssl .*)$", block, re.M)]


def options(group: str) -> set[str]:
    return {file.stem for file in (ROOT / "conf" / group).glob("*.yaml") if not file.stem.startswith("_")}


@dataclass
class Shell:
    """Runs ``ssl`` in one directory."""

    ssl: CommandLine

    @property
    def cwd(self) -> Path:
        return self.ssl.cwd

    def __call__(self, *args: str, own_package: bool = False) -> tuple[int, str, str]:
        """Return the exit status, and what was written to the two streams."""
        outcome = self.ssl(*args, **({"PYTHONPATH": str(self.cwd)} if own_package else {}))
        return outcome.status, outcome.out, outcome.err


@pytest.fixture
def shell(ssl):
    return Shell(ssl)


@pytest.fixture(scope="session")
def short_run(made_once, tmp_path_factory):
    """What pages mean by `last` that begin after training."""

    def make(cwd: Path) -> None:
        args, _ = small("ssl train method=simclr hydra.run.dir=run", cwd)
        status, _, err = Shell(CommandLine(cwd, tmp_path_factory.mktemp("scratch")))(*args)
        assert status == 0, err

    return made_once("short_run", make) / "run"


def small(line: str, images: Path) -> tuple[list[str], int]:
    """Return the words of a command, with what makes it small, and the exit status that it must have."""
    for word, meant in {"DIR": str(images), "FILE.csv": str(images.with_suffix(".csv")), "RUN": "last"}.items():
        line = re.sub(rf"\b{re.escape(word)}\b", meant, line)
    args = shlex.split(line)[1:]
    keys = dict(arg.split("=", 1) for arg in args if "=" in arg)
    if args[0] == "probe" and keys.get("probe", "linear") == "linear":
        args += ["probe.draws=2", "probe.penalties=[0.01]"]
    if keys.get("dataset") == "shapes":
        args += FEW
    if keys.get("dataset") == "docstrings":
        args.append("dataset.least_words=80")  # a few hundred texts
    if keys.get("dataset") == "moving_shapes":
        args += CLIPS
    if args[0] == "pick":
        args.append("n=3")
    if args[0] != "train":
        return args, 0
    if "pretext.size" in keys:
        args += ["dataset.storage_size=20", "pretext.size=16"]
    if "resume" in keys:
        return [*args, "trainer.max_steps=3"], 0
    if "dataset.pseudo_labels" in keys:
        args.append("dataset.min_confidence=0")  # two steps make nobody sure
    if not {"dataset", "init"} & set(keys):
        args += ["dataset=shapes", "dataset.channels=1", *FEW]
    if not {"backbone", "init"} & set(keys) and keys.get("dataset", "shapes") in options("dataset") - {
        "docstrings",
        "texts",
    }:
        args += NARROW
    if int(keys.get("trainer.devices", 1)) > 1:
        args.append("trainer.dry_run=true")  # tests/launch starts ranks
    if keys.get("dataset") in options("dataset") - TEXTS - {"folder", "digits", "shapes", "moving_shapes"}:
        return [*args, "dataset.download=false", f"dataset.root={images}"], 2
    return [*args, *SHORT, *(KNN_ALONE if "-m" in args else PROBES)], 0


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_the_commands_of_a_page_run_in_order(page, shell, image_folder, request):
    write_files(page, shell.cwd)
    write_table(shell.cwd / "texts.csv")
    names = sorted(str(file.relative_to(image_folder)) for file in image_folder.rglob("*.*"))
    rows = [f"{name},{len(name) + i},{name.split('/')[0]}" for i, name in enumerate(names)]
    image_folder.with_suffix(".csv").write_text("\n".join(["file,age,label", *rows]))
    said = ""
    if re.search(r"\blast\b", commands(page)[0]):
        run = request.getfixturevalue("short_run")
        shutil.copytree(run, shell.cwd / "outputs/2026-01-01/00-00-00-simclr-shapes")
    for line in commands(page):
        args, expected = small(line, image_folder)
        status, out, err = shell(*args, own_package=True)
        assert status == expected, (line, err)
        assert expected == 0 or str(image_folder) in err, (line, err)
        said += out + err
    assert [words for words in PRINTED.get(page, []) if words not in said] == []
    assert [name for name in LEFT.get(page, []) if not list(shell.cwd.glob(f"outputs/**/{name}"))] == []


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


def test_the_page_of_the_run_directory_names_what_a_run_leaves_and_the_keys_of_its_summary(short_run):
    page = read("docs/run-directory.md")
    files, summary, row, _ = (part.split("\n\n")[0] for part in page.split("|---|---|\n")[1:])

    def first(table: str) -> set[str]:
        return {name for cell in re.findall(r"^\| (.*?) \|", table, re.M) for name in re.findall(r"`(.*?)`", cell)}

    made = {f"{file.name}/" if file.is_dir() else file.name for file in short_run.iterdir()}
    assert made - {"checkpoints/"} <= first(files)
    found = json.loads((short_run / "summary.json").read_text())
    assert set(found) == first(summary)
    assert all(set(result) == first(row) for result in found["results"])


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


def own_package(cwd: Path) -> list[list[str]]:
    """Write the examples as the page says, and return its commands."""
    assert len(write_files("docs/extend.md", cwd)) == 4
    return [small(line, cwd)[0] for line in commands("docs/extend.md")]


def test_an_own_method_works_from_outside_the_package(shell):
    train, probe, _ = own_package(shell.cwd)
    status, out, err = shell(*train, own_package=True)
    assert status == 0 and "brightness" in out, err
    status, _, err = shell(*probe[:2], own_package=True)
    assert status == 2 and "trusted_modules=[my_package]" in err
    status, _, err = shell(*train, "method.weight=0", own_package=True)
    assert status == 2 and "method.weight=0" in err
    status, _, err = shell(*train)
    assert status == 2 and "my_package.brightness.Brightness" in err, err


def test_an_own_pretext_works_from_outside_the_package(shell):
    _, _, train = own_package(shell.cwd)
    status, _, err = shell(*train, "hydra.run.dir=run", own_package=True)
    assert status == 0, err
    assert "pretext_accuracy" in (shell.cwd / "run/metrics.jsonl").read_text()
    status, _, err = shell(*train, "pretext.share=1", own_package=True)
    assert status == 2 and "pretext.share=1" in err
    status, _, err = shell("probe", "ckpt=run", "probe=knn", "trusted_modules=[my_package]", own_package=True)
    assert status == 0, err
    status, _, err = shell("train", "--config-dir", "mine", "method=simclr", "pretext=mirrored", own_package=True)
    assert status == 2 and "two_views" in err
