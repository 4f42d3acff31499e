"""The loss against loops and closed forms; centre, temperature, teacher and frozen prototypes over some steps."""

import math

import pytest
import torch

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.batch import Task
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.dino import DINO, dino_loss, dino_targets, warmed_up

DATA = ImageInfo("noise", 1, 16, (), 100, 100, 0, (0.5,), (0.2,))
SETTINGS = {
    "prototypes": 12,
    "hidden_dim": 16,
    "bottleneck_dim": 8,
    "head_norm": True,
    "student_temperature": 0.1,
    "teacher_temperature": 0.07,
    "teacher_temperature_start": 0.04,
    "teacher_warmup": 0.5,
    "momentum": 0.9,
    "centre_momentum": 0.9,
    "freeze_epochs": 1,
}


def dino(**changes):
    torch.manual_seed(0)
    return DINO(ConvNet(1, [4, 8]), DATA, **{**SETTINGS, **changes})


def task(local=2, seed=0, batch=6):
    generator = torch.Generator().manual_seed(seed)
    sizes = [16] * 2 + [8] * local
    views = [torch.randn(batch, 1, size, size, generator=generator) for size in sizes]
    return Task(views, None, torch.full((batch,), -1), torch.arange(batch))


def logits(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(row):
    weights = [math.exp(x) for x in row]
    return [w / sum(weights) for w in weights]


def reference(s, t, c, student_temperature, teacher_temperature):
    """Equation 3, pair by pair, image by image, prototype by prototype."""
    losses = []
    for g, v in ((g, v) for g in range(len(t)) for v in range(len(s)) if v != g):
        for b in range(s.shape[1]):
            p = softmax([(float(x) - float(y)) / teacher_temperature for x, y in zip(t[g, b], c, strict=True)])
            q = softmax([float(x) / student_temperature for x in s[v, b]])
            losses.append(-sum(a * math.log(b) for a, b in zip(p, q, strict=True)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("views, globals_, batch, k", [(2, 2, 3, 4), (6, 2, 2, 5), (3, 1, 4, 3)])
def test_equals_the_equation_pair_by_pair(views, globals_, batch, k):
    s, t, c = logits(views, batch, k), logits(globals_, batch, k, seed=1), logits(k, seed=2)
    expected = reference(s, t, c, 0.5, 0.2)
    assert dino_loss(s, dino_targets(t, c, 0.2), 0.5).item() == pytest.approx(expected, abs=1e-10)
    s, t, c = (x.float() for x in (s, t, c))
    assert dino_loss(s, dino_targets(t, c, 0.2), 0.5).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("k, expected", [(4096, 8.317766), (65536, 11.090355)])
def test_a_uniform_student_costs_the_log_of_the_prototypes(k, expected):
    p = dino_targets(logits(2, 2, k).float(), torch.zeros(k), 0.04)
    assert dino_loss(torch.zeros(4, 2, k), p, 0.1).item() == pytest.approx(expected, abs=1e-5)


def test_a_student_that_is_as_sure_as_its_teacher():
    s, p = torch.zeros(2, 1, 3, dtype=torch.float64), torch.zeros(2, 1, 3, dtype=torch.float64)
    s[..., 0] = p[..., 0] = 1  # logits 10, 0, 0 at T = 0.1; the teacher says 1, 0, 0
    assert dino_loss(s, p, 0.1).item() == pytest.approx(math.log1p(2 * math.exp(-10)), abs=1e-12)  # 9.0796e-5


@pytest.mark.parametrize("local", [0, 1, 4])
def test_no_view_is_its_own_target(local):
    """With orthogonal targets per view, each pair's cost is known, and so is how many there are: 2 (L + 2) - 2."""
    views = 2 + local
    s, p = torch.zeros(views, 1, 2, dtype=torch.float64), torch.eye(2, dtype=torch.float64).view(2, 1, 2)
    s[0, 0], s[1, 0] = torch.tensor([50.0, 0.0]), torch.tensor([0.0, 50.0])  # as its own target has it
    # Two crossed pairs at 50 each, and all pairs of local views at ln 2.
    expected = (2 * 50 + 2 * local * math.log(2)) / (2 * (local + 2) - 2)
    assert dino_loss(s, p, 1.0).item() == pytest.approx(expected, abs=1e-10)


def test_centring_and_sharpening():
    t, c = logits(2, 3, 5), logits(5, seed=1)
    torch.testing.assert_close(dino_targets(t + c, c, 0.1), dino_targets(t, torch.zeros(5), 0.1))
    entropy = [torch.special.entr(dino_targets(t, c, tau)).sum(-1).mean() for tau in (0.02, 0.1, 1, 100)]
    assert entropy == sorted(entropy) and entropy[0] < 0.1 and entropy[-1] > 0.999 * math.log(5)


def test_gradient_reaches_the_student_only():
    s, t = logits(3, 2, 4).requires_grad_(), logits(2, 2, 4, seed=1).requires_grad_()
    p = dino_targets(t, torch.zeros(4), 0.1)
    assert torch.autograd.gradcheck(lambda x: dino_loss(x, p, 0.3), s)
    dino_loss(s, p, 0.1).backward()
    assert t.grad is None and s.grad.abs().sum() > 0


def test_autocast_does_not_lower_the_precision_of_the_loss():
    s, p = logits(4, 8, 16).float(), dino_targets(logits(2, 8, 16, seed=1).float(), torch.zeros(16), 0.04)
    expected = dino_loss(s, p, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(dino_loss(s, p, 0.1), expected)


@pytest.mark.parametrize("s, p", [((1, 4, 3), (1, 4, 3)), ((2, 4, 3), (3, 4, 3)), ((2, 4, 3), (2, 5, 3)), ((4,), (4,))])
def test_refuses_what_has_no_meaning(s, p):
    with pytest.raises(ValueError, match="must be"):
        dino_loss(torch.ones(s), torch.ones(p), 0.1)


def test_forward_is_the_loss_of_both_networks_views():
    method, given, centre = dino().double().train(), task(), logits(12)
    given.views = [view.double() for view in given.views]
    method.centre.copy_(centre)
    with torch.no_grad():  # BatchNorm of the backbone sees one size of view at a time, that of the head all
        features = torch.cat([method.backbone(torch.cat(given.views[i : i + 2])) for i in (0, 2)])
        s = method.head(features).unflatten(0, (4, 6))
        t = method.teacher(torch.cat(given.views[:2])).unflatten(0, (2, 6))
    assert (s.abs() <= 1).all()  # cosines
    expected = reference(s, t, centre, 0.1, method.teacher_temperature.item())
    assert method(given)["loss"].item() == pytest.approx(expected, abs=1e-10)


def test_centre_follows_the_teachers_mean_after_the_loss_has_used_the_old_one():
    method, given = dino().double().train(), task()
    given.views = [view.double() for view in given.views]
    mean = method.teacher(torch.cat(given.views[:2])).mean(0)
    for steps in (1, 2, 3):
        method(given)
        torch.testing.assert_close(method.centre, (1 - 0.9**steps) * mean)  # 0.271 of the way after three
    method.eval()(given)
    torch.testing.assert_close(method.centre, 0.271 * mean)


def test_teacher_temperature_rises_linearly_and_stays():
    assert [warmed_up(p, 0.04, 0.07, 0.3) for p in (0, 0.15, 0.3, 1)] == pytest.approx([0.04, 0.055, 0.07, 0.07])
    assert warmed_up(0, 0.04, 0.07, 0) == 0.07
    method, seen = dino(), []
    for progress in (0.25, 0.5, 1.0):
        seen.append(method.teacher_temperature.item())
        method.after_step(progress)
    assert seen == pytest.approx([0.04, 0.055, 0.07])


def test_teacher_follows_and_gets_no_gradient():
    method = dino()
    before = [p.clone() for p in method.teacher.parameters()]
    with torch.no_grad():
        for p in method.parameters():
            if p.requires_grad:
                p.add_(1)
    method(task())["loss"].backward()
    method.after_step(0.5)  # half a cosine from 0.9 to 1: keeps 0.95
    for old, new in zip(before, method.teacher.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.05)
        assert new.grad is None and not new.requires_grad


@pytest.mark.parametrize("head_norm", [True, False])
def test_prototypes_are_frozen_for_the_first_epochs_only(head_norm):
    method = dino(head_norm=head_norm)
    for epoch, frozen in ((0, True), (1, False)):
        method.start_epoch(epoch)
        method.zero_grad()
        method(task())["loss"].backward()
        for name, p in method.named_parameters():
            if p.requires_grad:
                assert (p.grad.abs().sum() == 0) == (frozen and name == "head.prototypes.weight"), name


def test_length_of_a_prototype_means_nothing():
    method, x = dino().eval(), torch.randn(4, 8)
    expected = method.head(x)
    with torch.no_grad():
        method.head.prototypes.weight.mul_(7)
    torch.testing.assert_close(method.head(x), expected)


def test_all_that_changes_is_in_the_state():
    method, other = dino().train(), dino().train()
    method.start_epoch(0)
    for seed in range(2):
        method(task(seed=seed))
        method.after_step(0.2 * (seed + 1))
    assert not torch.equal(method(task(seed=5))["loss"], other(task(seed=5))["loss"])
    other.load_state_dict(method.state_dict())
    out, again = method(task(seed=5)), other(task(seed=5))
    assert torch.equal(out["loss"], again["loss"]) and torch.equal(method.centre, other.centre)
    assert {"centre", "teacher_temperature", "head.frozen"} <= set(method.state_dict())


def test_two_global_views_are_enough():
    out = dino()(task(local=0))
    assert out["loss"].isfinite() and 0 <= out["teacher_entropy"] <= math.log(12) + 1e-6


def test_more_prototypes_than_images_are_refused():
    with pytest.raises(UserError, match=r"prototypes=101 .*100 train images.*prototypes=10 "):
        dino(prototypes=101)


def test_the_head_starts_with_the_published_deviation():
    first = dino(head_norm=False, hidden_dim=256, head_std=0.02).head.mlp[0]
    assert first.weight.std().item() == pytest.approx(0.02, rel=0.05)  # of 2048 numbers; by default 8 ** -0.5 = 0.35
    assert not first.bias.any()
