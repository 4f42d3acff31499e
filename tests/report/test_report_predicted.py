"""Predictions that somebody has edited are shown as far as they can be read."""

import json
from pathlib import Path

import pytest

from ssl_cli.report.predicted import of_run

HEADER = "path,class,probability,second,second_probability,unlike,error"
SOUND = "a.png,ant,0.75,bee,0.25,96.0,"


def cells(directory: Path) -> list[str]:
    (_, row), *_ = of_run(directory.parent)[0].rows
    return [cell.text for cell in row]


@pytest.mark.parametrize("odd", ["b.png,ant,seventy,bee,0.25,1.0,", 'b.png,ant,0.75,bee,0.25,"1,5",', "b.png,ant"])
def test_a_file_is_read_up_to_what_is_no_answer(tmp_path, odd):
    (tmp_path / "predicted").mkdir()
    (tmp_path / "predicted/t.csv").write_text("\n".join([HEADER, SOUND, odd, SOUND]))
    assert cells(tmp_path / "predicted") == ["1", "1", "75.0", "100.0", ""]


@pytest.mark.parametrize(
    ("score", "right"),
    [
        ({"accuracy": 0.5, "interval": [0.25, 0.75], "against": "k.csv"}, "50.0"),
        ({"accuracy": 0.5, "against": "k.csv"}, ""),
        ({"accuracy": 0.5, "interval": None, "against": "k.csv"}, ""),
    ],
)
def test_a_score_is_shown_where_it_is_whole(tmp_path, score, right):
    (tmp_path / "predicted").mkdir()
    (tmp_path / "predicted/t.csv").write_text("\n".join([HEADER, SOUND]))
    (tmp_path / "predicted/t.score.json").write_text(json.dumps(score))
    assert cells(tmp_path / "predicted")[4] == right
