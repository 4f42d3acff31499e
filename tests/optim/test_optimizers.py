import copy

import numpy as np
import pytest
import torch
from torch import nn

from ssl_cli.errors import UserError
from ssl_cli.optim.eager import eager_optimizer
from ssl_cli.optim.groups import follow_schedule, layer_decayed, param_groups, scheduled_lr
from ssl_cli.optim.optimizers import LARS, adamw, lars, sgd


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


def backward(net: nn.Module, seed: int) -> None:
    net.zero_grad()
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed))
    net(x).square().mean().backward()


def test_groups_separate_vectors_from_matrices():
    net = small_net()
    decayed, excluded = param_groups(net)
    assert [p.ndim for p in decayed["params"]] == [2, 2]
    assert [p.ndim for p in excluded["params"]] == [1, 1, 1, 1]
    assert excluded["weight_decay"] == 0.0
    assert "weight_decay" not in decayed  # the optimizer's own


def test_groups_leave_out_what_is_frozen_or_empty():
    net = small_net()
    for p in net[0].parameters():
        p.requires_grad = False
    assert sum(len(group["params"]) for group in param_groups(net)) == 4
    only_matrices = [(n, p) for n, p in net.named_parameters() if p.ndim == 2]
    assert len(param_groups(only_matrices)) == 1


@pytest.mark.parametrize("make", [sgd, adamw, lars])
def test_lr_is_scaled_and_remembered_in_every_group(make):
    optimizer = make(param_groups(small_net()), batch_size=512, lr=0.1, scale="linear", weight_decay=0.01)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.2, 0.2])
    assert [g["initial_lr"] for g in optimizer.param_groups] == pytest.approx([0.2, 0.2])
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.01, 0.0]


@pytest.mark.parametrize("make", [sgd, adamw, lars])
def test_without_gradient_only_the_decayed_group_moves(make):
    net = small_net()
    optimizer = make(param_groups(net), batch_size=256, lr=0.1, weight_decay=0.1)
    before = copy.deepcopy(net)
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for p, old in zip(net.parameters(), before.parameters(), strict=True):
        assert torch.equal(p, old) == (p.ndim == 1)
        assert p.ndim == 1 or p.norm() < old.norm()


def test_lars_equals_the_formula_written_out_per_tensor():
    lr, momentum, weight_decay, eta = 0.5, 0.9, 0.01, 0.02
    net = small_net()
    nn.init.zeros_(net[2].weight)  # |w| = 0: the ratio is 1
    reference = copy.deepcopy(net)
    buffers = [torch.zeros_like(p) for p in reference.parameters()]
    optimizer = lars(param_groups(net), 256, lr, "none", weight_decay, momentum, eta)
    for step in range(4):
        backward(net, step)
        optimizer.step()
        backward(reference, step)
        for p, m in zip(reference.parameters(), buffers, strict=True):
            g = p.grad
            if p.ndim > 1:
                g = g + weight_decay * p.data
                if p.data.norm() > 0 and g.norm() > 0:
                    g = g * eta * p.data.norm() / g.norm()
            m.mul_(momentum).add_(g)
            p.data -= lr * m
    for p, expected in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p, expected, atol=1e-6, rtol=1e-5)


class LARC:
    """One step of NVIDIA apex's LARC around SGD, and of solo-learn's LARS, written out tensor by tensor."""

    def __init__(self, net, lr, momentum, weight_decay, eta, clip, exclude_1d):
        self.__dict__.update(locals())
        self.buffers = [torch.zeros_like(p) for p in net.parameters()]

    def step(self):
        for p, m in zip(self.net.parameters(), self.buffers, strict=True):
            d = p.grad.clone()
            if not (self.exclude_1d and p.ndim == 1) and p.data.norm() != 0 and p.grad.norm() != 0:
                ratio = self.eta * p.data.norm() / (p.grad.norm() + self.weight_decay * p.data.norm() + 1e-8)
                ratio = min(ratio / self.lr, 1) if self.clip else ratio
                d = ratio * (p.grad + self.weight_decay * p.data)
            m.mul_(self.momentum).add_(d)
            p.data -= self.lr * m


@pytest.mark.parametrize("clip, exclude_1d, eta", [(True, True, 0.02), (True, True, 20.0), (False, False, 0.001)])
def test_lars_as_solo_learn_and_swav_have_it(clip, exclude_1d, eta):
    net = small_net()
    nn.init.zeros_(net[2].bias)
    reference = copy.deepcopy(net)
    plain = LARC(reference, 0.3, 0.9, 0.05, eta, clip, exclude_1d)
    options = {"decay_1d": not exclude_1d, "adapt_1d": not exclude_1d, "clip_lr": clip, "separate_norms": True}
    optimizer = lars(param_groups(net), 256, 0.3, "none", 0.05, eta=eta, **options)
    for step in range(4):
        for n, o in ((net, optimizer), (reference, plain)):
            backward(n, step)
            o.step()
    for p, expected in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p, expected, atol=1e-6, rtol=1e-5)


def test_lars_leaves_a_layer_without_gradient_where_it_is_and_takes_a_rate_of_zero():
    w = nn.Parameter(torch.randn(4, 3))
    before = w.detach().clone()
    optimizer = LARS([w], lr=0.5, weight_decay=0.1, clip_lr=True, separate_norms=True)
    w.grad = torch.zeros_like(w)
    optimizer.step()
    w.grad = torch.ones_like(w)
    optimizer.param_groups[0]["lr"] = 0.0  # the end of a cosine
    optimizer.step()
    assert torch.equal(w, before)


def test_lars_takes_the_state_of_a_version_that_had_fewer_options():
    w = nn.Parameter(torch.randn(4, 3))
    optimizer, old = LARS([w], lr=0.5), LARS([w], lr=0.5).state_dict()
    for key in ("clip_lr", "separate_norms"):
        del old["param_groups"][0][key]
    optimizer.load_state_dict(old)
    w.grad = torch.ones_like(w)
    optimizer.step()
    assert optimizer.param_groups[0]["clip_lr"] is False


@pytest.mark.parametrize("make", [sgd, adamw, lars])
def test_vectors_decay_and_learn_at_a_rate_of_their_own_where_it_is_asked_for(make):
    matrices, vectors = make(
        layer_decayed(param_groups(small_net()), [], 1.0), 256, 0.2, weight_decay=0.1, decay_1d=True, lr_1d=0.024
    ).param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.1)
    assert (matrices["initial_lr"], vectors["initial_lr"]) == pytest.approx((0.2, 0.0048))  # Barlow Twins' two rates
    assert not vectors.get("lars", False)
    net = small_net()
    cut = make(layer_decayed(param_groups(net), [net[0], net[1]], 0.5), 256, 0.2, lr_1d=0.1).param_groups
    rates = {id(p): group["initial_lr"] for group in cut for p in group["params"]}
    assert [rates[id(p)] for p in net[0].parameters()] == pytest.approx([0.05, 0.005])


def test_weight_decay_goes_from_one_value_to_another_as_in_dino():
    net = small_net()
    optimizer = adamw(param_groups(net), 256, 0.1, weight_decay=0.04, weight_decay_end=0.4)
    steps = 20
    expected = 0.4 + 0.5 * (0.04 - 0.4) * (1 + np.cos(np.pi * np.arange(steps) / steps))  # its cosine_scheduler
    for step in range(steps):
        follow_schedule(optimizer, 0.5, step / steps)
        assert [g["weight_decay"] for g in optimizer.param_groups] == pytest.approx([expected[step], 0.0])
        assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.05, 0.05])
    before = copy.deepcopy(net)
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(net[0].weight, before[0].weight * (1 - 0.05 * expected[-1]))  # the step reads it
    with pytest.raises(UserError, match="weight_decay_end=high is not a number"):
        sgd(param_groups(net), 256, 0.1, weight_decay_end="high")


def test_a_part_can_keep_its_rate_while_the_rest_follows_the_schedule():
    net = small_net()
    optimizer = sgd(param_groups(net, [net[2]]), 256, 0.1)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 3, 1, 1]
    follow_schedule(optimizer, 0.25, 0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in net[2].parameters()} == {0.1}
    assert {rates[id(p)] for part in net[:2] for p in part.parameters()} == {0.025}
    assert scheduled_lr(optimizer) == 0.025


def test_lars_first_step_has_length_lr_eta_norm():
    w = nn.Parameter(torch.randn(4, 3))
    before = w.detach().clone()
    w.grad = torch.randn(4, 3) * 1e3
    LARS([w], lr=0.5, eta=0.001).step()
    assert (w.detach() - before).norm() == pytest.approx(0.5 * 0.001 * before.norm().item(), rel=1e-4)


def test_lars_skips_parameters_without_gradient():
    used, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    used.grad = torch.ones(2, 2)
    optimizer = LARS([used, unused], lr=1.0, weight_decay=0.1)
    optimizer.step()
    assert torch.equal(unused, torch.ones(2, 2))
    assert unused not in optimizer.state


@pytest.mark.parametrize("make", [sgd, adamw, lars])
def test_state_dict_round_trip_continues_bitwise(make, tmp_path):
    def build(net):
        return make(param_groups(net), batch_size=256, lr=0.1, weight_decay=0.01)

    net = small_net()
    optimizer = build(net)
    for step in range(3):
        backward(net, step)
        optimizer.step()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c.pt")
    saved = torch.load(tmp_path / "c.pt", weights_only=True)
    resumed = small_net()
    resumed.load_state_dict(saved["net"])
    again = build(resumed)
    again.load_state_dict(saved["optimizer"])
    for step in range(3, 6):
        for n, o in ((net, optimizer), (resumed, again)):
            backward(n, step)
            o.step()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), resumed.parameters(), strict=True))


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, LARS])
def test_a_step_without_the_compiler_is_the_same_step(kind):
    nets = [torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Linear(7, 1)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    plain, eager = kind(nets[0].parameters(), lr=0.1), eager_optimizer(kind, nets[1].parameters(), lr=0.1)
    for _ in range(3):
        x = torch.randn(4, 5)
        for net, optimizer in zip(nets, (plain, eager), strict=True):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
            assert torch.is_grad_enabled()
    assert all(torch.equal(a, b) for a, b in zip(*(net.parameters() for net in nets), strict=True))
    assert not any(p.grad_fn for p in nets[1].parameters())


def test_training_never_waits_for_the_compilers_import(ssl):
    few = ["backbone.widths=[8,16]", "trainer.max_steps=2", "~probes.linear", "~probes.propagate", "optimizer=adamw"]
    outcome = ssl("train", "method=simclr", *few, process="fresh")
    assert outcome.status == 0, outcome.err
    assert "torch" in outcome.modules
    # Nor for what a small convnet on the digits does not need.
    assert not outcome.modules & {"torch._dynamo", "torchvision", "sympy", "sklearn"}
