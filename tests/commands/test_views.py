"""``ssl views`` as a user runs it."""

import numpy as np
import pytest
from experiments import CONF
from omegaconf import OmegaConf
from PIL import Image

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
