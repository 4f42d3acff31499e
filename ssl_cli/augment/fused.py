"""The colours of a batch changed in a few kernels of a GPU, made by torch's compiler.

`colour.color_jitter` gathers the images that have an operation in the same place, which on a GPU is many small kernels
and copies. Here every operation runs on every image, and what it makes is kept where the image drew it: more
arithmetic, that a compiler puts into few passes over the memory.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ssl_cli.augment import colour
from ssl_cli.system.transfer import send


def recolour(images: Tensor, operations: tuple[Callable, ...], factors: Tensor, order: Tensor, grey: Tensor) -> Tensor:
    """Apply the operations to each image in its own order, then take the colour away where asked.

    Args:
        images: [B, C, H, W] in [0, 1].
        operations: K functions of `ssl_cli.augment.colour`.
        factors: [K, B] their parameters.
        order: [P, B] integers: which operation an image has in each place; none of 0..K-1: no operation.
        grey: [B] bool.
    """
    for place in order:
        kept = images
        for k, operation in enumerate(operations):
            images = torch.where((place == k).view(-1, 1, 1, 1), operation(kept, factors[k]), images)
    return torch.where(grey.view(-1, 1, 1, 1), colour.grayscale(images), images)


def fused(run: Callable = recolour) -> Callable[[Tensor, Sequence, Tensor | None, Tensor | None], Tensor]:
    """Return what `Augment` may call in place of its own: (images, operations with parameters, order, grey) to images.

    Args:
        run: `recolour`, compiled or as it is.
    """

    def changed(images: Tensor, operations: Sequence, order: Tensor | None, grey: Tensor | None) -> Tensor:
        n = len(images)
        order = torch.full((n, 0), -1) if order is None else order
        grey = torch.zeros(n, dtype=torch.bool) if grey is None else grey
        if not order.shape[1]:
            operations = ()
        # One copy to the device: every number fits into a float32.
        rows = [*(parameter for _, parameter in operations), *order.mT.float(), grey.float()]
        numbers = send(torch.stack([row.cpu() for row in rows]), images.device, images.dtype)
        k, places = len(operations), order.shape[1]
        functions = tuple(operation for operation, _ in operations)
        return run(images, functions, numbers[:k], numbers[k : k + places], numbers[-1] > 0.5)

    return changed
