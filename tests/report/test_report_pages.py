"""`ssl report` as a user runs it: on a run whose data has hostile names, on one of which little is left, on a sweep."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import html5lib
import numpy as np
import pytest
import torch
from PIL import Image

from ssl_cli.cli import main
from ssl_cli.errors import UserError
from ssl_cli.report.figures.inspection import inspect_run

NAMES = ("<script>alert(1)<", "$x^{ & \"quoted'", "naïve 猫")
OWN = {"index.html", *(f"{name}.{kind}" for name in (
    *("loss", "validation", "learning_rate", "collapse", "label_efficiency", "confusion"),
    *("pca", "tsne", "tsne_images", "neighbours", "views"),
) for kind in ("png", "svg"))}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run on images in folders with names that are markup, mathematics and Chinese; and its report."""
    root = tmp_path_factory.mktemp("report")
    random = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        (root / "images" / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 60, (16, 16, 3), dtype=np.uint8)
            pixels[..., label] += 120
            Image.fromarray(pixels).save(root / "images" / name / f"<b>{i}.png")
    settings = ["dataset=folder", "dataset.root=images", "dataset.storage_size=16", "trainer.batch_size=16"]
    settings += [
        "trainer.threads=1",
        "trainer.max_steps=2",
        "trainer.log_every=1",
        "backbone.widths=[4,8]",
        "method.hidden_dim=8",
    ]
    settings += ["method.out_dim=8", "probes.linear.draws=2", "probes.linear.labels=[all,1/class]"]
    settings += [f"dataset.cache_dir={root / 'cache'}", "hydra.run.dir=run"]
    assert called(root, "train", "method=simclr", *settings) == 0
    before = files(root / "run")
    assert called(root, "report", "run") == 0
    after = files(root / "run")
    assert {name: after[name] for name in before} == before  # nothing else was touched
    return root / "run"


def called(cwd, *args):
    """Run the command line in this process, as if from ``cwd``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr("sys.argv", ["ssl", *args])
        patch.setenv("HYDRA_FULL_ERROR", "1")
        return main(list(args))


def files(directory):
    return {str(f.relative_to(directory)): f.stat().st_mtime_ns for f in directory.rglob("*") if f.is_file()}


def parsed(page):
    """Return the page as a tree; a page that is not valid HTML is an error."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page.read_text(encoding="utf-8"))


def words(tree):
    return " ".join("".join(tree.find("body").itertext()).split())


def check_page(page):
    """Assert what must hold for every page: valid, its own ids, nothing from a network, nothing that leads nowhere."""
    text, tree = page.read_text(encoding="utf-8"), parsed(page)
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in tree.iter():
        for name, value in element.attrib.items():
            assert not str(name).startswith("on"), (element.tag, name)
            if str(name).rpartition("}")[2] in ("src", "href", "xlink:href"):
                assert value.startswith(("data:image/", "#", "../")), value[:60]
                assert not value.startswith("#") or value[1:] in ids
                assert not value.startswith("../") or (page.parent / unquote(value)).is_file()
    assert not re.findall(r"url\((?!#|data:|&quot;)", text)
    assert {element.get("http-equiv") for element in tree.iter("meta")} == {None, "Content-Security-Policy"}
    return tree


def test_the_page_is_valid_whole_and_small(run):
    assert {f.name for f in (run / "report").iterdir()} == OWN
    tree = check_page(run / "report/index.html")
    assert (run / "report/index.html").stat().st_size < 3_000_000
    text = words(tree)
    for heading in ("Results", "What was learned", "What it was trained on", "Training", "Reproduce"):
        assert heading in [element.text for element in tree.iter("h2")]
    for said in (
        "raw pixels",
        "random weights",
        "linear, 1 label per class",
        "95 % bootstrap",
        "ssl train method=simclr",
    ):
        assert said in text, said
    assert "hydra.run.dir" not in "".join(tree.find(".//pre").itertext())
    assert [e.get("id") for e in tree.iter("figure")] == [
        *("label_efficiency", "confusion", "tsne", "tsne_images", "pca", "neighbours", "views"),
        *("loss", "validation", "learning_rate", "collapse"),
    ]
    assert "No UMAP" in text or (run / "report/umap.svg").exists()


def test_names_are_shown_as_text_everywhere(run):
    text, tree = (run / "report/index.html").read_text(encoding="utf-8"), parsed(run / "report/index.html")
    assert len(tree.findall(".//script")) == 2 and not tree.findall(".//b/b") and "<script>alert" not in text
    legend = [
        " ".join("".join(e.itertext()).split())
        for e in tree.find(".//figure[@id='tsne']").iter()
        if e.tag.endswith("text")
    ]
    assert "<script>alert…" in legend and "naïve 猫" in legend and '$x^{ & "quote…' in legend
    points = json.loads(tree.find(".//script[@id='points']").text)
    test_images = 12
    assert len(points["images"]) == len(points["maps"]["tsne"]) == len(points["maps"]["pca"]) == test_images
    assert any(item.startswith("<script>alert(1)< · <b>") for item in points["images"])
    for svg in (run / "report").glob("*.svg"):
        assert "<script" not in svg.read_text(encoding="utf-8")


def test_numbers_in_the_page_are_those_of_the_run(run):
    summary = json.loads((run / "summary.json").read_text())
    row = next(
        r for r in summary["results"] if (r["model"], r["probe"], r["labels"]) == ("simclr", "linear", "1/class")
    )
    low, high = (f"{100 * value:.1f}" for value in row["ci"])
    cells = ["".join(cell.itertext()) for cell in parsed(run / "report/index.html").find(".//table").iter("td")]
    assert f"{100 * row['mean']:.1f}± {100 * row['std']:.1f}[{low}, {high}]" in cells


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run that may be spoiled, without its report."""
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    return tmp_path / "run"


def spoil(run, **changes):
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, **changes}))


def test_a_report_made_again_replaces_the_page_and_drops_figures_that_are_no_more(copy):
    (copy / "report").mkdir()
    for name in ("neighbours.png", "mine.png"):
        (copy / "report" / name).write_text("old")
        os.utime(copy / "report" / name, (0, 0))
    (copy / "report/index.html").write_text("old")
    (copy / "metrics.jsonl").unlink()
    assert called(copy.parent, "report", "run") == 0  # the images are not below this directory
    assert "No features, neighbours or views: " in words(check_page(copy / "report/index.html"))
    left = {f.name for f in (copy / "report").iterdir()}
    assert "mine.png" in left and "neighbours.png" not in left and not [f for f in left if f.startswith(".")]


def test_little_is_left_of_a_run(copy, capsys):
    spoil(copy, state="interrupted", results=[])
    (copy / "predictions.npz").unlink()
    with (copy / "metrics.jsonl").open("w") as file:
        file.write('{"step": 1, "epoch": 0.5, "loss": 2.0, "lr": 0.1}\n{"step": 2, "epo')
    for checkpoint in (copy / "checkpoints").iterdir():
        checkpoint.unlink()
    assert called(copy.parent, "report", "run") == 0
    text = words(check_page(copy / "report/index.html"))
    for said in (
        "To resume it: ssl train resume=run",
        "No results: test is scored once, at the end.",
        "No features, neighbours or views: there is no checkpoint",
        "No accuracy on val",
        "No diagnostics of collapse",
    ):
        assert said in text, said
    assert "curves" in capsys.readouterr().out
    spoil(copy, state="failed", error=f"no {NAMES[0]}")
    for name in ("metrics.jsonl", "env.json", "config.yaml"):
        (copy / name).unlink()
    assert called(copy.parent, "report", "run") == 0
    text = words(check_page(copy / "report/index.html"))
    assert f"The run has failed: no {NAMES[0]}" in text and "there is no env.json" in text and "No curves" in text


def change_config(run, root, group, changed):
    """Edit the config inside a checkpoint, as by hand: nothing says that it is another one."""
    file = run / "checkpoints/last.pt"
    content = torch.load(file, weights_only=True)
    content["config"]["dataset"]["root"] = str(root)
    content["config"][group] |= changed
    torch.save(content, file)
    file.with_name("last.pt.sha256").unlink()


def test_a_checkpoint_whose_weights_do_not_fit_is_one_line_in_the_page(run, copy):
    change_config(copy, run.parent / "images", "backbone", {"widths": [2, 6]})
    spoil(copy, results=[])  # figures take the time
    (copy / "metrics.jsonl").unlink()
    assert called(copy.parent, "report", "run") == 0
    tree = check_page(copy / "report/index.html")
    (line,) = [e.text for e in tree.findall(".//section[2]/p")]
    assert line.startswith("No features, neighbours or views: ") and "\n" not in line
    assert "does not fit this model: backbone.stem.0.weight is of shape [4, 3, 3, 3] in the checkpoint" in line
    assert [e.text for e in tree.iter("h2")] == ["Results", "What was learned", "Training", "Reproduce"]


@pytest.mark.parametrize(
    ("group", "changed", "said"),
    [
        ("dataset", {"root": 5}, "is not one that ssl can build"),
        ("dataset", {"val_fraction": "much"}, "is not one that ssl can build"),
        ("pretext", {"unknown": 1}, "got an unexpected keyword argument 'unknown'"),
    ],
)
def test_a_config_that_nothing_can_be_built_of_is_one_line(run, copy, group, changed, said):
    change_config(copy, run.parent / "images", group, changed)
    with pytest.raises(UserError, match=said):
        inspect_run(copy, None, [], lambda line: None)


def test_names_from_anywhere_in_a_run_are_shown_as_text(copy):
    """Each place has a name of its own that would be an element, end an attribute, or end the script it stands in."""
    hostile = {place: f"<i>{place}</i></script>\"'&" for place in (
        *("method", "dataset", "labels", "seed", "setting", "protocol", "metric", "platform", "device", "package"),
        *("commit", "directory", "command", "config", "probe", "picture", "error"),
    )}  # fmt: skip
    env = json.loads((copy / "env.json").read_text())
    env |= {"platform": hostile["platform"], "device": hostile["device"], "packages": {hostile["package"]: "1"}}
    env |= {"directory": hostile["directory"], "git": {"commit": hostile["commit"], "changed": True}}
    env["command"] = f"ssl train {shlex.quote(hostile['command'])}"
    (copy / "env.json").write_text(json.dumps(env))
    (copy / "metrics.jsonl").unlink()
    (copy / "config.yaml").write_text((copy / "config.yaml").read_text() + f"# {hostile['config']}\n")
    rows = json.loads((copy / "summary.json").read_text())["results"]
    for row in rows:
        row["model"] = row["model"].replace("simclr", hostile["method"])
        row["settings"][hostile["setting"]] = 1
        row["metrics"] = {**row["metrics"], hostile["metric"]: {"mean": 0.5, "std": None}}
        row["protocol"] = hostile["protocol"]
    spoil(copy, **{key: hostile[key] for key in ("method", "dataset", "labels", "seed", "error")}, state="failed")
    spoil(copy, results=rows)
    probe = copy / "probes" / hostile["probe"].replace("/", "\\")
    probe.mkdir(parents=True)
    (probe / "result.json").write_text(json.dumps({"step": 2, "results": rows}))
    (copy / "plots").mkdir()
    Image.new("L", (4, 4)).save(copy / "plots" / f"{hostile['picture'].replace('/', '∕')}.png")
    assert called(copy.parent, "report", "run") == 0
    tree = check_page(copy / "report/index.html")
    assert not list(tree.iter("i")) and len(tree.findall(".//script")) == 0
    text = words(tree)
    for place, name in hostile.items():
        shown = {"probe": probe.name, "picture": name.replace("/", "∕").capitalize(), "metric": name.replace("_", " ")}
        shown["command"] = f"ssl train {shlex.quote(name)}"
        assert shown.get(place, name) in text, place
    assert tree.find(".//img").get("alt") == hostile["picture"].replace("/", "∕")


def test_images_that_have_moved_are_found_with_root(copy, run, monkeypatch):
    monkeypatch.chdir(copy.parent)
    said = []
    seen = inspect_run(Path("run"), str(run.parent / "images"), [], said.append)
    assert seen.split == "test" and len(seen.at) == 12 and seen.step == 2 and seen.data.classes == tuple(sorted(NAMES))
    assert said == ["images of images", "features of 12 test and 42 train images"]
    (run.parent / "images" / NAMES[2] / "new.png").write_bytes(
        (run.parent / "images" / NAMES[2] / "<b>1.png").read_bytes()
    )
    try:
        with pytest.raises(UserError, match="not those that the run was trained on"):
            inspect_run(Path("run"), str(run.parent / "images"), [], said.append)
    finally:
        (run.parent / "images" / NAMES[2] / "new.png").unlink()


def test_a_sweep_is_compared_and_leads_to_its_runs(run, tmp_path):
    for number in range(3):
        job = tmp_path / "sweep" / f"{number}-seed={number}"
        shutil.copytree(run, job, ignore=None if number == 0 else shutil.ignore_patterns("report"))
        spoil(job, seed=number, overrides=["method=simclr", f"seed={number}"])
    spoil(job, state="failed", error=NAMES[0], results=[])
    named = "<i>name</i>\"'&"
    spoil(tmp_path / "sweep/1-seed=1", overrides=["method=simclr", f"+x={named}"])
    before = files(tmp_path)
    assert called(tmp_path, "report", "sweep") == 0
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    tree = check_page(tmp_path / "sweep/report/index.html")
    text = words(tree)
    assert "3 runs of images" in text and f"failed: {NAMES[0]}" in text and "2 of 3" in text
    assert [e.get("href") for e in tree.iter("a")] == ["../0-seed%3D0/report/index.html"]
    assert {"validation", "loss"} <= {e.get("id") for e in tree.iter("figure")}
    assert "raw pixels" in text and not list(tree.iter("i"))
    assert [cell.text for cell in tree.find(".//section[3]").iter("th")][6:] == ["seed=0", f"+x={named}", "seed=2"]


def test_bad_input_is_one_line(run, capsys):
    for args, said in (
        ([], "required: RUN"),
        (["nowhere"], "RUN=nowhere does not exist"),
        (["images"], "neither a run nor a directory with runs"),
        (["run", "--root", "nowhere"], "--root nowhere is not a directory"),
        (["run", "--to", "pdf"], "usage: ssl report"),
    ):
        before = files(run.parent)
        assert called(run.parent, "report", *args) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.splitlines()) == 1, error
        assert files(run.parent) == before


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
PROBE = """<!DOCTYPE html><meta charset="utf-8"><body>
<iframe id="f" src="SRC" style="width:WIDTHpx;height:900px"></iframe>
<script>onload = () => {
  const page = document.getElementById("f").contentDocument, root = page.documentElement;
  const svg = page.querySelector("#tsne svg"), box = svg.getBoundingClientRect();
  const scale = box.width / svg.viewBox.baseVal.width;
  const [x, y] = JSON.parse(page.getElementById("points").textContent).maps.tsne[3];
  svg.dispatchEvent(new PointerEvent("pointerdown", {clientX: box.left + x * scale, clientY: box.top + y * scale}));
  const tip = page.getElementById("tip"), wide = root.clientWidth;
  const scrolls = (e) => /auto|scroll/.test(getComputedStyle(e).overflowX);
  const inside = (e) => { for (; e; e = e.parentElement) if (scrolls(e)) return true; };
  const cut = [...page.querySelectorAll("body *")].filter((e) => !e.closest("svg") || e.tagName === "text")
    .filter((e) => e.getBoundingClientRect().right > wide + 1 && !inside(e))
    .map((e) => `${e.tagName} ${e.textContent}`);
  const small = [...page.querySelectorAll("svg text")].map((e) => e.getBoundingClientRect().height);
  const found = {wide: root.scrollWidth, client: wide, cut, tip: tip.textContent, shown: getComputedStyle(tip).display,
    paper: getComputedStyle(page.body).backgroundColor, scripts: page.scripts.length, small: Math.min(...small)};
  document.body.dataset.found = JSON.stringify(found);
};</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_a_browser_shows_it_whole(run, tmp_path, width, scheme):
    page = run / "report/index.html"
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.replace("SRC", page.as_uri()).replace("WIDTH", str(width)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--window-size=1400,1000"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
    flags += [f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"]
    done = subprocess.run([BROWSER, *flags, probe.as_uri()], capture_output=True, text=True, timeout=180)
    tree = html5lib.parse(done.stdout, namespaceHTMLElements=False)
    found = json.loads(tree.find("body").get("data-found"))
    assert found["wide"] <= found["client"] and found["cut"] == [], found
    assert found["paper"] == {"dark": "rgb(20, 23, 28)", "light": "rgb(255, 255, 255)"}[scheme]
    points = json.loads(parsed(page).find(".//script[@id='points']").text)
    assert found["shown"] == "block" and found["tip"] in points["images"] and found["scripts"] == 2
    assert found["small"] >= 8  # pixels: the least height of a text in a figure
