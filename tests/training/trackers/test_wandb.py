"""W&B offline: after a kill one directory has the whole run, each step once."""

import io
import os
from importlib.util import find_spec

import pytest
import tracked
from PIL import Image

from ssl_cli.errors import UserError
from ssl_cli.training.trackers.background import Background
from ssl_cli.training.trackers.base import TrackedRun
from ssl_cli.training.trackers.wandb import WandB, has_key

installed = pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
ROWS = [{"step": step, "loss": 1 / step, "epoch": step / 4} for step in range(1, 10)]
SETTINGS = {"mode": "offline", "project": "ssl", "entity": None, "dir": None, "files": True}


def picture(side):
    png = io.BytesIO()
    Image.new("RGB", (side, 3)).save(png, "PNG")
    return png.getvalue()


@installed
def test_a_killed_run_is_one_run_with_each_step_once(tmp_path):
    # What a kill leaves: a log without its last rows, and pictures under the name, the step and a digest.
    before = tmp_path / "wandb/offline-run-20260101_000000-abc123"
    (before / "files/media/images/plots").mkdir(parents=True)
    (before / "run-abc123.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    for step in (2, 4, 6):
        (before / f"files/media/images/plots/my_picture_{step}_0a1b2c.png").write_bytes(picture(step))
    run = TrackedRun(tmp_path, "abc123", "run", "outputs/sweep", {"seed": 3})
    writer = Background("wandb", WandB(**SETTINGS), run, ROWS[:4], 4)
    for row in ROWS[4:]:
        writer.write(row)
    writer.picture(9, "plots/my_picture", picture(9))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.pt").write_text("weights")
    writer.results(9, [{"model": "simclr", "probe": "knn", "labels": "all", "metrics": {"accuracy": {"mean": 0.5}}}])
    writer.close("finished")
    assert writer.complaint() is None
    assert not [name for name in os.environ if name.startswith("WANDB_") and name.endswith("_DIR")]
    found = tracked.wandb(tmp_path / "wandb")
    assert found["loss"] == [(step, pytest.approx(1 / step)) for step in range(1, 10)]
    assert found["test/simclr/knn/all/accuracy"] == [(9, 0.5)]
    assert found["plots/my_picture/width"] == [(2, 2), (4, 4), (9, 9)], "what was done again may show another"
    (log,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    for words in (b"outputs/sweep", b"checkpoints/last.pt", b"run-abc123-results"):
        assert words in log.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"wandb", "checkpoints"}


def test_a_mode_that_there_is_not_is_refused():
    with pytest.raises(UserError, match="tracker.wandb.mode=on is not one of auto, online, offline"):
        WandB(**{**SETTINGS, "mode": "on"})


def test_a_key_is_found_where_wandb_leaves_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    assert not has_key()
    (tmp_path / ".netrc").write_text("machine other.org login user password 1\n")
    assert not has_key()
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password 1\n")
    assert has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.lab")
    assert not has_key()
    monkeypatch.setenv("WANDB_API_KEY", "1")
    assert has_key()


@installed
def test_online_without_a_key_is_told_and_asks_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    told, run = [], TrackedRun(tmp_path, "abc", "run", None, {})
    Background("wandb", WandB(**{**SETTINGS, "mode": "online"}), run, ROWS, 9, told.append).close("interrupted")
    assert ["wandb login" in line for line in told] == [True]
