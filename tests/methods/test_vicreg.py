"""The three terms against loops, closed forms and invariances; their weighted sum."""

import math

import pytest
import torch

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.batch import Task
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.methods.vicreg import VICReg, vicreg_terms

# Orthogonal columns of mean 0 and squared length N = 4: deviation sqrt(4/3), covariance 0.
HADAMARD = torch.tensor([[1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]], dtype=torch.float64)


def pair(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))


def reference(z1, z2):
    """The published code's terms, entry by entry."""
    n, d = z1.shape
    s = sum(float(z1[i, j] - z2[i, j]) ** 2 for i in range(n) for j in range(d)) / (n * d)
    v = c = 0.0
    for z in (z1, z2):
        means = [float(sum(z[:, j])) / n for j in range(d)]
        for i in range(d):
            for j in range(d):
                cov = sum((float(row[i]) - means[i]) * (float(row[j]) - means[j]) for row in z) / (n - 1)
                if i == j:
                    v += max(0.0, 1 - math.sqrt(cov + 1e-4)) / d / 2
                else:
                    c += cov**2 / d
    return s, v, c


def loss(z1, z2):
    s, v, c = vicreg_terms(z1, z2)
    return (25 * s + 25 * v + c).item()


@pytest.mark.parametrize("n, d, scale", [(4, 3, 1.0), (7, 5, 0.3), (3, 8, 2.0)])
def test_equals_the_published_terms_entry_by_entry(n, d, scale):
    z1, z2 = (scale * z for z in pair(n, d, seed=n))
    expected = reference(z1, z2)
    assert [term.item() for term in vicreg_terms(z1, z2)] == pytest.approx(expected, abs=1e-10)
    assert [term.item() for term in vicreg_terms(z1.float(), z2.float())] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "z1, z2, expected",
    [
        (torch.ones(4, 3), torch.ones(4, 3), 24.75),  # collapsed: 25 (1 - sqrt(1e-4))
        (HADAMARD, HADAMARD, 0.0),  # equal, spread, uncorrelated
        (HADAMARD, HADAMARD + 2, 100.0),  # only s = 4
        (HADAMARD / 2, HADAMARD / 2, 10.564078),  # only v = 1 - sqrt(1/3 + 1e-4)
        (HADAMARD[:, :1].repeat(1, 3), HADAMARD[:, :1].repeat(1, 3), 64 / 9),  # only c = 2 (4/3)^2 (D - 1)
    ],
)
def test_closed_forms(z1, z2, expected):
    assert loss(z1.double(), z2.double()) == pytest.approx(expected, abs=1e-6)


def test_invariances():
    z1, z2 = pair(8, 5)
    rows, columns = torch.randperm(8), torch.randperm(5)
    for same in ((z2, z1), (z1 + 3, z2 + 3), (z1[rows], z2[rows]), (z1[:, columns], z2[:, columns])):
        assert loss(*same) == pytest.approx(loss(z1, z2), abs=1e-10)
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    for other in ((z1 @ rotation, z2 @ rotation), (z1, z2.roll(1, 0)), (2 * z1, 2 * z2), (z1 + 3, z2)):
        assert abs(loss(*other) - loss(z1, z2)) > 1e-3


def test_only_the_invariance_term_compares_the_views():
    z1, z2 = (z.requires_grad_() for z in pair(6, 4))
    s, v, c = vicreg_terms(z1, z2)
    (along,) = torch.autograd.grad(s, z1, retain_graph=True)
    torch.testing.assert_close(along, 2 * (z1 - z2).detach() / z1.numel())
    alone = vicreg_terms(z1, z1)
    for term, doubled in ((v, alone[1]), (c, alone[2])):  # z1's part does not depend on z2
        (mine,), (both,) = (torch.autograd.grad(t, z1, retain_graph=True) for t in (term, doubled))
        torch.testing.assert_close(2 * mine, both)


def test_gradient_is_right_and_finite_when_collapsed():
    z1, z2 = (z.mul(0.5).requires_grad_() for z in pair(6, 3))
    assert torch.autograd.gradcheck(lambda a, b: sum(vicreg_terms(a, b)), (z1, z2))
    z = torch.ones(4, 3, requires_grad=True)
    sum(vicreg_terms(z, z)).backward()
    assert z.grad.isfinite().all()


def test_autocast_does_not_lower_the_precision_of_the_loss():
    z1, z2 = (z.float() for z in pair(64, 16))
    expected = vicreg_terms(z1, z2)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(vicreg_terms(z1, z2), expected)
    assert {term.dtype for term in vicreg_terms(z1.bfloat16(), z2.bfloat16())} == {torch.float32}


def test_the_loss_is_the_weighted_sum_of_the_terms_that_are_logged():
    data = ImageInfo("noise", 1, 16, (), 100, 100, 0, (0.5,), (0.2,))
    widths = {"layers": 2, "hidden_dim": 16, "out_dim": 8}
    method = VICReg(ConvNet(1, [4, 8]), data, invariance=2.0, variance=3.0, covariance=5.0, **widths)
    views = [torch.randn(6, 1, 16, 16) for _ in range(2)]
    out = method(Task(views, None, torch.full((6,), -1), torch.arange(6)))
    expected = 2 * out["invariance"] + 3 * out["variance"] + 5 * out["covariance"]
    torch.testing.assert_close(out["loss"], expected)


@pytest.mark.parametrize("shape1, shape2", [((4, 3), (5, 3)), ((4,), (4,)), ((1, 3), (1, 3))])
def test_refuses_what_has_no_meaning(shape1, shape2):
    with pytest.raises(ValueError, match="must be"):
        vicreg_terms(torch.ones(shape1), torch.ones(shape2))
