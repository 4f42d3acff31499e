"""Every geometric operation against torchvision, image by image."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F1
from torchvision.transforms.v2 import functional as F2

from ssl_cli.augment.geometry import affine, crop_resize, shift


@pytest.mark.parametrize("bicubic", [False, True])
@pytest.mark.parametrize(("channels", "height", "width", "out"), [(3, 32, 32, 32), (1, 17, 29, 8), (3, 12, 20, 31)])
def test_crop_resize(channels, height, width, out, bicubic):
    generator = torch.Generator().manual_seed(0)
    n = 60  # boxes from one pixel to the whole image: both up- and down-sampling
    images = torch.rand(n, channels, height, width, generator=generator)
    h = torch.randint(1, height + 1, (n,), generator=generator)
    w = torch.randint(1, width + 1, (n,), generator=generator)
    top = (torch.rand(n, generator=generator) * (height - h + 1)).long()
    left = (torch.rand(n, generator=generator) * (width - w + 1)).long()
    boxes = torch.stack([top, left, h, w], dim=1)
    flip, vertical = torch.rand(2, n, generator=generator) < 0.5

    ours = crop_resize(images, boxes, (out, out + 3), flip, vertical, bicubic)
    how = InterpolationMode.BICUBIC if bicubic else InterpolationMode.BILINEAR
    for i in range(n):
        theirs = F2.resized_crop(images[i], *boxes[i].tolist(), [out, out + 3], how, antialias=True).clamp(0, 1)
        theirs = F2.horizontal_flip(theirs) if flip[i] else theirs
        theirs = F2.vertical_flip(theirs) if vertical[i] else theirs
        torch.testing.assert_close(ours[i], theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["BILINEAR", "BICUBIC"])
def test_a_resized_crop_is_pillows_to_its_rounding(kind):
    # Of middle brightness: what overshoots, Pillow cuts off after each of its two passes.
    images = torch.randint(64, 192, (20, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    boxes = torch.tensor([(2, 3, 9 + i, 12 + i // 2) for i in range(20)])
    ours = 255 * crop_resize(images / 255, boxes, (24, 24), bicubic=kind == "BICUBIC")
    for image, (top, left, h, w), view in zip(images, boxes.tolist(), ours, strict=True):
        photo = Image.fromarray(image.permute(1, 2, 0).numpy()).crop((left, top, left + w, top + h))
        theirs = torch.from_numpy(np.array(photo.resize((24, 24), Image.Resampling[kind]))).permute(2, 0, 1)
        assert (view - theirs).abs().max() < 1.5  # it also rounds to bytes after each


@pytest.mark.parametrize("black", [False, True])
def test_shift_is_numpys_padding_and_a_slice_bit_for_bit(black):
    images = torch.rand(25, 3, 12, 9)
    down, right = (places.flatten() for places in torch.meshgrid(2 * [torch.arange(-8, 9, 4)], indexing="ij"))
    mode = "constant" if black else "reflect"
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (8, 8), (8, 8)), mode)
    before = images.clone()
    ours = shift(images, down, right, black)
    for i, (y, x) in enumerate(zip((8 + down).tolist(), (8 + right).tolist(), strict=True)):
        np.testing.assert_array_equal(ours[i].numpy(), padded[i, :, y : y + 12, x : x + 9])
    assert torch.equal(images, before)


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
