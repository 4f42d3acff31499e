"""The triplet loss and its mining against loops over triplets, closed forms and invariances."""

from types import SimpleNamespace

import pytest
import torch
from experiments import IMAGES
from torch.nn import Identity

from ssl_cli.batch import Task
from ssl_cli.errors import UserError
from ssl_cli.methods.shared.pairs import squared_distances
from ssl_cli.methods.triplet import MINING, Triplet, triplet, triplet_loss


def reference(z, group, margin, mining):
    """Anchor by anchor, positive by positive, negative by negative, in plain Python."""
    z = (z.double() / z.double().norm(dim=1, keepdim=True)).tolist()
    d = [[sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) for b in z] for a in z]
    rows, losses = range(len(z)), []
    for a in rows:
        positives = [d[a][p] for p in rows if p != a and group[p] == group[a]]
        negatives = [d[a][n] for n in rows if group[n] != group[a]]
        if not positives or not negatives:
            continue
        if mining == "batch_hard":
            chosen = [(max(positives), min(negatives))]
        elif mining == "semi_hard":
            chosen = [(p, min([n for n in negatives if n > p], default=max(negatives))) for p in positives]
        else:
            chosen = [(p, n) for p in positives for n in negatives]
        losses += [max(0.0, p - n + margin) for p, n in chosen]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("rows, d, classes, margin", [(6, 3, 3, 0.2), (9, 8, 4, 1.0), (12, 2, 2, 0.05)])
def test_equals_loops_over_triplets(mining, rows, d, classes, margin):
    generator = torch.Generator().manual_seed(rows)
    z = torch.randn(rows, d, generator=generator, dtype=torch.float64)
    group = torch.arange(rows) % classes
    expected = reference(z, group.tolist(), margin, mining)
    assert triplet_loss(squared_distances(z), group, margin, mining).item() == pytest.approx(expected, abs=1e-10)
    loss = triplet_loss(squared_distances(z.float()), group, margin, mining)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_hand_example_squared_and_euclidean():
    a, p, n = torch.tensor([[0.0, 0.0], [0.6, 0.0], [0.0, 0.8]], dtype=torch.float64)
    assert triplet((a - p).square().sum(), (a - n).square().sum(), 1.0).item() == pytest.approx(0.72, abs=1e-10)
    euclidean = triplet((a - p).norm(), (a - n).norm(), 1.0)
    assert euclidean.item() == pytest.approx(0.80, abs=1e-10)
    torch.testing.assert_close(euclidean, torch.nn.TripletMarginLoss(margin=1.0, eps=0.0)(a[None], p[None], n[None]))


def test_mining_chooses_what_it_says():
    # Anchor 0 with positives 1 and 2; negatives 3 (nearer than both), 4 (between), 5 (beyond both).
    position = torch.tensor([0.0, 2.0, 4.0, 1.0, 3.0, 7.0])
    group = torch.tensor([0, 0, 0, 3, 4, 5])
    d = (position[:, None] - position[None, :]).abs()
    d[1:3, :] = d[:, 1:3] = -1.0  # watch anchor 0 alone: the others' positives go far below their negatives
    d[0, 1], d[0, 2] = 2.0, 4.0
    d[1:3, 3:] = 100.0
    pairs = 6  # (a, p) among rows 0, 1, 2
    semi_hard = (2 - 3 + 5) + (4 - 7 + 5)  # the nearest negatives beyond 2 and beyond 4
    assert triplet_loss(d, group, 5.0, "semi_hard").item() == pytest.approx(semi_hard / pairs)
    assert triplet_loss(d, group, 5.0, "batch_hard").item() == pytest.approx((4 - 1 + 5) / 3)
    every = sum(max(0, p - n + 5) for p in (2, 4) for n in (1, 3, 7))
    assert triplet_loss(d, group, 5.0, "all").item() == pytest.approx(every / (pairs * 3))


@pytest.mark.parametrize("mining", MINING)
def test_collapsed_embedding_gives_the_margin_and_a_perfect_one_nothing(mining):
    group = torch.arange(4).repeat(2)
    assert triplet_loss(torch.zeros(8, 8), group, 0.2, mining).item() == pytest.approx(0.2, abs=1e-7)
    collapsed = squared_distances(torch.ones(8, 4))
    assert triplet_loss(collapsed, group, 0.2, mining).item() == pytest.approx(0.2, abs=1e-5)
    assert triplet_loss(squared_distances(torch.eye(4)[group]), group, 0.2, mining) == 0


@pytest.mark.parametrize("mining", MINING)
def test_invariances(mining):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    group = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])

    def loss(z, group):
        return triplet_loss(squared_distances(z), group, 0.5, mining)

    order = torch.randperm(8, generator=generator)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    for changed in ((z[order], group[order]), (z @ rotation, group), (z * 3, group), (z, 7 - group)):
        torch.testing.assert_close(loss(*changed), loss(z, group))
    assert abs(loss(z, group.roll(1)) - loss(z, group)) > 1e-3  # other triplets are another loss


@pytest.mark.parametrize("mining", MINING)
def test_gradient_is_right_and_finite(mining):
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    group = torch.tensor([0, 0, 1, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda x: triplet_loss(squared_distances(x), group, 0.3, mining), z)
    for same in (torch.ones(6, 3), torch.zeros(6, 3)):
        same.requires_grad_()
        triplet_loss(squared_distances(same), group, 0.3, mining).backward()
        assert same.grad.isfinite().all()


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("group", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_a_batch_without_triplets_is_no_loss_with_zero_gradient(mining, group):
    z = torch.randn(4, 3, requires_grad=True)
    loss = triplet_loss(squared_distances(z), torch.tensor(group), 0.2, mining)
    loss.backward()
    assert loss == 0 and z.grad.abs().max() == 0


@pytest.mark.parametrize("mining", MINING)
def test_rows_without_a_positive_are_left_out_as_anchors_but_stay_negatives(mining):
    generator = torch.Generator().manual_seed(3)
    z, group = torch.randn(5, 3, generator=generator, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 2])
    expected = reference(z, group.tolist(), 1.0, mining)
    assert triplet_loss(squared_distances(z), group, 1.0, mining).item() == pytest.approx(expected, abs=1e-10)


def toy(pairs="views", mining="all", classes=("a", "b")):
    backbone = Identity()
    backbone.dim = 4
    data = SimpleNamespace(name="toy", classes=classes, labelled=8 if classes else 0, **IMAGES)
    return Triplet(backbone, data, pairs=pairs, mining=mining, margin=0.2, layers=1, hidden_dim=4, out_dim=4)


def test_the_step_compares_both_views_of_all_images():
    method = toy("labels")
    assert method.learns_from == "labels" and toy("views").learns_from == "images"
    views, labels = [torch.randn(4, 4), torch.randn(4, 4)], torch.tensor([0, 1, 1, 0])
    d = squared_distances(method.projector(torch.cat(views)))
    loss = method(Task(views, None, labels, torch.arange(4)))["loss"]
    torch.testing.assert_close(loss, triplet_loss(d, labels.repeat(2), 0.2, "all"))


def test_refuses_bad_settings():
    with pytest.raises(UserError, match="method.mining=semihard is not one of .*; did you mean 'semi_hard'"):
        toy(mining="semihard")
    with pytest.raises(UserError, match="method.pairs=labels needs labels"):
        toy("labels", classes=())
