import copy

import pytest
import torch
from torch import nn

from ssl_cli.optim.eager import eager_optimizer
from ssl_cli.optim.groups import param_groups
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
    assert len(param_groups(net, exclude_1d=False)) == 1
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
    few = ["backbone.widths=[8,16]", "trainer.max_steps=2", "~probes.linear", "optimizer=adamw"]
    outcome = ssl("train", "method=simclr", *few, process="fresh")
    assert outcome.status == 0, outcome.err
    assert "torch" in outcome.modules
    assert not outcome.modules & {"torch._dynamo", "torchvision", "sympy"}
