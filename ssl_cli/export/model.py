"""A trained model as it is used: frozen, with its classifier where it has one, and with its transform."""

import os

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from ssl_cli.augment.colour import to_input
from ssl_cli.backbones.base import Backbone
from ssl_cli.data.images.files.cache import as_images
from ssl_cli.data.images.files.decode import BrokenImage, decode
from ssl_cli.data.images.files.depth import Ranges
from ssl_cli.data.images.squares import Squares
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError


class Model(nn.Module):
    """A frozen backbone in evaluation mode, on the CPU until it is moved.

    Attributes:
        info: what its run knew of its images: ``image_size``, ``channels``, ``mean``, ``std``, ``classes``, ...
        head: the linear classifier on its features; None: it has none.
        classes: names in the order of the probabilities; () without a head.
        dim: width of the features.
    """

    def __init__(self, backbone: Backbone, info: DataInfo, head: nn.Linear | None = None, reading: int = 2):
        super().__init__()
        self.backbone, self.head, self.info = backbone, head, info
        self.classes, self.dim = info.classes if head is not None else (), backbone.dim
        self._reading = min(reading, 2)  # the third rules are of classes
        self.to(memory_format=torch.contiguous_format).requires_grad_(False).eval()

    def transform(self, image: "str | os.PathLike | Image.Image") -> Tensor:
        """Return what the network is to see of one image, [C, image_size, image_size] float32, normalised.

        A file is decoded as those of the run were, to the last bit. An image of Pillow, of at most 8 bits a value, is
        made upright, laid over white where it is transparent, and resized likewise.

        Raises:
            UserError: the file cannot be read, or the image has more than 8 bits a value.
        """
        info = self.info
        size, channels, side = info.image_size, info.channels, info.stored_size or info.image_size
        if isinstance(image, Image.Image):
            pixels = torch.from_numpy(np.array(_square(image, size, "L" if channels == 1 else "RGB"), order="C"))
        else:
            try:
                stored, _ = decode(os.fspath(image), side, channels, self._ranges, self._reading, info.keep_aspect)
            except (BrokenImage, KeyError) as error:
                raise UserError(f"cannot read {os.fspath(image)}: {error}") from error
            read = torch.from_numpy(np.array(stored, order="C"))
            whole = as_images(read.flatten(), [stored.shape[1:]]) if info.keep_aspect else read.unsqueeze(0)
            pixels = Squares(whole, size)[0]
        return to_input(pixels, info.mean, info.std)

    def forward(self, images: Tensor) -> Tensor:
        """Return features [B, dim] float32 of images [B, C, H, W] as `transform` makes them."""
        with torch.autocast(images.device.type, enabled=False):
            return self.backbone(images)

    def predict(self, images: Tensor) -> Tensor:
        """Return the probability of each of the ``classes`` [B, K] of images [B, C, H, W] as `transform` makes them.

        Raises:
            UserError: the model has no classifier.
        """
        if self.head is None:
            raise UserError("this model has learned no classifier; `ssl export head=linear` fits one")
        return self.head(self(images)).softmax(1)

    @property
    def _ranges(self) -> Ranges:
        return {kind: (low, high) for kind, (low, high) in (self.info.value_range or {}).items()}


def _square(image: Image.Image, size: int, mode: str) -> np.ndarray:
    """Return the centre square [C, size, size] uint8."""
    if image.mode.startswith(("I", "F")):
        raise UserError(
            f"an image of mode {image.mode} has more than 8 bits a value, and how it was brought to 8 is known of "
            "files alone; give transform() the path of its file"
        )
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image = image.convert(mode)
    side = min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    if image.size != (size, size):
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(image).reshape(size, size, len(mode)).transpose(2, 0, 1)
