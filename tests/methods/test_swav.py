"""Sinkhorn-Knopp and the swapped prediction against references and closed forms; prototypes and queue."""

import math

import pytest
import torch

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.batch import Task
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.swav import SwAV, sinkhorn, swapped_prediction

SCORES = [[0.9, 0.1, 0], [0.8, 0.3, 0.1], [0.7, 0.2, 0.6], [0.2, 0.9, 0.1], [0.1, 0.4, 0.8], [0.3, 0.2, 0.9]]
DATA = ImageInfo("digits", 1, 16, (), 100, 90, 0, (0.5,), (0.25,))
LOSS = {"prototypes": 6, "temperature": 0.1, "epsilon": 0.05, "iterations": 3, "freeze_epochs": 0}
HEAD = {"layers": 2, "hidden_dim": 8, "out_dim": 5, "last_norm": "none"}


def swav(**changes):
    torch.manual_seed(0)
    return SwAV(ConvNet(1, (4, 8)), DATA, **{**LOSS, **HEAD, "queue": 0, "queue_epoch": 0, **changes})


def task(seed=0, sizes=(16, 16, 8), batch=8):
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randn(batch, 1, size, size, generator=generator) for size in sizes]
    return Task(views, None, torch.full((batch,), -1), torch.arange(batch))


def test_sinkhorn_equals_the_exponential_form():
    scores = torch.tensor(SCORES, dtype=torch.float64)
    q = [[math.exp(s / 0.05) for s in row] for row in SCORES]  # as published: masses 1/K and 1/B, times B at the end
    total = sum(map(sum, q))
    q = [[v / total for v in row] for row in q]
    for _ in range(3):
        columns = [sum(row[k] for row in q) for k in range(3)]
        q = [[v / columns[k] / 3 for k, v in enumerate(row)] for row in q]
        q = [[v / sum(row) / 6 for v in row] for row in q]
    expected = torch.tensor(q, dtype=torch.float64) * 6
    torch.testing.assert_close(sinkhorn(scores, 0.05, 3), expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(sinkhorn(scores.float(), 0.05, 3), expected.float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "iterations, masses",
    [(1, [2.879251, 1.000480, 2.120269]), (3, [2.802084, 1.002516, 2.195400]), (50, [2.0, 2.0, 2.0])],
)
def test_sinkhorn_hand_example(iterations, masses):
    q = sinkhorn(torch.tensor(SCORES), 0.05, iterations)
    torch.testing.assert_close(q.sum(dim=1), torch.ones(6))
    torch.testing.assert_close(q.sum(dim=0), torch.tensor(masses), atol=2e-5, rtol=0)
    if iterations == 3:
        torch.testing.assert_close(q[2], torch.tensor([0.80251, 0.00034, 0.19715]), atol=1e-5, rtol=0)


def test_sinkhorn_closed_forms():
    torch.testing.assert_close(sinkhorn(torch.zeros(4, 3), 0.05, 3), torch.full((4, 3), 1 / 3))
    q = sinkhorn(torch.eye(2), 0.5, 3)
    assert q.diagonal().tolist() == pytest.approx([0.880797] * 2, abs=1e-6)
    shifted = torch.tensor(SCORES)
    torch.testing.assert_close(sinkhorn(shifted + 7, 0.05, 3), sinkhorn(shifted, 0.05, 3), atol=1e-4, rtol=0)
    sharp = sinkhorn(torch.tensor(SCORES), 1e-3, 3)  # exp(900) would overflow, exp(-900) leave a prototype without mass
    assert sharp.isfinite().all() and not sharp.requires_grad


def test_swapped_prediction_equals_the_sum_over_pairs():
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(4)]
    codes = [sinkhorn(s, 0.5, 3) for s in scores[:2]]
    total = 0.0
    for v in (0, 1):
        for w in range(4):
            for b in range(4):
                p = [math.exp(float(s) / 0.1) for s in scores[w][b]]
                terms = [float(q) * math.log(x / sum(p)) for q, x in zip(codes[v][b], p, strict=True)]
                total -= sum(terms) / 4 / 6 * (v != w)  # 4 images, 2 x 3 pairs
    assert swapped_prediction(scores, codes, 0.1).item() == pytest.approx(total, abs=1e-10)
    floats = swapped_prediction([s.float() for s in scores], [q.float() for q in codes], 0.1)
    assert floats.item() == pytest.approx(total, rel=1e-5)


def test_swapped_prediction_closed_forms():
    eye = torch.eye(2)
    codes = [sinkhorn(eye, 0.05, 3)] * 2
    assert swapped_prediction([eye, eye], codes, 0.1).item() == pytest.approx(4.541955e-5, abs=1e-7)
    for k in (300, 512, 3000):
        codes = [torch.rand(5, k).softmax(dim=1)] * 2
        assert swapped_prediction([torch.zeros(5, k)] * 3, codes, 0.1).item() == pytest.approx(math.log(k), abs=1e-5)


def test_codes_are_constants_and_prototypes_learn_unless_frozen():
    method = swav(freeze_epochs=1)
    method(task())["loss"].backward()
    assert method.prototypes.grad.abs().sum() > 0
    method.zero_grad()
    method.start_epoch(0)
    method(task())["loss"].backward()
    assert method.prototypes.grad.abs().sum() == 0
    assert method.projector[0].weight.grad.abs().sum() > 0
    method.start_epoch(1)
    method(task())["loss"].backward()
    assert method.prototypes.grad.abs().sum() > 0


def test_prototypes_have_unit_length_after_each_step():
    method = swav()
    with torch.no_grad():
        method.prototypes.mul_(3)
    method.after_step(0.5)
    torch.testing.assert_close(method.prototypes.norm(dim=1), torch.ones(6))


def test_queue_keeps_the_latest_embeddings_and_is_used_once_full():
    method, plain = swav(queue=16, queue_epoch=2), swav()
    views = [torch.nn.functional.normalize(torch.randn(2, 8, 5), dim=2) for _ in range(4)]
    method.start_epoch(1)
    method.codes(list(views[0]))
    assert method.queued == -1 and not method.queue.any()  # not yet
    method.start_epoch(2)
    for n, view in enumerate(views[:2]):
        torch.testing.assert_close(method.codes(list(view)), plain.codes(list(view)))
        assert method.queued == 8 * (n + 1)
    assert torch.equal(method.queue, torch.cat([views[1], views[0]], dim=1))
    codes = method.codes(list(views[2]))
    everything = torch.cat([views[2], views[1], views[0]], dim=1)
    torch.testing.assert_close(codes[1], sinkhorn(everything[1] @ method.prototypes.T, 0.05, 3)[:8])
    assert not torch.allclose(codes[1], plain.codes(list(views[2]))[1])
    assert torch.equal(method.queue, torch.cat([views[2], views[1]], dim=1))
    again = swav(queue=16)
    again.load_state_dict(method.state_dict())
    torch.testing.assert_close(again.codes(list(views[3])), method.codes(list(views[3])))


@pytest.mark.parametrize("queue, right", [(12, 8), (4, 8), (20, 16)])
def test_refuses_a_queue_that_does_not_fit_the_batch(queue, right):
    with pytest.raises(UserError, match=f"method.queue={queue} .* batches of 8 images; write method.queue={right}"):
        swav(queue=queue)(task())


def test_refuses_more_prototypes_than_images():
    with pytest.raises(UserError, match="method.prototypes=91 is more than the 90 train images"):
        swav(prototypes=91)
