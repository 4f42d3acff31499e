"""The contrastive margin loss against the paper's equation pair by pair, closed forms and invariances."""

from types import SimpleNamespace

import pytest
import torch
from experiments import IMAGES, composed
from torch.nn import Identity

from ssl_cli.batch import Task
from ssl_cli.errors import UserError
from ssl_cli.methods.siamese import Siamese, contrastive, pair_loss
from ssl_cli.setup.prepare import prepare


def reference(z, group, margin):
    """Equation 4 of the paper, pair by pair, each kind averaged on its own."""
    z = z.double() / z.double().norm(dim=1, keepdim=True)
    losses = {True: [], False: []}
    for i in range(len(z)):
        for j in range(i):
            d = float((z[i] - z[j]).norm())
            similar = bool(group[i] == group[j])
            losses[similar].append(d**2 / 2 if similar else max(0.0, margin - d) ** 2 / 2)
    return sum(sum(kind) / len(kind) for kind in losses.values() if kind) / 2


@pytest.mark.parametrize("rows, d, classes, margin", [(6, 3, 2, 1.0), (9, 8, 4, 1.5), (12, 2, 3, 0.3)])
def test_equals_the_equation_pair_by_pair(rows, d, classes, margin):
    generator = torch.Generator().manual_seed(rows)
    z = torch.randn(rows, d, generator=generator, dtype=torch.float64)
    group = torch.arange(rows) % classes
    expected = reference(z, group, margin)
    assert pair_loss(z, group, margin).item() == pytest.approx(expected, abs=1e-10)
    assert pair_loss(z.float(), group, margin).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "d, dissimilar, expected", [(0.5, False, 0.125), (0.5, True, 0.125), (1.0, True, 0), (0.0, True, 0.5)]
)
def test_single_pairs(d, dissimilar, expected):
    d = torch.tensor(d, dtype=torch.float64)
    assert contrastive(d, torch.tensor(dissimilar), 1.0).item() == pytest.approx(expected, abs=1e-10)


def test_collapsed_and_perfect_embeddings():
    group = torch.tensor([0, 1, 2, 3]).repeat(2)
    assert pair_loss(torch.ones(8, 4), group, 1.0).item() == pytest.approx(0.25, abs=1e-3)
    assert pair_loss(torch.eye(4, dtype=torch.float64)[group], group, 1.4).item() == pytest.approx(0, abs=1e-10)


def test_invariances():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    group = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    loss = pair_loss(z, group, 1.2)
    order = torch.randperm(8, generator=generator)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    scales = torch.rand(8, 1, generator=generator, dtype=torch.float64) + 0.5
    for changed in ((z[order], group[order]), (z @ rotation, group), (z * scales, group), (z, 7 - group)):
        torch.testing.assert_close(pair_loss(*changed, 1.2), loss)
    assert abs(pair_loss(z, group.roll(1), 1.2) - loss) > 1e-3  # other pairs are another loss


def test_gradient_is_right_and_finite_where_distances_are_zero():
    z = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    group = torch.tensor([0, 0, 1, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda x: pair_loss(x, group, 1.0), z)
    for same in (torch.ones(6, 3), torch.zeros(6, 3), torch.randn(1, 3).repeat(6, 1)):
        same.requires_grad_()
        pair_loss(same, group, 1.0).backward()
        assert same.grad.isfinite().all() and same.grad.abs().max() < 1


def test_far_negatives_get_no_gradient():
    z = torch.eye(4, dtype=torch.float64).requires_grad_()
    pair_loss(z, torch.arange(4), 1.4).backward()  # all distances are sqrt(2)
    assert z.grad.abs().max() == 0
    pair_loss(z, torch.arange(4), 1.5).backward()
    assert z.grad.abs().max() > 0


def test_one_kind_of_pair_only_is_no_error():
    z = torch.randn(4, 3)
    assert pair_loss(z, torch.zeros(4), 1.0).item() == pytest.approx(reference(z, torch.zeros(4), 1.0), abs=1e-5)
    assert pair_loss(z, torch.arange(4), 1.0).item() == pytest.approx(reference(z, torch.arange(4), 1.0), abs=1e-5)


def test_pairs_of_labels_see_labels_and_pairs_of_views_do_not():
    for pairs, learns_from in (("views", "images"), ("labels", "labels")):
        overrides = ["method=siamese", f"method.pairs={pairs}", "dataset.labels=4/class", "trainer.batch_size=64"]
        experiment = prepare(composed("train", overrides))
        assert experiment.method.learns_from == learns_from
        assert len(experiment.loader.positions) == (40 if pairs == "labels" else len(experiment.data.splits["train"]))


def toy(pairs, classes):
    backbone = Identity()
    backbone.dim = 4
    data = SimpleNamespace(name="toy", classes=classes, labelled=8 if classes else 0, **IMAGES)
    return Siamese(backbone, data, pairs=pairs, margin=1.0, layers=1, hidden_dim=4, out_dim=4)


def test_the_step_compares_both_views_of_all_images():
    method = toy("labels", ("a", "b"))
    views, labels = [torch.randn(4, 4), torch.randn(4, 4)], torch.tensor([0, 1, 1, 0])
    z = method.projector(torch.cat(views))
    loss = method(Task(views, None, labels, torch.arange(4)))["loss"]
    torch.testing.assert_close(loss, pair_loss(z, labels.repeat(2), 1.0))
    by_view = toy("views", ())
    by_view.load_state_dict(method.state_dict())
    loss = by_view(Task(views, None, torch.full((4,), -1), torch.tensor([9, 5, 2, 0])))["loss"]
    torch.testing.assert_close(loss, pair_loss(z, torch.arange(4).repeat(2), 1.0))


def test_pairs_of_labels_without_labels_is_refused():
    with pytest.raises(UserError, match="method.pairs=labels needs labels"):
        toy("labels", ())
