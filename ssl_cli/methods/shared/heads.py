"""Small networks on top of a backbone's features: projectors and predictors."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.methods.shared.choices import one_of


def unit(x: Tensor) -> Tensor:
    """Return rows [N, d] scaled to unit length, in float32 at least (a squared norm needs more than bf16)."""
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=1, eps=1e-8)


def mlp(
    in_dim: int,
    hidden_dim: int,
    out_dim: int,
    layers: int,
    last_norm: Literal["none", "affine", "plain", "scale"] = "none",
    last_bias: bool = True,
    hidden_norm: bool = True,
) -> nn.Sequential:
    """Return ``layers`` linear layers with BatchNorm and ReLU between them; [B, in_dim] -> [B, out_dim].

    Linear layers that a norm follows have no bias. ``layers=1`` is one linear map.

    Args:
        in_dim: width of the input.
        hidden_dim: width of the layers between.
        out_dim: width of the output.
        layers: at least 1.
        last_norm: after the last layer: nothing, BatchNorm, BatchNorm without scale and shift (plain), or without shift
            (scale).
        last_bias: whether the last layer has a bias, if no norm follows it.
        hidden_norm: whether there is BatchNorm between the layers.

    Raises:
        UserError: ``last_norm`` (users write ``method.last_norm``) is not one of the four.
    """
    one_of("last_norm", last_norm, ("none", "affine", "plain", "scale"))
    parts: list[nn.Module] = []
    for _ in range(layers - 1):
        norm = [nn.BatchNorm1d(hidden_dim)] if hidden_norm else []
        parts += [nn.Linear(in_dim, hidden_dim, bias=not hidden_norm), *norm, nn.ReLU(inplace=True)]
        in_dim = hidden_dim
    parts.append(nn.Linear(in_dim, out_dim, bias=last_bias and last_norm == "none"))
    if last_norm != "none":
        parts.append(nn.BatchNorm1d(out_dim, affine=last_norm != "plain"))
    if last_norm == "scale":
        parts[-1].bias.requires_grad_(False)
    return nn.Sequential(*parts)
