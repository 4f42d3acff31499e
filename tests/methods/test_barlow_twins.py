"""The cross-correlation and its loss against loops, closed forms and invariances."""

import pytest
import torch

from ssl_cli.methods.barlow_twins import barlow_twins, cross_correlation

# Columns of mean 0 and deviation 1 that are orthogonal: their correlation is exactly the identity.
HADAMARD = torch.tensor([[1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]], dtype=torch.float64)


def pair(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))


def reference(z1, z2, off_diagonal, eps):
    """Equations 1 and 2, entry by entry."""
    n, d = z1.shape
    total = 0.0
    for i in range(d):
        for j in range(d):
            a, b = z1[:, i] - sum(z1[:, i]) / n, z2[:, j] - sum(z2[:, j]) / n
            c = sum(a * b) / ((sum(a * a) + n * eps) * (sum(b * b) + n * eps)) ** 0.5
            total += float((1 - c) ** 2 if i == j else off_diagonal * c**2)
    return total


@pytest.mark.parametrize("n, d, off_diagonal, eps", [(4, 3, 0.005, 1e-5), (7, 5, 0.1, 0.0), (3, 8, 1.0, 1e-2)])
def test_equals_the_equations_entry_by_entry(n, d, off_diagonal, eps):
    z1, z2 = pair(n, d, seed=n)
    expected = reference(z1, z2, off_diagonal, eps)
    assert barlow_twins(z1, z2, off_diagonal, eps).item() == pytest.approx(expected, abs=1e-10)
    assert barlow_twins(z1.float(), z2.float(), off_diagonal, eps).item() == pytest.approx(expected, abs=1e-5)


def test_closed_forms():
    z, d = HADAMARD, 3
    cases = {
        "equal views": (z, z, 0),
        "negated view": (z, -z, 4 * d),
        "permuted dimensions": (z, z.roll(1, 1), d + 0.0051 * d),
        "one dimension thrice": (z[:, :1].repeat(1, d), z[:, :1].repeat(1, d), 0.0051 * d * (d - 1)),
    }
    for name, (z1, z2, expected) in cases.items():
        assert barlow_twins(z1, z2, 0.0051, eps=0).item() == pytest.approx(expected, abs=1e-12), name
    assert [round(case[2], 4) for case in cases.values()] == [0, 12, 3.0153, 0.0306]


def test_a_collapsed_embedding_costs_one_per_dimension_and_has_a_finite_gradient():
    z = torch.ones(6, 5, requires_grad=True)
    loss = barlow_twins(z, z, 0.0051)
    loss.backward()
    assert loss.item() == pytest.approx(5) and z.grad.isfinite().all()


def test_independent_noise_costs_about_one_per_dimension():
    z1, z2 = pair(20_000, 16)
    assert barlow_twins(z1, z2, 0.0051).item() == pytest.approx(16, rel=0.02)


def test_invariances():
    z1, z2 = pair(8, 5)
    loss = barlow_twins(z1, z2, 0.05, eps=0)
    scale, shift = torch.rand(2, 5, dtype=torch.float64) + 0.5
    rows, columns = torch.randperm(8), torch.randperm(5)
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    for same in ((z2, z1), (z1 * scale + shift, z2), (z1[rows], z2[rows]), (z1[:, columns], z2[:, columns])):
        torch.testing.assert_close(barlow_twins(*same, 0.05, eps=0), loss)
    for other in ((z1 @ rotation, z2 @ rotation), (z1, z2.roll(1, 0)), (z1, z2.roll(1, 1))):
        assert abs(barlow_twins(*other, 0.05, eps=0) - loss) > 1e-3


def test_entries_are_correlations():
    z1, z2 = pair(10, 4)
    expected = torch.corrcoef(torch.cat([z1, z2], dim=1).T)[:4, 4:]
    torch.testing.assert_close(cross_correlation(z1, z2, eps=0), expected)


def test_gradient_is_right():
    z1, z2 = (z.requires_grad_() for z in pair(6, 3))
    assert torch.autograd.gradcheck(lambda a, b: barlow_twins(a, b, 0.1), (z1, z2))


def test_autocast_does_not_lower_the_precision_of_the_loss():
    z1, z2 = (z.float() for z in pair(64, 16))
    expected = barlow_twins(z1, z2, 0.005)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(barlow_twins(z1, z2, 0.005), expected)
    assert barlow_twins(z1.bfloat16(), z2.bfloat16(), 0.005).dtype == torch.float32


@pytest.mark.parametrize("shape1, shape2", [((4, 3), (5, 3)), ((4,), (4,)), ((1, 3), (1, 3))])
def test_refuses_what_has_no_meaning(shape1, shape2):
    with pytest.raises(ValueError, match="must be"):
        barlow_twins(torch.ones(shape1), torch.ones(shape2), 0.005)
