"""Is the representation collapsing? Four numbers that need no labels, and the rule that warns."""

import torch
from torch import Tensor


def feature_std(z: Tensor) -> float:
    """Return the mean over dimensions of the deviation of unit-length rows [N, d], times sqrt(d).

    About 1 when rows spread over the sphere, 0 when all rows are equal (Chen & He 2020, arXiv:2011.10566, figure 2).
    """
    z = torch.nn.functional.normalize(z.double(), dim=1)
    return (z.std(0, correction=0).mean() * z.shape[1] ** 0.5).item()


def rankme(z: Tensor) -> float:
    """Return the effective rank of [N, d]: the exponential of the entropy of its singular values, in [1, min(N, d)].

    RankMe (Garrido et al. 2023, arXiv:2210.02885), on uncentred rows. It compares runs of one architecture and data.
    """
    singular = torch.linalg.svdvals(z.double())
    share = singular / singular.sum().clamp(min=1e-300) + 1e-7
    return torch.exp(-(share * share.log()).sum()).item()


def alignment(z1: Tensor, z2: Tensor) -> float:
    """Return the mean squared distance of the unit-length rows of two views [N, d]: 0 equal, 2 orthogonal.

    Wang & Isola 2020, arXiv:2005.10242, equation 1 with alpha = 2.
    """
    z1, z2 = (torch.nn.functional.normalize(z.double(), dim=1) for z in (z1, z2))
    return (z1 - z2).square().sum(1).mean().item()


def uniformity(z: Tensor) -> float:
    """Return ``log mean exp(-2 |zi - zj|^2)`` over pairs of unit-length rows [N, d]: 0 collapsed, about -3.9 spread.

    Wang & Isola 2020, arXiv:2005.10242, equation 2 with t = 2.
    """
    z = torch.nn.functional.normalize(z.double(), dim=1)
    return torch.pdist(z).square().mul(-2).exp().mean().log().item()


def collapsed(std: float, rank: float) -> bool:
    """Return whether an embedding has collapsed: to a point, or to a few dimensions.

    No single number suffices: a BatchNorm at the output keeps the deviation of a collapsed network up, and the rank of
    a point's rounding errors can be high.
    """
    return std < 0.2 or rank < 6.0
