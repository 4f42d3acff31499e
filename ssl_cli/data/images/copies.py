"""Test images that are in train, too: what is right about them tells nothing of new images."""

import hashlib

import torch
from torch import Tensor

from ssl_cli.data.images.base import ImageData
from ssl_cli.photos import Photos

STRIP = 256  # bytes in the middle of an image that are compared first: of a mapped file one page an image is read
CHUNK = 4096  # images at a time


def copied(data: ImageData) -> Tensor:
    """Return [n] bool: which images of the test split have the same pixels, as stored, as an image of train."""
    train, test = data.splits["train"], data.splits["test"]
    stored = data.cut_from
    pixels = Rows(stored) if isinstance(stored, Photos) else stored.flatten(1)
    strip = _middle(pixels)
    of_train, of_test = (_numbers(strip, rows) for rows in (train, test))
    known = {_digest(pixels[i]) for i in train[torch.isin(of_train, of_test)].tolist()}
    perhaps = torch.isin(of_test, of_train)
    found = [_digest(pixels[i]) in known for i in test[perhaps].tolist()]
    perhaps[perhaps.clone()] = torch.tensor(found, dtype=torch.bool)
    return perhaps


class Rows:
    """Whole images as rows of bytes, that have lengths of their own; indexed as far as this file needs it."""

    def __init__(self, photos: Photos):
        self.photos = photos

    def __getitem__(self, i: int) -> Tensor:
        """Return an image's bytes, its width before them: other shapes are other images."""
        image = self.photos[i]
        width = torch.tensor([image.shape[-1]]).view(torch.uint8)
        return torch.cat([width, image.flatten()])

    def strips(self) -> Tensor:
        """Return the bytes in the middle of each image [n, STRIP], as far as it has so many."""
        photos, out = self.photos, torch.zeros(len(self.photos), STRIP, dtype=torch.uint8)
        for strip, start, length in zip(out, photos.starts.tolist(), photos.lengths.tolist(), strict=True):
            count = min(STRIP, length)
            begin = start + (length - count) // 2
            strip[:count] = photos.flat[begin : begin + count]
        return out


def described(data: ImageData) -> str:
    """Return how many test images are in train, for the plan of a run; "" where there is no test image."""
    count, total = int(copied(data).sum()), len(data.splits["test"])
    if not total:
        return ""
    second = "; every result has a second number without them" if count else ""
    return f"{count:,} of {total:,} test images are in train, pixel for pixel{second}"


def _middle(pixels: Tensor | Rows) -> Tensor:
    if isinstance(pixels, Rows):
        return pixels.strips()
    start = max(0, pixels.shape[1] - STRIP) // 2
    return pixels[:, start : start + STRIP]


def _numbers(strip: Tensor, rows: Tensor) -> Tensor:
    """Return a number for each of the rows: equal for equal bytes in the middle, rarely for others."""
    weights = torch.randint(-(2**62), 2**62, (strip.shape[1],), generator=torch.Generator().manual_seed(0))
    return torch.cat([(strip[chunk].long() * weights).sum(1) for chunk in rows.split(CHUNK)])


def _digest(pixels: Tensor) -> bytes:
    return hashlib.blake2b(pixels.numpy().tobytes(), digest_size=16).digest()
