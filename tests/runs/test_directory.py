"""Run directories and checkpoints: claimed once, replaced whole, damage noticed."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from omegaconf import OmegaConf

from ssl_cli.errors import RunError, UserError
from ssl_cli.runs import checkpoint
from ssl_cli.runs.directory import RunDir

CONFIG = OmegaConf.create({"seed": 0})
REST = {"config": {}, "data": {}, "progress": {"step": 1}}


def test_runs_that_want_the_same_name_get_their_own_directories(tmp_path):
    def create(_):
        return RunDir.create(tmp_path / "12-00-00-simclr", CONFIG, chosen_by_user=False).path

    with ThreadPoolExecutor(16) as pool:
        paths = set(pool.map(create, range(32)))
    assert len(paths) == 32
    assert {path.name for path in paths} >= {"12-00-00-simclr", "12-00-00-simclr-2", "12-00-00-simclr-32"}


def test_a_directory_that_the_user_chose_is_never_reused(tmp_path):
    RunDir.create(tmp_path / "mine", CONFIG, chosen_by_user=True)
    with pytest.raises(UserError, match="mine exists and is not empty; nothing was overwritten"):
        RunDir.create(tmp_path / "mine", CONFIG, chosen_by_user=True)


def test_a_checkpoint_comes_back_and_every_kind_of_damage_is_noticed(tmp_path):
    file = tmp_path / "last.pt"
    checkpoint.save(file, {**REST, "model": {"w": torch.arange(1000.0)}})
    assert torch.equal(checkpoint.load(file)["model"]["w"], torch.arange(1000.0))
    payload = file.read_bytes()
    for position in range(0, len(payload), 97):
        damaged = bytearray(payload)
        damaged[position] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            checkpoint.load(file)
    file.write_bytes(payload[:500])
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(file)


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_checkpoint_and_no_rest(tmp_path, monkeypatch, failing):
    file = tmp_path / "last.pt"
    checkpoint.save(file, {**REST, "model": {}, "step": 1})

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if failing == "fsync":
            patch.setattr("os.fsync", fail)
        elif failing == "replace":
            patch.setattr("pathlib.Path.replace", fail)
        else:
            patch.setattr("pathlib.Path.open", fail)
        with pytest.raises(RunError, match=r"No space left on device; it needs \d+ MB and [\d,]+ MB are free.*whole"):
            checkpoint.save(file, {**REST, "model": {}, "step": 2})
    assert checkpoint.load(file)["step"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", "last.pt.sha256"}


def test_a_crash_between_the_sum_and_the_file_leaves_a_sound_pair(tmp_path, monkeypatch):
    file = tmp_path / "last.pt"
    checkpoint.save(file, {**REST, "model": {}, "step": 1})

    def crash(self, target):
        raise KeyboardInterrupt

    real = checkpoint.replace

    def crash_after(path, payload):
        real(path, payload)
        monkeypatch.setattr("pathlib.Path.replace", crash)  # the next rename is the checkpoint's own

    monkeypatch.setattr(checkpoint, "replace", crash_after)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(file, {**REST, "model": {}, "step": 2})
    assert checkpoint.load(file)["step"] == 1


def test_the_save_before_the_last_is_kept_and_stands_in_for_a_damaged_one(tmp_path):
    last, previous = tmp_path / "last.pt", tmp_path / "previous.pt"
    for step in range(1, 5):
        content = {**REST, "progress": {"step": step}, "model": {"w": torch.full((500,), float(step))}}
        checkpoint.save(last, content, previous)
    assert checkpoint.load(previous)["progress"]["step"] == 3
    assert checkpoint.newest_sound(tmp_path)[0] == last
    payload = last.read_bytes()
    for damage in (b"", payload[:700], payload[:-40], bytes([payload[0] ^ 1]) + payload[1:]):
        last.write_bytes(damage)
        file, content, problems = checkpoint.newest_sound(tmp_path)
        assert file == previous and content["model"]["w"][0] == 3 and "last.pt" in problems[0]
    last.unlink()
    assert checkpoint.newest_sound(tmp_path)[0] == previous
    previous.write_bytes(b"torn")
    with pytest.raises(UserError, match="last.pt"):
        checkpoint.newest_sound(tmp_path)
