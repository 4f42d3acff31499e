"""NNCLR: the look-up, the loss against loops, where gradient flows, and what the queue holds."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.nn import Identity

from ssl_cli.batch import Task
from ssl_cli.errors import UserError
from ssl_cli.methods.nnclr import NNCLR, info_nce, nearest_neighbour


def reference(nn, p, temperature):
    """Equation 3 of the paper, row by row, with Python loops."""
    nn, p = (x.double() / x.double().norm(dim=1, keepdim=True) for x in (nn, p))
    total = 0.0
    for i in range(len(p)):
        similarities = [math.exp(float(nn[i] @ p[k]) / temperature) for k in range(len(p))]
        total -= math.log(similarities[i] / sum(similarities))
    return total / len(p)


@pytest.mark.parametrize("n, d, temperature", [(2, 3, 0.5), (5, 8, 0.1), (7, 4, 1.0)])
def test_equals_the_equation_row_by_row(n, d, temperature):
    generator = torch.Generator().manual_seed(n)
    nn, p = (torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))
    expected = reference(nn, p, temperature)
    assert info_nce(nn, p, temperature).item() == pytest.approx(expected, abs=1e-10)
    assert info_nce(nn.float(), p.float(), temperature).item() == pytest.approx(expected, abs=1e-5)


def test_closed_forms():
    eye = torch.eye(4)
    assert info_nce(eye, eye, 1.0).item() == pytest.approx(math.log1p(3 * math.exp(-1)), abs=1e-6)
    assert 2 * info_nce(eye, eye, 1.0).item() == pytest.approx(1.487337, abs=1e-5)  # MoCo v3's 2T factor apart
    assert info_nce(eye, torch.ones(4, 4), 0.1).item() == pytest.approx(math.log(4), abs=1e-6)
    one_negative = info_nce(torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.6, 0.8], [0.8, 0.6]]), 0.5)
    expected = (math.log1p(math.exp(0.4)) + math.log1p(math.exp(-0.4))) / 2
    assert one_negative.item() == pytest.approx(expected, abs=1e-6)


def test_invariances():
    generator = torch.Generator().manual_seed(0)
    nn, p = (torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    loss = info_nce(nn, p, 0.3)
    order = torch.randperm(6, generator=generator)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    for changed in ((nn[order], p[order]), (nn @ rotation, p @ rotation), (nn * 3, p * 0.1)):
        torch.testing.assert_close(info_nce(*changed, 0.3), loss)
    assert abs(info_nce(nn, p[order], 0.3) - loss) > 1e-3


def test_the_neighbour_is_the_most_similar_row_of_the_queue():
    queue = F.normalize(torch.randn(32, 6, dtype=torch.float64), dim=1)
    z = torch.randn(5, 6, dtype=torch.float64)
    neighbours = nearest_neighbour(z.clone().requires_grad_(), queue)
    assert not neighbours.requires_grad
    for row, neighbour in zip(z, neighbours, strict=True):
        best = max(range(32), key=lambda k: float(F.cosine_similarity(row, queue[k], dim=0)))
        assert torch.equal(neighbour, queue[best])
    torch.testing.assert_close(nearest_neighbour(7 * queue, queue), queue)


def method(queue_size=8, seed=0, **changes):
    torch.manual_seed(seed)
    backbone = Identity()
    backbone.dim = 6
    dims = {"layers": 2, "hidden_dim": 8, "out_dim": 5, "predictor_hidden_dim": 7}
    return NNCLR(backbone, None, temperature=0.2, queue_size=queue_size, **dims, **changes)


def task(n=4):
    return Task([torch.randn(n, 6), torch.randn(n, 6)], None, torch.full((n,), -1), torch.arange(n))


def test_of_the_published_last_norm_the_scale_is_looked_up_with_and_the_shift_never_learns():
    model = method(last_norm="affine")
    norm = model.projector[-1]
    batch = task()
    z = norm(model.projector[:-1](torch.cat(batch.views)))
    plain = F.batch_norm(model.projector[:-1](torch.cat(batch.views)), None, None, training=True)
    torch.testing.assert_close(z, norm.weight * plain + norm.bias)
    model(batch)["loss"].backward()
    assert norm.weight.grad.abs().max() > 1e-3 and norm.bias.grad.abs().max() < 1e-6


def test_a_queue_of_the_batch_itself_gives_info_nce():
    model, batch = method(queue_size=8).eval(), task()
    with torch.no_grad():
        z1, z2 = model.projector(torch.cat(batch.views)).chunk(2)
        model.queue.copy_(F.normalize(torch.cat([z1, z2]), dim=1))
        p1, p2 = model.predictor(z1), model.predictor(z2)
        expected = (reference(z1, p2, 0.2) + reference(z2, p1, 0.2)) / 2
        assert model(batch)["loss"].item() == pytest.approx(expected, abs=1e-5)


def test_gradient_flows_through_the_predictions_only():
    model, batch = method(), task()
    z = model.projector(torch.cat(batch.views))
    z1, z2 = z.detach().chunk(2)
    p1, p2 = model.predictor(z).chunk(2)
    nn1, nn2 = nearest_neighbour(z1, model.queue), nearest_neighbour(z2, model.queue)
    parameters = list(model.parameters())
    expected = torch.autograd.grad((info_nce(nn1, p2, 0.2) + info_nce(nn2, p1, 0.2)) / 2, parameters)
    actual = torch.autograd.grad(model(batch)["loss"], parameters)
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b)
    frozen = model(batch)["loss"]
    for parameter in model.predictor.parameters():
        assert torch.autograd.grad(frozen, parameter, retain_graph=True)[0].abs().sum() > 0
    assert model.queue.grad is None and not model.queue.requires_grad


def test_the_queue_holds_the_first_views_of_the_last_batches_and_wraps():
    model, keys = method(queue_size=8), []
    start = model.queue.clone()
    torch.testing.assert_close(start.norm(dim=1), torch.ones(8))
    for step in range(3):
        batch = task()
        with torch.no_grad():
            keys.append(F.normalize(model.projector(torch.cat(batch.views)).chunk(2)[0], dim=1))
        model(batch)
        if step == 0:
            assert torch.equal(model.queue[4:], start[4:])
    assert torch.equal(model.queue, torch.cat([keys[2], keys[1]]))
    assert model.pointer.item() == 3 * 4 % 8


def test_neighbours_are_looked_up_before_the_batch_is_queued():
    model, batch = method(queue_size=4).eval(), task()
    with torch.no_grad():
        z1, z2 = model.projector(torch.cat(batch.views)).chunk(2)
        p1, p2 = model.predictor(z1), model.predictor(z2)
        old = [nearest_neighbour(z, model.queue) for z in (z1, z2)]
        expected = (reference(old[0], p2, 0.2) + reference(old[1], p1, 0.2)) / 2
        assert model(batch)["loss"].item() == pytest.approx(expected, abs=1e-5)
        assert torch.equal(model.queue, F.normalize(z1, dim=1))


def test_the_queue_is_state():
    first, second = method(seed=0), method(seed=1)
    first(task())
    second.load_state_dict(first.state_dict())
    assert {"queue", "pointer"} <= first.state_dict().keys()
    assert torch.equal(second.queue, first.queue) and second.pointer == 4


@pytest.mark.parametrize("queue_size, instead", [(6, 8), (2, 4), (3, 4)])
def test_refuses_a_queue_that_is_no_multiple_of_the_batch(queue_size, instead):
    with pytest.raises(UserError, match=f"method.queue_size={queue_size} is not .* write method.queue_size={instead}"):
        method(queue_size)(task())
