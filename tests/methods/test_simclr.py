"""NT-Xent against a reference written differently, closed forms and invariances; one training step."""

import math

import pytest
import torch
import torch.nn.functional as F

from ssl_cli.methods.simclr import nt_xent


def reference(z1, z2, temperature):
    """Equation 1 of the paper, row by row, with Python loops."""
    z = torch.cat([z1, z2]).double()
    z = z / z.norm(dim=1, keepdim=True)
    n, total = len(z1), 0.0
    for i in range(2 * n):
        j = i + n if i < n else i - n
        similarities = [math.exp(float(z[i] @ z[k]) / temperature) for k in range(2 * n) if k != i]
        total -= math.log(math.exp(float(z[i] @ z[j]) / temperature) / sum(similarities))
    return total / (2 * n)


@pytest.mark.parametrize("n, d, temperature", [(2, 3, 0.5), (5, 8, 0.1), (7, 4, 1.0)])
def test_equals_the_equation_row_by_row(n, d, temperature):
    generator = torch.Generator().manual_seed(n)
    z1, z2 = (torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))
    expected = reference(z1, z2, temperature)
    assert nt_xent(z1, z2, temperature).item() == pytest.approx(expected, abs=1e-10)
    assert nt_xent(z1.float(), z2.float(), temperature).item() == pytest.approx(expected, abs=1e-5)


def test_hand_example():
    z1, z2 = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8], [0.8, 0.6]])
    assert nt_xent(z1, z2, 0.5).item() == pytest.approx(1.270714, abs=1e-5)


@pytest.mark.parametrize("n, temperature, expected", [(2, 0.5, 0.239545), (4, 0.5, 0.594438), (256, 0.5, 4.248795)])
def test_identical_positives_orthogonal_negatives(n, temperature, expected):
    z = torch.eye(n)
    assert nt_xent(z, z, temperature).item() == pytest.approx(expected, abs=1e-5)
    assert expected == pytest.approx(math.log1p((2 * n - 2) * math.exp(-1 / temperature)), abs=1e-5)


@pytest.mark.parametrize("n", [2, 8, 128])
def test_all_rows_equal_or_all_orthogonal_give_the_log_of_the_candidates(n):
    equal = torch.ones(n, 16)
    assert nt_xent(equal, equal, 0.2).item() == pytest.approx(math.log(2 * n - 1), abs=1e-5)
    orthogonal = torch.eye(2 * n)
    assert nt_xent(orthogonal[:n], orthogonal[n:], 0.2).item() == pytest.approx(math.log(2 * n - 1), abs=1e-5)


def test_invariances():
    generator = torch.Generator().manual_seed(0)
    z1, z2 = (torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    loss = nt_xent(z1, z2, 0.3)
    order = torch.randperm(6, generator=generator)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    scales = torch.rand(6, 1, generator=generator, dtype=torch.float64) + 0.5
    for changed in ((z1[order], z2[order]), (z2, z1), (z1 @ rotation, z2 @ rotation), (z1 * scales, z2)):
        torch.testing.assert_close(nt_xent(*changed, 0.3), loss)
    assert abs(nt_xent(z1, z2[order], 0.3) - loss) > 1e-3  # other pairs are another loss


def test_gradient_is_right_and_survives_small_temperatures():
    z1, z2 = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.2), (z1, z2))
    z = F.normalize(torch.randn(8, 4, dtype=torch.bfloat16), dim=1).requires_grad_()
    nt_xent(z, z.detach().flip(0), 0.01).backward()
    assert z.grad.isfinite().all()


def test_autocast_does_not_lower_the_precision_of_the_loss():
    z1, z2 = torch.randn(16, 8), torch.randn(16, 8)
    expected = nt_xent(z1, z2, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(nt_xent(z1, z2, 0.1), expected)


@pytest.mark.parametrize(
    "shape1, shape2, temperature", [((4, 3), (5, 3), 0.5), ((4,), (4,), 0.5), ((4, 3), (4, 3), 0.0)]
)
def test_refuses_what_has_no_meaning(shape1, shape2, temperature):
    with pytest.raises(ValueError, match="must be"):
        nt_xent(torch.ones(shape1), torch.ones(shape2), temperature)
