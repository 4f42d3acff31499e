"""Whole images as rows of bytes, for comparing them."""

import torch
from torch import Tensor

from ssl_cli.photos import Photos


class Rows:
    """Whole images as rows of bytes of different lengths; with the indexing that `copies` needs."""

    def __init__(self, photos: Photos):
        self.photos = photos

    def __getitem__(self, i: int) -> Tensor:
        """Return an image's bytes after its width: other shapes are other images."""
        image = self.photos[i]
        width = torch.tensor([image.shape[-1]]).view(torch.uint8)
        return torch.cat([width, image.flatten()])

    def strips(self, length: int) -> Tensor:
        """Return the bytes in the middle of each image [n, length], or fewer if it has fewer."""
        photos, out = self.photos, torch.zeros(len(self.photos), length, dtype=torch.uint8)
        for strip, start, there in zip(out, photos.starts.tolist(), photos.lengths.tolist(), strict=True):
            count = min(length, there)
            begin = start + (there - count) // 2
            strip[:count] = photos.flat[begin : begin + count]
        return out
