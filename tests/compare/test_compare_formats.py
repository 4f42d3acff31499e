"""A comparison as CSV, JSON, HTML, Markdown and on the terminal: nothing is lost, and text stays text."""

import csv
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import html5lib
import pytest
from rich.console import Console
from written_runs import KNN, lines_of, put

from ssl_cli.compare.comparison import compare
from ssl_cli.compare.formats.csv import to_csv
from ssl_cli.compare.formats.html import to_html
from ssl_cli.compare.formats.json import to_json
from ssl_cli.compare.formats.markdown import to_markdown
from ssl_cli.compare.formats.terminal import to_terminal
from ssl_cli.compare.options import Options

HOSTILE = "<b>|[red]`x`"


@pytest.fixture
def hostile(tmp_path):
    put(tmp_path / "s/0", HOSTILE, 0, 0.95)
    put(tmp_path / "s/1", "=1+2", 0, 0.81)
    return compare([tmp_path / "s"])


def test_csv_and_json_come_back_as_they_were(hostile):
    rows = list(csv.DictReader(io.StringIO(to_csv(hostile))))
    assert [row["name"] for row in rows] == ["raw pixels", "convnet, random weights", HOSTILE, "'=1+2"]
    score = lines_of(hostile)[HOSTILE].scores[KNN]
    assert float(rows[2]["mean"]) == score.mean and float(rows[2]["difference"]) == score.difference
    assert (float(rows[2]["low"]), float(rows[2]["high"])) == score.interval
    assert rows[2]["within_noise"] == "False" and rows[3]["within_noise"] == "True" and rows[0]["difference"] == ""
    content = json.loads(to_json(hostile))
    assert [row["name"] for row in content["rows"]][2] == HOSTILE
    assert content["rows"][2]["cells"][0]["interval"] == list(score.interval)
    assert content["against"] == "raw pixels" and content["columns"] == [
        {"probe": "knn", "labels": "all", "target": None, "metric": "accuracy"}
    ]


def test_html_is_well_formed_and_text_stays_text(hostile):
    page = to_html(hostile)
    body = re.sub(r"<(meta[^>]*|br)>", r"<\1/>", page.removeprefix("<!DOCTYPE html>\n"))
    tree = ElementTree.fromstring(body)
    heads = ["".join(cell.itertext()) for cell in tree.iter("th") if cell.get("scope") == "row"]
    assert heads == ["raw pixels", "convnet, random weights", HOSTILE, "=1+2"]
    cells = [["".join(cell.itertext()) for cell in row.iter("td")] for row in tree.iter("tr")][1:]
    assert cells[0][0] == "80.0" and cells[2][0].startswith("95.0+15.0 [") and cells[2][1:] == ["1", "10", "1,000"]


def test_html_is_valid_and_each_name_in_it_is_text(tmp_path):
    for i in range(2):
        put(tmp_path / f"s/{i}", HOSTILE, i, 0.9, dataset=f"{HOSTILE}data", overrides=[f"+x={HOSTILE}{i}"])
    put(tmp_path / "s/<i>2", HOSTILE, state="failed", error=f"{HOSTILE}error\x00")
    page = to_html(compare([tmp_path / "s"], Options(by=["x"])))
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    assert not tree.findall(".//i") and {"".join(e.itertext()) for e in tree.iter("b")} == {"90.0"}
    heads = ["".join(cell.itertext()) for cell in tree.iter("th") if cell.get("scope") == "row"]
    assert heads[-2:] == [f"x={HOSTILE}0", f"x={HOSTILE}1"]
    assert tree.find(".//caption").text == tree.find(".//title").text
    assert tree.find(".//caption").text.endswith(f"on the test split of {HOSTILE}data")
    (left_out,) = [e.text for e in tree.iter("p") if e.text.startswith("Left out")]
    assert left_out.endswith(f"<i>2: failed: {HOSTILE}error�")


@pytest.mark.parametrize("to, imported", [([], False), (["--to", "md"], False), (["--to", "html"], True)])
def test_jinja2_is_imported_only_for_html(tmp_path, to, imported):
    put(tmp_path / "run")
    code = f"import sys; from ssl_cli.cli import main; main({['compare', 'run', *to]}); "
    code += "sys.exit('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "raw pixels" in done.stdout) == (imported, True), done.stderr


def test_markdown_is_one_table_and_text_stays_text(hostile):
    table = [line for line in to_markdown(hostile).splitlines() if line.startswith("| ")]
    assert len(table) == 6 and {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {6}
    assert r"&lt;b&gt;\|\[red\]\`x\`" in table[4] and "**95.0**<br>+15.0 [" in table[4] and "~+1.0 [" in table[5]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_terminal_shows_every_cell_at_any_width_and_no_markup(sweep, width):
    for i in range(12):
        put(sweep / f"9{i}", HOSTILE, i, 0.9, (("knn", "all"), ("linear", "all"), ("linear", "1/class")))
    c = compare([sweep])
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False)
    console.print(to_terminal(c, console))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    for line in c.lines:
        for at, score in line.scores.items():
            assert f"{100 * score.mean:.1f}" in text, at
    assert "[red]" in text.replace("\n", "") and "\x1b" not in text
    assert "Within noise (~" in text and "simclr" in text.split("Within noise")[1]


def test_remarks_say_what_the_intervals_are_and_are_not(sweep, tmp_path):
    text = " ".join(to_markdown(compare([sweep])).split())
    assert "the union of Student's t over runs and bootstrap of test images" in text and "the best baseline" in text
    assert "± is the deviation over 3 runs" in text
    assert "of 3 differences are beyond noise, each judged by itself" in text
    single = " ".join(to_markdown(compare([put(tmp_path / "one")])).split())
    assert "It says nothing of other seeds where there is one run." in single
