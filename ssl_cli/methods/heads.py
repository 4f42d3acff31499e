"""Small networks on top of a backbone's features."""

from torch import nn


def mlp(in_dim: int, hidden_dim: int, out_dim: int, layers: int) -> nn.Sequential:
    """Return ``layers`` linear layers with BatchNorm and ReLU between them and nothing after the last.

    Maps [B, in_dim] to [B, out_dim]; ``layers=1`` is one linear map. Linear layers that a norm follows have no bias.
    """
    parts: list[nn.Module] = []
    for _ in range(layers - 1):
        parts += [nn.Linear(in_dim, hidden_dim, bias=False), nn.BatchNorm1d(hidden_dim), nn.ReLU(inplace=True)]
        in_dim = hidden_dim
    return nn.Sequential(*parts, nn.Linear(in_dim, out_dim))
