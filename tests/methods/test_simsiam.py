"""Negative cosine against a loop and hand examples; what the stopped gradient stops, and what happens without it."""

import math

import pytest
import torch

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.batch import Task
from ssl_cli.methods.simsiam import SimSiam, negative_cosine
from ssl_cli.optim.groups import follow_schedule
from ssl_cli.optim.optimizers import sgd

SETTINGS = {"layers": 2, "hidden_dim": 16, "out_dim": 8, "predictor_dim": 4, "stop_gradient": True}


def simsiam(**changes):
    torch.manual_seed(0)
    return SimSiam(ConvNet(1, (4, 8)), None, **{**SETTINGS, **changes}).train()


def task(batch=6):
    generator = torch.Generator().manual_seed(0)
    views = [torch.randn(batch, 1, 8, 8, generator=generator) for _ in range(2)]
    return Task(views, None, torch.full((batch,), -1), torch.arange(batch))


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reference(p, z):
    """Equation 1 of the paper, element by element, with Python floats."""
    total = 0.0
    for a, b in zip(p.tolist(), z.tolist(), strict=True):
        total -= sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
    return total / len(p)


@pytest.mark.parametrize("n, d", [(1, 2), (5, 8), (7, 3)])
def test_equals_the_equation_row_by_row(n, d):
    p, z = random(n, d), random(n, d, seed=1)
    assert negative_cosine(p, z).item() == pytest.approx(reference(p, z), abs=1e-10)
    assert negative_cosine(p.float(), z.float()).item() == pytest.approx(reference(p, z), abs=1e-5)


@pytest.mark.parametrize("p, z, expected", [([3, 4], [6, 8], -1), ([1, 0], [0, 2], 0), ([1, 1], [-2, -2], 1)])
def test_hand_examples(p, z, expected):
    assert negative_cosine(torch.tensor([p]) * 1.0, torch.tensor([z]) * 1.0).item() == pytest.approx(expected, abs=1e-5)


def test_invariances():
    p, z = random(6, 5), random(6, 5, seed=1)
    loss = negative_cosine(p, z)
    rows = torch.randperm(6)
    rotation = torch.linalg.qr(random(5, 5, seed=3)).Q
    scales = random(6, 1, seed=4).abs() + 0.5
    for changed in ((p[rows], z[rows]), (z, p), (p @ rotation, z @ rotation), (p * scales, z / scales)):
        torch.testing.assert_close(negative_cosine(*changed), loss)
    assert abs(negative_cosine(p, z.roll(1, 0)) - loss) > 1e-3  # other pairs are another loss


def test_gradient_is_right():
    p, z = random(4, 3).requires_grad_(), random(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(negative_cosine, (p, z))


def test_autocast_does_not_lower_the_precision_of_the_loss():
    p, z = torch.randn(16, 8), torch.randn(16, 8)
    expected = negative_cosine(p, z)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(negative_cosine(p, z), expected)


def gradients(method, loss):
    return torch.autograd.grad(loss, list(method.parameters()))


def parts(method, batch):
    """Both views' projections and predictions."""
    z = [method.projector(method.backbone(view)) for view in batch.views]
    return z, [method.predictor(one) for one in z]


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_gradients_flow_through_predictions_only_unless_asked(stop_gradient):
    method, batch = simsiam(stop_gradient=stop_gradient).double(), task()
    batch.views = [view.double() for view in batch.views]
    (z1, z2), (p1, p2) = parts(method, batch)
    through_all = gradients(method, (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2)
    (z1, z2), (p1, p2) = parts(method, batch)
    targets = [z.detach().clone() for z in (z1, z2)]  # constants
    through_p = gradients(method, (negative_cosine(p1, targets[1]) + negative_cosine(p2, targets[0])) / 2)
    loss = method(batch)["loss"]
    assert loss.item() == pytest.approx((reference(p1, z2) + reference(p2, z1)) / 2, abs=1e-10)
    expected, other = (through_p, through_all) if stop_gradient else (through_all, through_p)
    actual = gradients(method, loss)
    torch.testing.assert_close(actual, expected)
    first = next(i for i, (name, _) in enumerate(method.named_parameters()) if name.startswith("backbone"))
    assert not torch.allclose(actual[first], other[first], rtol=0.01)


def test_every_parameter_learns():
    method = simsiam()
    method(task())["loss"].backward()
    assert all(p.grad.abs().sum() > 0 for p in method.parameters())
    assert not any(p.requires_grad for p in method.projector[-1].parameters())  # the last norm has none


def test_the_predictor_alone_keeps_its_rate_where_it_is_asked_to():
    assert all("constant_lr" not in group for group in simsiam().param_groups())
    method = simsiam(fix_predictor_lr=True)
    optimizer = sgd(method.param_groups(), 256, 0.2, decay_1d=True)
    for factor in (0.01, 1.0, 0.3):  # of a warm-up, and of a cosine
        follow_schedule(optimizer, factor, 0.5)
        rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        for name, p in method.named_parameters():
            assert rates[id(p)] == pytest.approx(0.2 if name.startswith("predictor.") else 0.2 * factor), name
