"""Colours changed by masks against colours changed by gathering: the same draws, the same images."""

import pytest
import torch
from experiments import composed

from ssl_cli.augment.fused import fused, recolour
from ssl_cli.config.build import instantiate


@pytest.mark.parametrize("recipe", ["simclr", "dino", "grey", "digits", "none", "weak"])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_recipe_that_gathers(recipe, channels):
    augment = instantiate(composed("train", [f"augment={recipe}"]).augment)
    images = torch.randint(0, 256, (24, channels, 16, 16), dtype=torch.uint8, generator=torch.manual_seed(0))

    def views():
        generator = torch.Generator().manual_seed(3)
        return augment(images, [0.5] * channels, [0.25] * channels, generator, views=2)

    expected = views()
    augment.fused = fused()
    for ours, theirs in zip(views(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


@pytest.mark.slow
def test_equals_itself_compiled():
    augment = instantiate(composed("train", ["augment=simclr"]).augment)
    images = torch.randint(0, 256, (24, 3, 16, 16), dtype=torch.uint8, generator=torch.manual_seed(0))
    augment.fused = fused()
    (expected,) = augment(images, [0.5] * 3, [0.25] * 3, torch.Generator().manual_seed(3))
    augment.fused = fused(torch.compile(recolour, dynamic=False, fullgraph=True))
    (found,) = augment(images, [0.5] * 3, [0.25] * 3, torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
