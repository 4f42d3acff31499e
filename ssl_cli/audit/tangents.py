"""A quick test of whether one image could be another that was moved and scaled a little."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

FINE, SIDE = 16, 8  # pixels that slopes are taken at, and that images are compared at
AT_A_TIME = 1 << 15  # pairs


class Tangents:
    """What each image becomes when it is moved and scaled a little, as a plane that others are held against.

    The share of an image that lies in the plane of another (tangent distance, Simard et al. 1993) costs a product of a
    few numbers, where aligning the two takes steps.

    Args:
        parts: of the images, [n, C, H, W] float.
    """

    def __init__(self, parts: Iterable[Tensor]):
        planes, images = zip(*map(_plane, parts), strict=True)
        self.planes = torch.cat(planes)  # [N, 64, 5], orthonormal
        self.images = torch.cat(images)  # [N, 64]
        self.mirrored = self.images.view(-1, SIDE, SIDE).flip(-1).flatten(1)

    def share(self, first: Tensor, second: Tensor, mirrored: Tensor) -> Tensor:
        """Return how much [p], in [0, 1], of one image lies in the plane of the other, whichever way round is more.

        Args:
            first: [p] positions.
            second: [p] positions.
            mirrored: [p] 1 where one of the two is mirrored, else 0.
        """
        found = []
        for rows in torch.arange(len(first)).split(AT_A_TIME):
            a, b, turned = first[rows], second[rows], mirrored[rows, None] > 0
            ways = []
            for one, other in ((a, b), (b, a)):
                image = torch.where(turned, self.mirrored[one], self.images[one])
                ways.append((image[:, None] @ self.planes[other]).square().sum((1, 2)))
            found.append(torch.maximum(*ways))
        return torch.cat(found) if found else torch.empty(0)


def _plane(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return what images [n, C, H, W] may become, as orthonormal planes [n, 64, 5], and themselves [n, 64]."""
    grey = F.adaptive_avg_pool2d(images.mean(1, keepdim=True), FINE)
    line = (torch.arange(FINE) * 2 + 1) / FINE - 1
    across, down = (torch.gradient(grey, dim=dim)[0] for dim in (-1, -2))
    changes = torch.cat([grey, across * line, down * line[:, None], across, down], 1)
    changes = F.adaptive_avg_pool2d(changes, SIDE).flatten(2)
    changes = F.normalize(changes - changes.mean(-1, keepdim=True), dim=-1)
    noise = torch.randn(changes.shape[1:], generator=torch.Generator().manual_seed(0))
    # The noise keeps a plane one where slopes are 0.
    return torch.linalg.qr((changes + 1e-4 * noise).mT).Q, changes[:, 0]
