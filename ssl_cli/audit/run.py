"""The work of ``ssl audit``: from images with labels and splits to findings, the worst first."""

from collections.abc import Callable

import torch
from torch import Tensor

from ssl_cli.audit import copies, labels, looks
from ssl_cli.audit.copies import Cluster
from ssl_cli.audit.finding import Finding, ordered
from ssl_cli.audit.images import Images
from ssl_cli.pick.geometry import unit
from ssl_cli.probes.progress import measuring


def audit(
    images: Images,
    few: int = 10,
    near: float = copies.NEAR,
    features: Callable[[Tensor], Tensor] | None = None,
    neighbours: int = 20,
) -> list[Finding]:
    """Return what is wrong with a data set, the worst first.

    Args:
        images: of all its splits.
        few: a class with fewer train images is small.
        near: least correlation of the edges of near copies.
        features: positions [n] -> features [n, d] of a frozen model, which tell of labels and outliers; None: no model.
        neighbours: that are asked about a label.
    """
    with measuring("looking at images"):
        small, mean, deviation = looks.small(images.data.images, images.at)
    blank = deviation < looks.BLANK
    same = _copies(images, small, blank, near)
    return ordered(
        [
            *(_of_copies(images, cluster) for cluster in same),
            *_by_themselves(images, mean, deviation, blank),
            *_small_classes(images, few),
            *_torn_groups(images),
            *(_by_features(images, features, neighbours, same, blank) if features else ()),
        ]
    )


def _copies(images: Images, small: Tensor, blank: Tensor, near: float) -> list[Cluster]:
    with measuring("looking for equal pixels"):
        exact = copies.exact_groups(len(images), images.stored, images.original)
    alone = torch.ones(len(images), dtype=torch.bool)
    for group in exact:
        alone[group[1:]] = False  # the first stands for all of them
    alone = (alone & ~blank).nonzero().flatten()
    first, second, alike = copies.near_pairs(small[alone], near)
    first, second = alone[first], alone[second]
    for pair in torch.stack([first, second], 1)[alike >= copies.EQUAL]:  # a JPEG and a PNG of it are stored unlike
        a, b = pair.tolist()
        if images.sizes[a] == images.sizes[b] and (found := images.original(a)) and found == images.original(b):
            exact.append(pair)
    return copies.clusters(len(images), exact, first, second, alike)


def _of_copies(images: Images, cluster: Cluster) -> Finding:
    count = len(cluster.rows)
    if cluster.exact == count:
        return images.found("exact copies", cluster.rows, weight=count)
    detail = f"{cluster.exact} of {count} have equal pixels; " if cluster.exact else ""
    return images.found("near copies", cluster.rows, f"{detail}likeness {cluster.likeness:.2f}", cluster.likeness)


def _by_themselves(images: Images, mean: Tensor, deviation: Tensor, blank: Tensor) -> list[Finding]:
    """Return what is wrong with single images."""
    middle = mean.median()
    found = [
        images.found("blank", [row], f"pixels deviate by {deviation[row]:.1f} of 255 from their mean")
        for row in blank.nonzero().flatten().tolist()
    ]
    found += [
        images.found("extreme brightness", [row], f"mean {mean[row]:.0f} of 255, the median image {middle:.0f}")
        for row in (looks.extreme_brightness(mean) & ~blank).nonzero().flatten().tolist()
    ]
    for kind, of in (("extreme size", looks.extreme_sizes), ("extreme aspect", looks.extreme_aspects)):
        found += [images.found(kind, [row], detail) for row, detail in of(images.sizes).items()]
    return found


def _small_classes(images: Images, few: int) -> list[Finding]:
    train = torch.tensor([split == "train" for split in images.split], dtype=torch.bool)
    found = []
    for number, name in enumerate(images.data.classes):
        rows = (train & (images.labels == number)).nonzero().flatten().tolist()
        if len(rows) < few:
            detail = f"{name}: {len(rows)} train image{'s' * (len(rows) != 1)}"
            found.append(images.found("small class", rows, detail, -len(rows)))
    return found


def _torn_groups(images: Images) -> list[Finding]:
    """Return groups of images (of a patient, a video) that lie in several splits."""
    if images.data.groups is None:
        return []
    rows: dict[int, list[int]] = {}
    for row, group in enumerate(images.data.groups[images.at].tolist()):
        rows.setdefault(group, []).append(row)
    torn = [of for group, of in rows.items() if group >= 0 and len({images.split[row] for row in of}) > 1]
    return [images.found("group leak", of, f"{len(of)} images of one group", len(of)) for of in torn]


def _by_features(
    images: Images, features: Callable[[Tensor], Tensor], k: int, same: list[Cluster], blank: Tensor
) -> list[Finding]:
    """Return labels that neighbours contradict, and outliers, of train and val: test is looked at by nobody."""
    rows = torch.tensor([row for row, split in enumerate(images.split) if split != "test"], dtype=torch.int64)
    cluster = torch.full((len(images),), -1)
    for number, one in enumerate(same):
        cluster[list(one.rows)] = number
    x, given, classes = unit(features(images.at[rows])), images.labels[rows], images.data.classes
    with measuring("looking at neighbours"):
        near = labels.neighbourhood(x, given, len(classes), k, cluster[rows])
    found, middle = [], near.distance.median()
    for i in labels.suspicious(near.votes, given).nonzero().flatten().tolist():
        share, other = near.votes[i].max(0)
        own = float(near.votes[i, given[i]])
        detail = f"{100 * share:.0f} % of its neighbours say {classes[other]}, {100 * own:.0f} % {classes[given[i]]}"
        found.append(images.found("suspicious label", [int(rows[i])], detail, float(share) - own))
    for i in (labels.outliers(near.distance) & ~blank[rows]).nonzero().flatten().tolist():
        far = float(near.distance[i])
        detail = f"distance {far:.2f} to the farthest of its neighbours, the median image {middle:.2f}"
        found.append(images.found("outlier", [int(rows[i])], detail, far))
    return found
