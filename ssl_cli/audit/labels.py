"""What a trained backbone says of labels: images whose neighbours carry another one, and images far from all others."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_cli.probes.progress import tracked

AT_A_TIME = 1 << 24  # similarities
FAR = 3.0  # times the distance between the quartiles, above the upper one
SHARE = 0.01  # of images that are outliers, at most


@dataclass(frozen=True)
class Neighbourhood:
    """What stands near each of n images."""

    votes: Tensor  # [n, classes] share of the neighbours' weight that has each label
    distance: Tensor  # [n] to the k-th neighbour that is no copy, or the last there is, as 1 - cosine; 0: there is none


def neighbourhood(features: Tensor, labels: Tensor, classes: int, k: int, same: Tensor) -> Neighbourhood:
    """Return the votes of the nearest labelled images, an image itself and its copies left out.

    Args:
        features: [n, d] of unit length.
        labels: [n] int64; -1 = none, which has no vote.
        classes: how many there are.
        k: neighbours; fewer where there are not so many.
        same: [n] number of the cluster of copies that an image is in; -1: of none.
    """
    n = len(features)
    k = min(k, n - 1)
    votes, distance = torch.zeros(n, max(classes, 1)), torch.zeros(n)
    if k < 1:
        return Neighbourhood(votes, distance)
    for rows in tracked(torch.arange(n).split(max(1, AT_A_TIME // n))):
        similarity = features[rows] @ features.T
        similarity[torch.arange(len(rows)), rows] = -2.0
        copies = (same[rows, None] == same) & (same[rows, None] >= 0)
        similarity[copies] = -2.0
        near, who = similarity.topk(k, dim=1)
        others = near > -2.0  # fewer than k where most images are copies
        distance[rows] = 1 - near.where(others, torch.inf).amin(1).nan_to_num(posinf=1.0)
        who_says = labels[who]
        weight = (near.clamp(min=0) + 1e-6) * ((who_says >= 0) & others)
        found = torch.zeros(len(rows), max(classes, 1)).scatter_add_(1, who_says.clamp(min=0), weight)
        votes[rows] = found / found.sum(1, keepdim=True).clamp(min=1e-12)
    return Neighbourhood(votes, distance)


def suspicious(votes: Tensor, labels: Tensor) -> Tensor:
    """Return which images [n] bool have neighbours that agree on another label (confident learning, Northcutt 2021).

    Another class is agreed on where its share is at least what it is, on average, near images that carry it; the own
    label is doubted where its share is below the half of such an average.
    """
    classes = votes.shape[1]
    known = labels >= 0
    usual = torch.stack([votes[known & (labels == c), c].mean() for c in range(classes)]).nan_to_num(2.0)
    own = votes.gather(1, labels.clamp(min=0)[:, None])[:, 0]
    sure = (votes >= usual) & (torch.arange(classes) != labels[:, None])
    return known & sure.any(1) & (own < usual[labels.clamp(min=0)] / 2) & (votes.argmax(1) != labels)


def outliers(distance: Tensor) -> Tensor:
    """Return which images [n] bool are far from their neighbours, by the distances of all; a hundredth at most."""
    if len(distance) < 4:
        return torch.zeros(len(distance), dtype=torch.bool)
    low, high = distance.quantile(torch.tensor([0.25, 0.75]))
    far = distance > high + FAR * (high - low)
    most = max(1, int(SHARE * len(distance)))
    if int(far.sum()) > most:
        far &= distance >= distance.topk(most).values[-1]
    return far
