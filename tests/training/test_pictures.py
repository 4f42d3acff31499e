"""Grids of images, and what a run draws of its reconstructions and samples."""

import numpy as np
import torch
from experiments import train
from PIL import Image

from ssl_cli.training.pictures import grid, save_grid


def test_every_image_is_in_its_place_enlarged_by_whole_pixels():
    images = torch.rand(2, 3, 1, 20, 20)
    picture = np.asarray(grid(images))
    assert picture.shape == (2 * 80 + 2, 3 * 80 + 4, 3)  # 20 pixels become 80, with 2 between
    tile = picture[82 : 82 + 80, 2 * 82 : 2 * 82 + 80]
    expected = (images[1, 2, 0] * 255).round().byte().numpy().repeat(4, 0).repeat(4, 1)
    assert (tile == expected[..., None]).all()
    assert (picture[80:82] == 255).all()


def test_values_out_of_range_are_clipped_and_colours_kept(tmp_path):
    images = torch.tensor([-1.0, 0.5, 9.0]).view(1, 1, 3, 1, 1).expand(1, 1, 3, 64, 64)
    save_grid(tmp_path / "plots/a.png", images)
    save_grid(tmp_path / "plots/a.png", images)
    assert [f.name for f in (tmp_path / "plots").iterdir()] == ["a.png"]
    assert Image.open(tmp_path / "plots/a.png").getpixel((5, 5)) == (0, 128, 255)
    assert np.asarray(grid(torch.full((1, 1, 1, 2, 2), float("nan")))).max() == 0


def test_a_run_draws_what_its_method_shows(tmp_path):
    _, run = train(tmp_path / "run", ["method=simmim", "trainer.max_steps=2", "backbone.widths=[8,16,32]"])
    picture = Image.open(run.path / "plots/reconstruction.png")
    assert picture.size == (3 * 64 + 4, 8 * 64 + 14)
    _, none = train(tmp_path / "none", ["method=simclr", "trainer.max_steps=2", "backbone.widths=[8,16,32]"])
    assert not (none.path / "plots").exists()
