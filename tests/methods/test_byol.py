"""The regression loss against a loop and hand examples; the schedule of the target; where gradients do not flow."""

import math

import pytest
import torch

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.batch import Task
from ssl_cli.methods.byol import BYOL, regression


def byol(momentum=0.9, projector_norm=False):
    torch.manual_seed(0)
    return BYOL(
        ConvNet(1, (4, 8)), None, momentum=momentum, hidden_dim=8, out_dim=5, projector_norm=projector_norm
    ).train()


def task(batch=6):
    generator = torch.Generator().manual_seed(0)
    views = [torch.randn(batch, 1, 8, 8, generator=generator) for _ in range(2)]
    return Task(views, None, torch.full((batch,), -1), torch.arange(batch))


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reference(p, z):
    """Equation 2 of the paper as a squared distance, element by element, with Python floats."""
    total = 0.0
    for a, b in zip(p.tolist(), z.tolist(), strict=True):
        norm_a, norm_b = math.hypot(*a), math.hypot(*b)
        total += sum((x / norm_a - y / norm_b) ** 2 for x, y in zip(a, b, strict=True))
    return total / len(p)


@pytest.mark.parametrize("n, d", [(1, 2), (5, 8), (7, 3)])
def test_equals_the_squared_distance(n, d):
    p, z = random(n, d), random(n, d, seed=1)
    assert regression(p, z).item() == pytest.approx(reference(p, z), abs=1e-10)
    assert regression(p.float(), z.float()).item() == pytest.approx(reference(p, z), abs=1e-5)


@pytest.mark.parametrize(
    "p, z, expected", [([3, 4], [3, 4], 0), ([1, 0], [0, 2], 2), ([1, 1], [-2, -2], 4), ([3, 4], [4, 3], 0.08)]
)
def test_hand_examples(p, z, expected):
    assert regression(torch.tensor([p]) * 1.0, torch.tensor([z]) * 1.0).item() == pytest.approx(expected, abs=1e-5)


def test_invariances():
    p, z = random(6, 5), random(6, 5, seed=1)
    loss = regression(p, z)
    rows = torch.randperm(6)
    rotation = torch.linalg.qr(random(5, 5, seed=3)).Q
    scales = random(6, 1, seed=4).abs() + 0.5
    for changed in ((p[rows], z[rows]), (z, p), (p @ rotation, z @ rotation), (p * scales, z / scales)):
        torch.testing.assert_close(regression(*changed), loss)
    assert abs(regression(p, z.roll(1, 0)) - loss) > 1e-3  # other pairs are another loss


def test_gradient_is_right_and_reaches_predictions_only():
    p, z = random(4, 3).requires_grad_(), random(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: regression(p, z), p)
    regression(p, z).backward()
    assert z.grad is None and p.grad.abs().sum() > 0


def test_precision_under_autocast_and_zero_vectors():
    p, z = torch.randn(16, 8), torch.randn(16, 8)
    expected = regression(p, z)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(regression(p, z), expected)
    assert regression(torch.zeros(2, 3), torch.ones(2, 3)).item() == 2


def test_the_loss_adds_both_directions_and_targets_pass_no_predictor():
    method, batch = byol(), task()
    x1, x2 = batch.views
    p1, p2 = (method.predictor(method.projector(method.backbone(x))) for x in (x1, x2))
    z1, z2 = (method.projector(method.backbone(x)) for x in (x1, x2))  # the target is still a copy
    assert method(batch)["loss"].item() == pytest.approx(reference(p1, z2) + reference(p2, z1), abs=1e-5)


@pytest.mark.parametrize("projector_norm", [False, True])
def test_only_the_online_network_gets_gradients(projector_norm):
    method = byol(projector_norm=projector_norm)
    assert isinstance(method.projector[-1], torch.nn.BatchNorm1d) == projector_norm
    method(task())["loss"].backward()
    assert all(p.grad is None and not p.requires_grad for p in method.teacher.parameters())
    assert all(p.grad.abs().sum() > 1e-6 for p in method.parameters() if p.requires_grad)


@pytest.mark.parametrize("progress, momentum", [(0, 0.996), (0.25, 0.996586), (0.5, 0.998), (0.75, 0.999414), (1, 1)])
def test_the_target_follows_with_the_papers_momentum(progress, momentum):
    method = byol(momentum=0.996).double()
    before = [p.clone() for p in method.teacher.parameters()]
    for p in (*method.backbone.parameters(), *method.projector.parameters()):
        p.data += 1
    method.after_step(progress)
    for target, old in zip(method.teacher.parameters(), before, strict=True):
        torch.testing.assert_close(target, old + 1 - momentum, rtol=0, atol=1e-6)
