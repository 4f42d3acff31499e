"""Boxes cut out of images of different shapes, and resized; only the box of each image is read."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.augment.geometry import crop_resize
from ssl_cli.augment.subset import apply_where
from ssl_cli.photos import Photos
from ssl_cli.system.transfer import send

TOGETHER = 64  # boxes that a GPU handles at once


def crop_resize_each(
    photos: Photos,
    boxes: Tensor,
    out_size: tuple[int, int],
    flip: Tensor,
    vertical_flip: Tensor,
    bicubic: bool = False,
) -> Tensor:
    """Return [B, C, *out_size] float in [0, 1]: a box of each photo, resized as `crop_resize` resizes boxes of images.

    Args:
        photos: B photos.
        boxes: [B, 4] top, left, height and width in whole pixels, inside the photo.
        out_size: height and width of the result, in pixels.
        flip: [B] bool, whether to mirror left to right.
        vertical_flip: [B] bool, whether to mirror upside down.
        bicubic: instead of bilinear.
    """
    how = one_by_one if photos.device.type == "cpu" else alike_together
    return how(photos, boxes, out_size, flip, vertical_flip, bicubic)


def one_by_one(
    photos: Photos, boxes: Tensor, out_size: tuple[int, int], flip: Tensor, vertical_flip: Tensor, bicubic: bool
) -> Tensor:
    """Cut and resize box after box: on a CPU a third of the time of matrix products."""
    out = torch.empty(len(photos), photos.channels, *out_size)
    mode = "bicubic" if bicubic else "bilinear"
    for i, (top, left, height, width) in enumerate(boxes.long().tolist()):
        box = photos[i][:, top : top + height, left : left + width].float().div_(255)
        out[i] = F.interpolate(box[None], out_size, mode=mode, antialias=True, align_corners=False)[0]
    out = apply_where(flip, out.clamp_(0, 1) if bicubic else out, lambda rows: rows.flip(3))
    return apply_where(vertical_flip, out, lambda rows: rows.flip(2))


def alike_together(
    photos: Photos, boxes: Tensor, out_size: tuple[int, int], flip: Tensor, vertical_flip: Tensor, bicubic: bool
) -> Tensor:
    """Cut and resize boxes of similar size in a few large steps: one by one, a GPU would wait."""
    out = torch.empty(len(photos), photos.channels, *out_size, device=photos.device)
    boxes = boxes.cpu()
    for rows in boxes[:, 2:].prod(1).argsort().split(TOGETHER):
        pixels = _read(photos[rows], boxes[rows].long()).float().div_(255)
        at_corner = boxes[rows] * boxes.new_tensor([0, 0, 1, 1])
        cut = crop_resize(pixels, at_corner, out_size, flip[rows], vertical_flip[rows], bicubic)
        out.index_copy_(0, send(rows, out.device), cut)
    return out


def _read(photos: Photos, boxes: Tensor) -> Tensor:
    """Return boxes [B, 4] int64 as [B, C, h, w] uint8, h and w of the largest; the rest of each row is arbitrary."""
    planes = photos.heights * photos.widths
    start, plane, line, top, left, height, width = (
        send(v, photos.device).view(-1, 1, 1, 1) for v in (photos.starts, planes, photos.widths, *boxes.unbind(1))
    )
    shape = (photos.channels, *boxes[:, 2:].amax(0).tolist())
    channel, y, x = (torch.arange(count, device=photos.device) for count in shape)
    y, x = torch.minimum(y.view(-1, 1), height - 1), torch.minimum(x, width - 1)
    return photos.flat[start + channel.view(-1, 1, 1) * plane + (top + y) * line + left + x]
