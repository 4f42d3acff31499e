"""The benchmarks' own arithmetic: turns, ratios, the page; what they measure is not asserted here."""

import sys
from pathlib import Path

import pytest
import torch

from benchmarks import page
from benchmarks.__main__ import ROWS, TRAININGS, main
from benchmarks.harness import Variant, median, ratio, take_turns
from benchmarks.peers import Missing, python_with
from benchmarks.step import kept_for_backward

ROOT = Path(__file__).parent.parent
MACHINE = {"cpu": "a processor", "cores": 2, "threads": 2, "instructions": "AVX2", "bf16": False, "gpu": None}
MACHINE |= {"python": "3.11", "torch": "2.9", "load": 0.1}


def row(*ratios, table=()) -> dict:
    return {"machine": MACHINE, "data": "images", "took": 3.2, "ratios": ratios, "table": table, "notes": ["a note"]}


def test_variants_take_turns_and_are_compared_round_by_round(tmp_path, monkeypatch):
    (tmp_path / "variant.py").write_text(
        "import itertools, time\n"
        "def counted(step):\n"
        "    values = itertools.count(step, step)\n"
        "    return lambda: {'seconds': next(values), 'at': time.monotonic()}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    variants = {"a": Variant("variant:counted", {"step": 2}), "b": Variant("variant:counted", {"step": 6})}
    rounds = take_turns(variants, 3, 1)
    assert [r["seconds"] for r in rounds["a"]] == [2, 4, 6] and median(rounds["b"], "seconds") == 12
    found = ratio(rounds["a"], rounds["b"], "seconds")
    assert found == {"ratio": 3, "low": 3, "high": 3, "rounds": 3}
    order = sorted((r["at"], name) for name, rows in rounds.items() for r in rows)
    assert "".join(name for _, name in order) == "abbaab"


def test_a_variant_that_ends_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "variant.py").write_text("def broken():\n    raise SystemExit(7)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="status 7"):
        take_turns({"a": Variant("variant:broken")}, 1, 1)


def test_what_a_step_keeps_for_backward_is_counted_once_for_each_memory():
    x, weight = torch.randn(1 << 10, 1 << 8), torch.randn(1 << 8, 1 << 8, requires_grad=True)

    def step():
        y = torch.relu(x @ weight)  # keeps x, and its own result
        (y + y.view(-1).view_as(y)).sum().backward()

    assert kept_for_backward(step) == 2 * x.nbytes / 2**20 == 2


def test_the_page_says_what_was_met_and_what_was_not():
    entry = {"label": "theirs / ours", "ratio": 3.0, "low": 2.5, "high": 3.5, "target": 2}
    rows = {
        "knn": row({**entry, "label": "at most 1.5", "ratio": 1.2, "target": 1.5, "at_most": True}),
        "augment": row(entry, {**entry, "label": "theirs / ours, again", "target": 10}, table=[["", "s"], ["ssl", 1]]),
        "files": row({"label": "waiting", "share": 0.01, "target": 0.05}),
    }
    titles = {name: title for name, (title, _) in ROWS.items()}
    text = page.render(rows, titles, "docs/page.md", without=TRAININGS)
    lines = text.splitlines()
    assert "| `augment` | theirs / ours | 3.00 | 2.50 to 3.50 | 2 | met |" in lines
    assert "| `augment` | theirs / ours, again | 3.00 | 2.50 to 3.50 | 10 | not met |" in lines
    assert "| `knn` | at most 1.5 | 1.20 | 2.50 to 3.50 | 1.5 | met |" in lines
    assert "| `files` | waiting | 1.0% |  | under 5% | met |" in lines
    assert (
        text.index("`augment`") < text.index("`files`") < text.index("`knn`")
    )  # the order of the rows, not of the dict
    assert lines[0] == "# Benchmarks" and "`python -m benchmarks augment files knn --out docs/page.md`" in text
    most = {name: row() for name in titles if name not in TRAININGS}
    assert "python -m benchmarks all --out x.md" in page.render(most, titles, "x.md", TRAININGS)
    assert "a processor, 2 cores (AVX2, no bf16), no GPU" in text and "| ssl | 1 |" in lines


def test_a_peer_that_cannot_be_had_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.peers.PLACE", tmp_path / "peers")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(Missing, match="No matching distribution|failed"):
        python_with("no_such_package_anywhere")


def test_the_committed_page_is_of_rows_that_there_are():
    text = (ROOT / "docs/benchmarks.md").read_text()
    named = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert named <= set(ROWS) and len(named) >= 10


def test_an_unknown_row_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "knnn"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "invalid choice" in said and all(name in said for name in ROWS)
