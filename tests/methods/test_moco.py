"""InfoNCE against a loop and closed forms; what the queue holds; where gradients do not flow."""

import math

import pytest
import torch
import torch.nn.functional as F

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.batch import Task
from ssl_cli.errors import UserError
from ssl_cli.methods.moco import MoCo, info_nce

SETTINGS = {
    "temperature": 0.2,
    "queue_size": 12,
    "momentum": 0.9,
    "symmetric": False,
    "hidden_dim": 8,
    "out_dim": 5,
    "hidden_norm": False,
}


def moco(**changes):
    torch.manual_seed(0)
    return MoCo(ConvNet(1, (4, 8)), None, **{**SETTINGS, **changes}).train()


def task(seed=0, batch=4):
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randn(batch, 1, 8, 8, generator=generator) for _ in range(2)]
    return Task(views, None, torch.full((batch,), -1), torch.arange(batch))


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reference(q, k, queue, temperature):
    """Equation 1 of the paper, row by row, with Python floats."""
    total = 0.0
    for a, b in zip(q.double(), k.double(), strict=True):
        a, b = a / a.norm(), b / b.norm()
        positive = math.exp(float(a @ b) / temperature)
        total -= math.log(positive / (positive + sum(math.exp(float(a @ m) / temperature) for m in queue)))
    return total / len(q)


@pytest.mark.parametrize("n, d, size, temperature", [(1, 2, 3, 0.5), (4, 8, 5, 0.07), (6, 3, 12, 1.0)])
def test_equals_the_equation_row_by_row(n, d, size, temperature):
    q, k, queue = random(n, d), random(n, d, seed=1), F.normalize(random(size, d, seed=2))
    expected = reference(q, k, queue, temperature)
    assert info_nce(q, k, queue, temperature).item() == pytest.approx(expected, abs=1e-10)
    assert info_nce(q.float(), k.float(), queue.float(), temperature).item() == pytest.approx(expected, abs=1e-5)


def test_hand_example():
    queue = torch.tensor([[0.0, 1.0], [-1.0, 0.0], [0.8, 0.6]])
    loss = info_nce(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]]), queue, 0.5)
    assert loss.item() == pytest.approx(1.041612, abs=1e-5)


@pytest.mark.parametrize(
    "size, temperature, expected",
    [(4, 0.2, 0.026595), (4096, 0.1, 0.170551), (65536, 0.07, 0.040135), (65536, 0.2, 6.092617)],
)
def test_own_key_equal_queue_orthogonal(size, temperature, expected):
    q = torch.tensor([[3.0, 0.0]], dtype=torch.float64)
    queue = torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(size, 2)
    assert info_nce(q, q, queue, temperature).item() == pytest.approx(expected, abs=1e-5)
    assert expected == pytest.approx(math.log1p(size * math.exp(-1 / temperature)), abs=1e-5)


@pytest.mark.parametrize("size, expected", [(4096, 8.318010), (65536, 11.090370)])
def test_all_rows_equal_give_the_log_of_the_candidates(size, expected):
    q = torch.tensor([[1.0, 0.0]])
    assert info_nce(q, q, q.expand(size, 2), 0.2).item() == pytest.approx(expected, abs=1e-5)


def test_invariances():
    q, k, queue = random(6, 5), random(6, 5, seed=1), F.normalize(random(8, 5, seed=2))
    loss = info_nce(q, k, queue, 0.3)
    rows, older = torch.randperm(6), torch.randperm(8)
    rotation = torch.linalg.qr(random(5, 5, seed=3)).Q
    scales = random(6, 1, seed=4).abs() + 0.5
    for changed in (
        (q[rows], k[rows], queue),
        (q, k, queue[older]),
        (q @ rotation, k @ rotation, queue @ rotation),
        (q * scales, k / scales, queue),
    ):
        torch.testing.assert_close(info_nce(*changed, 0.3), loss)
    assert abs(info_nce(q, k.roll(1, 0), queue, 0.3) - loss) > 1e-3  # other pairs are another loss


def test_gradient_is_right_and_reaches_queries_only():
    q, k, queue = random(4, 3).requires_grad_(), random(4, 3, seed=1).requires_grad_(), F.normalize(random(5, 3))
    assert torch.autograd.gradcheck(lambda q: info_nce(q, k, queue, 0.2), q)
    info_nce(q, k, queue, 0.2).backward()
    assert k.grad is None and q.grad.abs().sum() > 0


def test_autocast_does_not_lower_the_precision_of_the_loss():
    q, k, queue = (torch.randn(16, 8) for _ in range(3))
    expected = info_nce(q, k, F.normalize(queue), 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(info_nce(q, k, F.normalize(queue), 0.1), expected)


def test_the_queue_holds_the_last_keys_bit_for_bit_and_wraps_around():
    method = moco()
    start, keys = method.queue.clone(), []
    torch.testing.assert_close(start.norm(dim=1), torch.ones(12))
    for step in range(5):
        batch = task(step)
        keys.append(F.normalize(method.teacher(batch.views[1])))
        method(batch)
        assert method.pointer.item() == 4 * (step + 1) % 12
    torch.testing.assert_close(method.queue[8:], keys[2], rtol=0, atol=0)  # steps 3 and 4 took the place of 0 and 1
    torch.testing.assert_close(method.queue[:8], torch.cat(keys[3:]), rtol=0, atol=0)
    assert {"queue", "pointer"} <= method.state_dict().keys()


def test_a_step_compares_with_the_queue_before_its_own_keys_enter():
    method, batch = moco(), task()
    q = method.projector(method.backbone(batch.views[0]))
    expected = info_nce(q, method.teacher(batch.views[1]), method.queue.clone(), 0.2)
    torch.testing.assert_close(method(batch)["loss"], expected)
    method(batch)["loss"].backward()  # although the queue has changed since the forward pass


def test_symmetric_is_the_mean_of_both_directions_and_keeps_the_keys_of_both():
    one_way, both = moco(queue_size=16), moco(queue_size=16, symmetric=True)
    batch = task()
    swapped = Task(batch.views[::-1], None, batch.labels, batch.indices)
    start = one_way.queue.clone()
    losses = []
    for direction in (batch, swapped):
        one_way.queue.copy_(start)
        losses.append(one_way(direction)["loss"])
    torch.testing.assert_close(both(batch)["loss"], torch.stack(losses).mean())
    torch.testing.assert_close(both.queue[4:8], one_way.queue[4:8])  # keys of the first view
    assert both.pointer.item() == 8


def test_the_sum_of_both_directions_is_twice_their_mean():
    losses = [moco(queue_size=16, symmetric=True, reduction=name)(task())["loss"] for name in ("mean", "sum")]
    torch.testing.assert_close(losses[1], 2 * losses[0])
    with pytest.raises(UserError, match="method.reduction=max is not one of mean, sum"):
        moco(reduction="max")


def test_a_projector_of_one_layer_is_the_linear_map_of_the_published_demo():
    method, batch = moco(layers=1), task()
    (head,) = method.projector
    assert (head.in_features, head.out_features, head.bias is not None) == (8, 5, True)
    features = method.backbone(batch.views[0])
    torch.testing.assert_close(method.embed(features), features @ head.weight.T + head.bias)


@pytest.mark.parametrize("hidden_norm", [False, True])
def test_the_key_encoder_gets_no_gradient_and_follows_after_the_step(hidden_norm):
    method = moco(hidden_norm=hidden_norm)
    assert any(isinstance(part, torch.nn.BatchNorm1d) for part in method.projector) == hidden_norm
    method(task())["loss"].backward()
    assert all(p.grad is None and not p.requires_grad for p in method.teacher.parameters())
    assert all(p.grad.abs().sum() > 0 for p in method.parameters() if p.requires_grad)
    before = [p.clone() for p in method.teacher.parameters()]
    online = [*method.backbone.parameters(), *method.projector.parameters()]
    for p in online:
        p.data += 1
    method.after_step(0.5)
    for teacher, old, new in zip(method.teacher.parameters(), before, online, strict=True):
        torch.testing.assert_close(teacher, 0.9 * old + 0.1 * new)


@pytest.mark.parametrize("size, symmetric, remedy", [(2, False, 4), (14, False, 16), (12, True, 16)])
def test_a_queue_that_does_not_hold_whole_batches_is_refused(size, symmetric, remedy):
    with pytest.raises(
        UserError, match=f"method.queue_size={size} is not a multiple .* write method.queue_size={remedy}$"
    ):
        moco(queue_size=size, symmetric=symmetric)(task())


def test_keys_are_shuffled_where_norms_are_split_and_each_comes_back_to_its_image():
    torch.manual_seed(0)
    method = MoCo(ConvNet(1, (4, 8), split_norms=2), None, **SETTINGS).train()
    images = task(batch=8).views[0]
    torch.manual_seed(1)
    keys = method._keys(images)
    torch.manual_seed(1)
    order = torch.randperm(8)
    with torch.no_grad():
        shuffled = method.teacher(images[order])
        plain = method.teacher(images)
    for key, at in zip(F.normalize(shuffled), order.tolist(), strict=True):
        torch.testing.assert_close(keys[at], key)
    assert not torch.allclose(keys, F.normalize(plain), atol=1e-3)  # normalised beside other images
