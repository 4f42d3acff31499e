"""Images that are copies of each other: pixel for pixel, or re-encoded, resized, cropped by a tenth or mirrored."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_cli.audit.align import enough, likeness
from ssl_cli.audit.descriptors import candidates, described
from ssl_cli.audit.tangents import Tangents
from ssl_cli.probes.progress import measuring, tracked

# Chosen on 10,000 train files of CIFAR-10 with planted copies: see docs/audit.md.
MOST, LOOKS_LIKE = 24, 0.7  # pairs an image that are looked at, and their least cosine
SHARE = 0.74  # that lies in the plane of the other
NEAR, EQUAL = 0.9, 0.98  # correlation of the edges once one is aligned to the other; of pairs that could be equal
UNLIKE = 15 / 255  # of the edges that are left: of what is nearly black and white they correlate early
CHUNK = 2048  # pairs, or images


@dataclass(frozen=True)
class Cluster:
    """Images that are one picture."""

    rows: tuple[int, ...]
    exact: int  # how many of them have the pixels of another one
    likeness: float  # of the least alike pair that ties it together; 1: all are exact


def exact_groups(count: int, stored: Callable[[int], bytes], original: Callable[[int], bytes | None]) -> list[Tensor]:
    """Return groups of rows with equal pixels.

    Args:
        count: of images.
        stored: row -> digest of an image's pixels as stored.
        original: row -> digest of the pixels of its file; None: those that are stored are all there is.
    """
    alike: dict[bytes, list[int]] = {}
    for row in tracked(range(count)):
        alike.setdefault(stored(row), []).append(row)
    groups: dict[tuple[bytes, bytes | None], list[int]] = {}
    for key, rows in alike.items():
        for row in rows if len(rows) > 1 else ():
            groups.setdefault((key, original(row)), []).append(row)
    return [torch.tensor(rows) for rows in groups.values() if len(rows) > 1]


def near_pairs(images: Tensor, near: float = NEAR) -> tuple[Tensor, Tensor, Tensor]:
    """Return pairs of images that are one picture: rows [p], rows [p], and how alike they are [p].

    Args:
        images: [N, C, S, S] uint8; none of them blank.
        near: least correlation of edges; 1: no pair is near.
    """
    if len(images) < 2 or near == 1:
        none = torch.empty(0, dtype=torch.int64)
        return none, none, torch.empty(0)
    floats = _Floats(images)
    with measuring("looking for copies"):
        looks, signs = zip(*(described(part) for part in floats.parts()), strict=True)
        pairs = candidates(torch.cat(looks), signs[0], MOST, LOOKS_LIKE)
    tangents = Tangents(floats.parts())
    pairs = pairs[tangents.share(*pairs.unbind(1)) >= SHARE]
    with measuring("comparing images"):
        alike, unlike = [torch.empty(0)], [torch.empty(0)]
        for part in tracked(pairs.split(CHUNK)):
            other = floats[part[:, 1]]
            other = torch.where(part[:, 2].bool().view(-1, 1, 1, 1), other.flip(-1), other)
            found = likeness(floats[part[:, 0]], other)
            alike.append(found[0])
            unlike.append(found[1])
    likely = (torch.cat(alike) >= enough(near, images.shape[-1])) & (torch.cat(unlike) <= UNLIKE)
    return pairs[likely, 0], pairs[likely, 1], torch.cat(alike)[likely]


def clusters(count: int, exact: Sequence[Tensor], first: Tensor, second: Tensor, alike: Tensor) -> list[Cluster]:
    """Return what hangs together: groups of exact copies, and pairs of near ones.

    Args:
        count: of images.
        exact: groups of rows.
        first: [p] rows.
        second: [p] rows.
        alike: [p] how alike these are.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows = torch.cat([first, *(group[:-1] for group in exact)]).numpy()
    columns = torch.cat([second, *(group[1:] for group in exact)]).numpy()
    graph = coo_matrix(([1] * len(rows), (rows, columns)), shape=(count, count))
    _, names = connected_components(graph, directed=False)
    exactly = {i for group in exact for i in group.tolist()}
    members: dict[int, set[int]] = {}
    for i in {*rows.tolist(), *columns.tolist()}:
        members.setdefault(int(names[i]), set()).add(i)
    least = dict.fromkeys(members, 1.0)
    for i, value in zip(first.tolist(), alike.tolist(), strict=True):
        least[int(names[i])] = min(least[int(names[i])], value)
    return [Cluster(tuple(sorted(found)), len(found & exactly), least[name]) for name, found in sorted(members.items())]


class _Floats:
    """Images [N, C, S, S] uint8 as floats in [0, 1], a part at a time."""

    def __init__(self, images: Tensor):
        self.images = images

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self.images[rows].float() / 255

    def parts(self) -> Iterator[Tensor]:
        """Yield all of them."""
        for part in self.images.split(CHUNK):
            yield part.float() / 255
