"""Every geometric operation against torchvision, image by image."""

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F1
from torchvision.transforms.v2 import functional as F2

from ssl_cli.augment.geometry import affine, crop_resize


@pytest.mark.parametrize(("channels", "height", "width", "out"), [(3, 32, 32, 32), (1, 17, 29, 8), (3, 12, 20, 31)])
def test_crop_resize(channels, height, width, out):
    generator = torch.Generator().manual_seed(0)
    n = 60  # boxes from one pixel to the whole image: both up- and down-sampling
    images = torch.rand(n, channels, height, width, generator=generator)
    h = torch.randint(1, height + 1, (n,), generator=generator)
    w = torch.randint(1, width + 1, (n,), generator=generator)
    top = (torch.rand(n, generator=generator) * (height - h + 1)).long()
    left = (torch.rand(n, generator=generator) * (width - w + 1)).long()
    boxes = torch.stack([top, left, h, w], dim=1)
    flip, vertical = torch.rand(2, n, generator=generator) < 0.5

    ours = crop_resize(images, boxes, (out, out + 3), flip, vertical)
    for i in range(n):
        theirs = F2.resized_crop(images[i], *boxes[i].tolist(), [out, out + 3], antialias=True)
        theirs = F2.horizontal_flip(theirs) if flip[i] else theirs
        theirs = F2.vertical_flip(theirs) if vertical[i] else theirs
        torch.testing.assert_close(ours[i], theirs, atol=1e-5, rtol=0)


def test_whole_box_is_the_image_itself():
    images = torch.rand(4, 3, 16, 16)
    boxes = torch.tensor([0.0, 0, 16, 16]).expand(4, 4)
    torch.testing.assert_close(crop_resize(images, boxes, (16, 16)), images)


@pytest.mark.parametrize("fill", [0.0, 0.3])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 20, 13)])
def test_affine(channels, height, width, fill):
    generator = torch.Generator().manual_seed(1)
    n = 30
    images = torch.rand(n, channels, height, width, generator=generator)
    angle = torch.rand(n, generator=generator) * 360 - 180
    translate = torch.rand(n, 2, generator=generator) * 8 - 4
    scale = torch.rand(n, generator=generator) * 1.5 + 0.5
    shear = torch.rand(n, 2, generator=generator) * 60 - 30
    ours = affine(images, angle, translate, scale, shear, fill=fill)
    for i in range(n):
        theirs = F1.affine(
            images[i],
            angle[i].item(),
            translate[i].tolist(),
            scale[i].item(),
            shear[i].tolist(),
            interpolation=InterpolationMode.BILINEAR,
            fill=[fill],
        )
        torch.testing.assert_close(ours[i], theirs, atol=1e-5, rtol=0)
