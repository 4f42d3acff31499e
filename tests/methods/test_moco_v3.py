"""The contrast of a batch against a loop and closed forms; ranks; where gradients do not flow."""

import math

import pytest
import torch
import torch.nn.functional as F

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.batch import Task
from ssl_cli.methods.moco_v3 import MoCoV3, ctr

SETTINGS = {
    "temperature": 0.2,
    "momentum": 0.9,
    "layers": 2,
    "hidden_dim": 8,
    "out_dim": 5,
    "predictor_norm": False,
}


def moco_v3(**changes):
    torch.manual_seed(0)
    return MoCoV3(ConvNet(1, (4, 8)), None, **{**SETTINGS, **changes}).train()


def task(batch=6):
    generator = torch.Generator().manual_seed(0)
    views = [torch.randn(batch, 1, 8, 8, generator=generator) for _ in range(2)]
    return Task(views, None, torch.full((batch,), -1), torch.arange(batch))


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reference(q, k, temperature, offset=0):
    """Algorithm 1 of the paper, row by row, with Python floats."""
    q, k = (F.normalize(x.detach().double()) for x in (q, k))
    total = 0.0
    for i, a in enumerate(q):
        candidates = [math.exp(float(a @ b) / temperature) for b in k]
        total -= math.log(candidates[i + offset] / sum(candidates))
    return 2 * temperature * total / len(q)


@pytest.mark.parametrize("n, m, offset", [(1, 1, 0), (5, 5, 0), (3, 9, 6)])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_equals_the_algorithm_row_by_row(n, m, offset, temperature):
    q, k = random(n, 4), random(m, 4, seed=1)
    expected = reference(q, k, temperature, offset)
    assert ctr(q, k, temperature, offset).item() == pytest.approx(expected, abs=1e-10)
    assert ctr(q.float(), k.float(), temperature, offset).item() == pytest.approx(expected, abs=1e-5)


def test_closed_forms():
    equal = torch.eye(4)
    assert ctr(equal, equal, 1.0).item() == pytest.approx(1.487337, abs=1e-5)  # 2 T ln(1 + 3 e^-1)
    assert ctr(torch.ones(8, 3), torch.ones(8, 3), 0.2).item() == pytest.approx(0.4 * math.log(8), abs=1e-5)


def test_the_ranks_mean_is_the_loss_of_the_whole_batch():
    q, k = random(6, 4), random(6, 4, seed=1)
    parts = [ctr(q[at : at + 2], k, 0.3, at) for at in (0, 2, 4)]
    torch.testing.assert_close(torch.stack(parts).mean(), ctr(q, k, 0.3))


def test_invariances():
    q, k = random(6, 5), random(6, 5, seed=1)
    loss = ctr(q, k, 0.3)
    rows = torch.randperm(6)
    rotation = torch.linalg.qr(random(5, 5, seed=3)).Q
    scales = random(6, 1, seed=4).abs() + 0.5
    for changed in ((q[rows], k[rows]), (q @ rotation, k @ rotation), (q * scales, k / scales)):
        torch.testing.assert_close(ctr(*changed, 0.3), loss)
    assert abs(ctr(q, k.roll(1, 0), 0.3) - loss) > 1e-3  # other pairs are another loss


def test_gradient_is_right_and_reaches_queries_only():
    q, k = random(4, 3).requires_grad_(), random(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: ctr(q, k, 0.2), q)
    ctr(q, k, 0.2).backward()
    assert k.grad is None and q.grad.abs().sum() > 0


def test_autocast_does_not_lower_the_precision_of_the_loss():
    q, k = torch.randn(16, 8), torch.randn(16, 8)
    expected = ctr(q, k, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(ctr(q, k, 0.1), expected)


def test_the_loss_adds_both_directions_and_keys_pass_no_predictor():
    method, batch = moco_v3(), task()
    x1, x2 = batch.views
    q1, q2 = (method.predictor(method.projector(method.backbone(x))) for x in (x1, x2))
    k1, k2 = (method.projector(method.backbone(x)) for x in (x1, x2))  # the teacher is still a copy
    expected = reference(q1, k2, 0.2) + reference(q2, k1, 0.2)
    assert method(batch)["loss"].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("predictor_norm", [False, True])
def test_only_the_query_branch_gets_gradients(predictor_norm):
    method = moco_v3(predictor_norm=predictor_norm)
    method(task())["loss"].backward()
    assert all(p.grad is None and not p.requires_grad for p in method.teacher.parameters())
    assert all(p.grad.abs().sum() > 0 for p in method.parameters() if p.requires_grad)
    assert isinstance(method.predictor[-1], torch.nn.BatchNorm1d) == predictor_norm


@pytest.mark.parametrize("progress, share", [(0.0, 0.1), (0.5, 0.05), (1.0, 0.0)])
def test_the_key_encoder_follows_ever_more_slowly(progress, share):
    method = moco_v3()
    before = [p.clone() for p in method.teacher.parameters()]
    online = [*method.backbone.parameters(), *method.projector.parameters()]
    for p in online:
        p.data += 1
    method.after_step(progress)
    for teacher, old in zip(method.teacher.parameters(), before, strict=True):
        torch.testing.assert_close(teacher, old + share)
