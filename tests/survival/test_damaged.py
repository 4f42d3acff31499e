"""A damaged checkpoint is noticed: the newest sound one stands in for it, or the error is clear. Never a wrong resume.

The whole figure, 500 kinds of damage: pytest -m slow tests/survival/test_damaged.py -s
"""

import shutil

import pytest
import torch
from experiments import tensors
from forks import generator

from ssl_cli.errors import UserError
from ssl_cli.runs import checkpoint


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Three saves of a model of some 100 KB: ``last``, ``previous`` and a kept one, and what each holds."""
    directory = tmp_path_factory.mktemp("sound")
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 4):
        weights = {"a": torch.randn(100, 200, generator=generator), "b": torch.randn(37, generator=generator)}
        content = {"config": {"seed": 0}, "data": {"name": "x"}, "progress": {"step": step}, "model": weights}
        checkpoint.save(directory / "last.pt", content, directory / "previous.pt")
        if step == 2:
            checkpoint.keep(directory / "last.pt", directory / "epoch-0001.pt")
    return directory, {
        checkpoint.load(file)["progress"]["step"]: checkpoint.load(file) for file in directory.glob("*.pt")
    }


def check_stand_in(directory, known, damaged):
    """The newest sound checkpoint must be, bit for bit, one of those that were saved."""
    try:
        file, content, problems = checkpoint.newest_sound(directory)
    except UserError as error:
        assert len(damaged) == 3 and "\n" not in str(error)
        return
    original = known[content["progress"]["step"]]
    found, expected = tensors(content), tensors(original)
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)
    assert content["config"] == original["config"]
    if file.name != "last.pt":
        assert problems and "last.pt" in problems[0]


def damages(size, count):
    """Yield a name and a function of bytes to bytes: truncated at every kilobyte, then random bytes changed."""
    kilobytes = list(range(0, size, 1024))
    for at in kilobytes[:: max(1, len(kilobytes) * 2 // count)]:
        yield f"truncated at {at}", lambda payload, at=at: payload[:at]
    for i in range(count):
        random = generator(i)

        def flip(payload, random=random):
            payload = bytearray(payload)
            for _ in range(random.randint(1, 8)):
                payload[random.randrange(len(payload))] ^= 1 << random.randrange(8)
            return bytes(payload)

        yield f"flipped {i}", flip


def damage_one_after_another(checkpoints, directory, count):
    source, known = checkpoints
    done = 0
    for i, (_, damage) in enumerate(damages((source / "last.pt").stat().st_size, count)):
        if done == count:
            break
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(source, directory)
        # Mostly the newest; also its sum, also the two newest, also all.
        which = (
            ["last.pt"],
            ["last.pt.sha256"],
            ["last.pt", "previous.pt"],
            ["last.pt", "previous.pt", "epoch-0001.pt"],
        )
        for name in (names := which[0] if i % 5 else which[i // 5 % 4]):
            (directory / name).write_bytes(damage((directory / name).read_bytes()))
        check_stand_in(directory, known, names)
        done += 1
    return done


def test_damage_is_never_resumed_from(checkpoints, tmp_path):
    assert damage_one_after_another(checkpoints, tmp_path / "damaged", 40) == 40


@pytest.mark.slow
def test_five_hundred_kinds_of_damage(checkpoints, tmp_path):
    assert damage_one_after_another(checkpoints, tmp_path / "damaged", 500) == 500
    print("\n500 of 500: the newest sound checkpoint, or a clear error")


def test_without_its_sum_the_formats_crc_still_tells(checkpoints, tmp_path):
    file = tmp_path / "alone.pt"
    payload = bytearray((checkpoints[0] / "last.pt").read_bytes())
    payload[len(payload) // 2] ^= 1
    file.write_bytes(payload)
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(file)


def test_only_sound_ones_and_none_at_all(checkpoints, tmp_path):
    with pytest.raises(UserError, match="there is no checkpoint"):
        checkpoint.newest_sound(tmp_path)
