"""Colour changes of a batch in a few GPU kernels, made by torch's compiler.

`colour.color_jitter` gathers the images that have an operation in the same place: on a GPU many small kernels and
copies. Here every operation runs on every image, and an image keeps the result if it drew that operation. This is more
arithmetic, but the compiler needs only few passes over the memory.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ssl_cli.augment import colour
from ssl_cli.system.transfer import send


def recolour(images: Tensor, operations: tuple[Callable, ...], factors: Tensor, order: Tensor, grey: Tensor) -> Tensor:
    """Apply the operations to each image in its own order, then make chosen images grey.

    Args:
        images: [B, C, H, W] in [0, 1].
        operations: K functions of `ssl_cli.augment.colour`.
        factors: [K, B] their parameters.
        order: [P, B] integers: an image's operation in each place; a number outside 0..K-1: no operation.
        grey: [B] bool.
    """
    for place in order:
        kept = images
        for k, operation in enumerate(operations):
            images = torch.where((place == k).view(-1, 1, 1, 1), operation(kept, factors[k]), images)
    return torch.where(grey.view(-1, 1, 1, 1), colour.grayscale(images), images)


def fused(run: Callable = recolour) -> Callable[[Tensor, Sequence, Tensor | None, Tensor | None], Tensor]:
    """Return a replacement for `Augment`'s own function: (images, operations with parameters, order, grey) to images.

    Args:
        run: `recolour`, compiled or as it is.
    """

    def changed(images: Tensor, operations: Sequence, order: Tensor | None, grey: Tensor | None) -> Tensor:
        n = len(images)
        order = torch.full((n, 0), -1) if order is None else order
        grey = torch.zeros(n, dtype=torch.bool) if grey is None else grey
        if not order.shape[1]:
            operations = ()
        # One copy to the device: a float32 holds each of these numbers.
        rows = [*(parameter for _, parameter in operations), *order.mT.float(), grey.float()]
        numbers = send(torch.stack([row.cpu() for row in rows]), images.device, images.dtype)
        k, places = len(operations), order.shape[1]
        functions = tuple(operation for operation, _ in operations)
        return run(images, functions, numbers[:k], numbers[k : k + places], numbers[-1] > 0.5)

    return changed
