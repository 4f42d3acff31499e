"""`ssl report` on a run of which little is left, or in which something is not what the run has written."""

import json
import shlex

import pytest
import torch
from PIL import Image
from report_pages import NAMES, called, check_page, spoil, words

from ssl_cli.errors import UserError
from ssl_cli.report.figures.inspection import inspect_run


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
        ("dataset", {"root": 5}, "is not what a run has written: dataset.root=5 is int in a file"),
        ("dataset", {"val_fraction": "much"}, "is not one that ssl can build"),
        ("pretext", {"unknown": 1}, "got an unexpected keyword argument 'unknown'"),
    ],
)
def test_a_config_that_nothing_can_be_built_of_is_one_line(run, copy, group, changed, said):
    change_config(copy, run.parent / "images", group, changed)
    with pytest.raises(UserError, match=said):
        inspect_run(copy, None, [], lambda line: None)


def test_names_from_anywhere_in_a_run_are_shown_as_text(run, copy):
    """Each place has a name of its own that would be an element, end an attribute, or end the script it stands in."""
    hostile = {place: f"<i>{place}</i></script>\"'&" for place in (
        *("method", "dataset", "labels", "seed", "setting", "protocol", "metric", "platform", "device", "package"),
        *("commit", "directory", "command", "config", "probe", "picture", "error", "class"),
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
    (copy / "predicted").mkdir()
    answer = {"path": "a.png", "class": hostile["class"], "probability": 0.875, "unlike": 96.0, "error": None}
    (copy / "predicted" / "new.jsonl").write_text(json.dumps(answer))
    (copy / "plots").mkdir()
    Image.new("L", (4, 4)).save(copy / "plots" / f"{hostile['picture'].replace('/', '∕')}.png")
    images = run.parent / "images"
    images.rename(run.parent / "gone")  # so that the page has no script of its own
    try:
        assert called(copy.parent, "report", "run") == 0
    finally:
        (run.parent / "gone").rename(images)
    tree = check_page(copy / "report/index.html")
    assert not list(tree.iter("i")) and len(tree.findall(".//script")) == 0
    table = next(table for table in tree.iter("table") if "new.jsonl" in "".join(table.itertext()))
    assert [cell.text for cell in table.iter("td")] == ["1", "1", "87.5", "100.0", None]
    text = words(tree)
    for place, name in hostile.items():
        shown = {"probe": probe.name, "picture": name.replace("/", "∕").capitalize(), "metric": name.replace("_", " ")}
        shown["command"] = f"ssl train {shlex.quote(name)}"
        assert shown.get(place, name) in text, place
    assert tree.find(".//img").get("alt") == hostile["picture"].replace("/", "∕")
