"""Features that fall into classes as far apart as a test wants."""

import torch

from ssl_cli.probes.base import Features, Split


def blobs(n=200, classes=4, seed=0, spread=0.1, dim=8):
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    return Split(torch.eye(dim)[labels] + spread * torch.randn(n, dim, generator=g), labels, torch.arange(n))


def features(spread=0.1, n=200):
    return Features(*(blobs(n, seed=s, spread=spread) for s in range(3)), classes=4)
