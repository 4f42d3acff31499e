"""Projectors and predictors: their layers, widths and norms; rows of unit length."""

import pytest
import torch
from torch import nn

from ssl_cli.errors import UserError
from ssl_cli.methods.shared.heads import mlp, unit


def names(head):
    return [type(part).__name__ for part in head]


@pytest.mark.parametrize("layers, hidden", [(1, 0), (2, 1), (3, 2)])
def test_layers_with_norm_and_relu_between(layers, hidden):
    head = mlp(5, 7, 3, layers)
    assert names(head) == ["Linear", "BatchNorm1d", "ReLU"] * hidden + ["Linear"]
    linear = [part for part in head if isinstance(part, nn.Linear)]
    assert [(part.in_features, part.out_features) for part in linear] == [(5, 7), (7, 7), (7, 3)][:hidden] + [
        (7 if hidden else 5, 3)
    ]
    assert head(torch.randn(4, 5)).shape == (4, 3)


def test_only_a_linear_layer_that_no_norm_follows_has_a_bias():
    biases = lambda head: [part.bias is not None for part in head if isinstance(part, nn.Linear)]  # noqa: E731
    assert biases(mlp(5, 7, 3, 3)) == [False, False, True]
    assert biases(mlp(5, 7, 3, 2, last_bias=False)) == [False, False]
    assert biases(mlp(5, 7, 3, 2, last_norm="affine")) == [False, False]
    assert biases(mlp(5, 7, 3, 2, last_norm="plain")) == [False, False]


@pytest.mark.parametrize("last_norm, parameters", [("affine", 2), ("plain", 0)])
def test_last_norm_standardises_the_output(last_norm, parameters):
    torch.manual_seed(0)
    head = mlp(5, 7, 3, 2, last_norm=last_norm).double()
    assert len(list(head[-1].parameters())) == parameters
    z = head(10 * torch.randn(64, 5, dtype=torch.float64) + 3)
    torch.testing.assert_close(z.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-10)
    torch.testing.assert_close(z.var(0, correction=0), torch.ones(3).double(), rtol=1e-3, atol=0)


def test_without_hidden_norms_the_layers_have_biases():
    head = mlp(5, 7, 3, 3, hidden_norm=False)
    assert names(head) == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert all(part.bias is not None for part in head if isinstance(part, nn.Linear))


def test_a_norm_without_shift_learns_its_scale_only():
    norm = mlp(5, 7, 3, 1, last_norm="scale")[-1]
    assert [name for name, p in norm.named_parameters() if p.requires_grad] == ["weight"]
    assert not norm.bias.any()


def test_an_unknown_last_norm_is_refused():
    with pytest.raises(UserError, match=r"method.last_norm=plane is not one of none, .*did you mean 'plain'"):
        mlp(5, 7, 3, 1, last_norm="plane")


def test_every_parameter_gets_a_gradient():
    head = mlp(5, 7, 3, 3)
    head(torch.randn(8, 5)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


@pytest.mark.parametrize(
    "given, expected",
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)],
)
def test_unit_rows_keep_their_direction_in_float32_at_least(given, expected):
    x = torch.tensor([[3.0, 4.0], [0.0, -2.0]], dtype=given)
    assert unit(x).dtype == expected
    torch.testing.assert_close(unit(x), torch.tensor([[0.6, 0.8], [0.0, -1.0]], dtype=expected))


def test_unit_of_a_zero_row_is_finite_and_so_is_its_gradient():
    x = torch.zeros(1, 4, requires_grad=True)
    unit(x).sum().backward()
    assert torch.equal(unit(x), torch.zeros(1, 4)) and x.grad.isfinite().all()
