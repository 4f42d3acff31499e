"""``ssl views`` as a user runs it."""

import numpy as np
import pytest
from experiments import CONF
from omegaconf import OmegaConf
from PIL import Image, ImageSequence

from ssl_cli.data.clips import moving_shapes

PRETEXTS = {
    file.stem: OmegaConf.load(file).get("_kinds_", ["image"])[0]
    for file in sorted((CONF / "pretext").glob("[!_]*.yaml"))
}
DRAWN = {
    "image": ["dataset=shapes", "dataset.num_images=70"],
    "clip": ["dataset=moving_shapes", "dataset.num_clips=64"],
}


def test_the_first_column_is_the_image_itself(ssl):
    outcome = ssl("views", "images=3", "hydra.run.dir=out", "dataset.storage_size=32")
    assert outcome.status == 0, outcome.err
    assert "out/views.png" in outcome.out
    picture = np.asarray(Image.open(ssl.cwd / "out/views.png"))
    assert picture.shape == (22 + 3 * 100 - 4, 3 * 100 - 4, 3)
    tiles = picture[22 : 22 + 96, :96, 0].reshape(32, 3, 32, 3)
    assert (tiles == tiles[:, :1, :, :1]).all() and len(np.unique(tiles)) > 20
    assert all((picture[:22, x : x + 96] < 100).any() for x in (0, 100, 200))  # headings
    assert [f.name for f in (ssl.cwd / "out").iterdir()] == ["views.png"]
    again = ssl("views", "hydra.run.dir=out")
    assert again.status == 2 and "nothing was overwritten" in again.err


def test_clips_move_frame_by_frame_and_their_views_beside_them(ssl):
    clips = moving_shapes.load(num_clips=64).clips.permute(0, 1, 3, 4, 2).numpy()  # [N, 16, 32, 32, 3]
    outcome = ssl("views", *DRAWN["clip"], "augment=none", "images=3", "hydra.run.dir=out")
    assert outcome.status == 0 and "moving: out/moving.png" in outcome.out, outcome.err
    moving = Image.open(ssl.cwd / "out/moving.png")
    assert (moving.n_frames, moving.info["loop"], moving.info["duration"]) == (16, 0, 125)
    frames = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(moving)])
    for top in (22, 122, 222):
        clip, view, other = (frames[:, top + 1 : top + 96 : 3, x + 1 : x + 96 : 3] for x in (0, 100, 200))
        assert (clip == clips).all((1, 2, 3, 4)).sum() == 1
        for segment in (view, other):  # of eight frames, twice
            assert (segment[:8] == segment[8:]).all()
            assert sum((clip[start : start + 8] == segment[:8]).all() for start in range(9)) == 1


def test_a_clip_of_one_frame_does_not_move(ssl):
    outcome = ssl("views", *DRAWN["clip"], "dataset.frames=1", "dataset.view_frames=1", "hydra.run.dir=out")
    assert outcome.status == 0 and "moving:" not in outcome.out, outcome.err


@pytest.mark.parametrize("pretext", [name for name, kind in PRETEXTS.items() if kind in DRAWN])  # texts are no picture
def test_every_pretext_can_be_drawn(pretext, tmp_path, monkeypatch):
    from ssl_cli.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ssl"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    data = [*DRAWN[PRETEXTS[pretext]], "images=4", "hydra.run.dir=out"]
    assert main(["views", f"pretext={pretext}", *data]) == 0
    assert Image.open(tmp_path / "out/views.png").width >= 196


def test_bad_input_to_views(ssl):
    for args, text in (
        (["images=0"], "images=0"),
        (["pretext=rotate"], "rotat"),
        (["imags=3"], "did you mean 'images'"),
        (["pretext=colorization"], "grey"),
    ):
        outcome = ssl("views", *args)
        assert outcome.status == 2 and text in outcome.err and len(outcome.err.strip().splitlines()) == 1, outcome.err
    assert not ssl.files()
