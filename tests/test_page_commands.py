"""The commands of README.md, CONTRIBUTING.md and docs/ run as a user types them, and leave what the pages say."""

import json
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import CommandLine
from pages import PAGES, commands, options, read, write_files
from written_texts import write_table

TEXTS = {"docstrings", "texts"}  # data sets that need no download, and another network

# What makes a command of a page small: a few images, a narrow network, two steps.
FEW = ["dataset.num_images=200", "dataset.storage_size=16"]
SHORT = ["trainer.max_steps=2", "trainer.batch_size=16"]
PROBES = ["probes.linear.labels=[all]", "probes.linear.penalties=[0.01]"]
PROBES += ["probes.propagate.labels=[1/class]", "probes.propagate.draws=2"]
KNN_ALONE = ["probes.linear=null", "probes.propagate=null"]
NARROW = ["backbone.widths=[4,8]"]
SHALLOW = ["dataset.max_tokens=16", "backbone.dim=16", "backbone.depth=1", "backbone.heads=2"]
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
        args.append("dataset.least_words=120")  # a few hundred texts
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
    if not {"backbone", "init"} & set(keys) and keys.get("dataset", "shapes") in options("dataset") - TEXTS:
        args += NARROW
    if keys.get("dataset") in TEXTS and not {"backbone", "init"} & set(keys):
        args += SHALLOW
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
