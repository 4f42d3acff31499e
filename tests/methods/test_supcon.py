"""The supervised contrastive loss against a reference written differently, NT-Xent, closed forms and invariances."""

import math
from types import SimpleNamespace

import pytest
import torch
from experiments import IMAGES
from torch.nn import Identity

from ssl_cli.batch import Task
from ssl_cli.errors import UserError
from ssl_cli.methods.simclr import nt_xent
from ssl_cli.methods.supcon import SupCon, supcon


def reference(z, labels, temperature):
    """Equation 2 of the paper, row by row, with Python loops."""
    z = z.double() / z.double().norm(dim=1, keepdim=True)
    rows, losses = range(len(z)), []
    for i in rows:
        positives = [p for p in rows if p != i and labels[p] == labels[i]]
        if positives:
            candidates = sum(math.exp(float(z[i] @ z[a]) / temperature) for a in rows if a != i)
            logs = [math.log(math.exp(float(z[i] @ z[p]) / temperature) / candidates) for p in positives]
            losses.append(-sum(logs) / len(logs))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("rows, d, classes, temperature", [(6, 3, 2, 0.5), (10, 8, 4, 0.1), (9, 4, 5, 1.0)])
def test_equals_the_equation_row_by_row(rows, d, classes, temperature):
    generator = torch.Generator().manual_seed(rows)
    z = torch.randn(rows, d, generator=generator, dtype=torch.float64)
    labels = torch.arange(rows) % classes  # in the last case one row has no positive
    expected = reference(z, labels, temperature)
    assert supcon(z, labels, temperature).item() == pytest.approx(expected, abs=1e-10)
    assert supcon(z.float(), labels, temperature).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("rows, d, classes, temperature", [(6, 3, 2, 0.5), (10, 8, 4, 0.1), (9, 4, 5, 1.0)])
def test_positives_inside_the_logarithm_equal_equation_3_and_have_solo_learns_gradient(rows, d, classes, temperature):
    generator = torch.Generator().manual_seed(rows)
    z = torch.randn(rows, d, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(rows) % classes  # in the last case one row has no positive
    unit = z / z.norm(dim=1, keepdim=True)
    equation, solo = [], []
    for i in range(rows):
        others = [a for a in range(rows) if a != i]
        positives = [a for a in others if labels[a] == labels[i]]
        if positives:
            similar = {a: torch.exp(unit[i] @ unit[a] / temperature) for a in others}
            share = sum(similar[a] for a in positives) / sum(similar.values())
            equation.append(-torch.log(share / len(positives)))
            solo.append(-torch.log(share))
    loss = supcon(z, labels, temperature, "inside")
    torch.testing.assert_close(loss, torch.stack(equation).mean(), atol=1e-10, rtol=0)
    (ours,) = torch.autograd.grad(loss, z, retain_graph=True)
    (theirs,) = torch.autograd.grad(torch.stack(solo).mean(), z)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)


def test_one_label_an_image_is_nt_xent():
    z1, z2 = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    labels = torch.randperm(6).repeat(2)
    torch.testing.assert_close(supcon(torch.cat([z1, z2]), labels, 0.3), nt_xent(z1, z2, 0.3), atol=1e-12, rtol=0)


@pytest.mark.parametrize("temperature, expected", [(0.1, 1.098673), (0.5, 1.264506)])
def test_collapsed_orthogonal_classes_reach_the_floor(temperature, expected):
    labels = torch.tensor([0, 1, 0, 1]).repeat(2)  # two classes, two images of each, two views
    assert supcon(torch.eye(2)[labels], labels, temperature).item() == pytest.approx(expected, abs=1e-5)
    assert expected == pytest.approx(math.log(3 + 4 * math.exp(-1 / temperature)), abs=1e-5)
    assert expected > math.log(3)


@pytest.mark.parametrize("rows", [4, 16])
def test_all_rows_equal_give_the_log_of_the_candidates(rows):
    loss = supcon(torch.ones(rows, 8), torch.arange(rows) % 2, 0.1)
    assert loss.item() == pytest.approx(math.log(rows - 1), abs=1e-5)


def test_invariances():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    loss = supcon(z, labels, 0.3)
    order = torch.randperm(8, generator=generator)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    scales = torch.rand(8, 1, generator=generator, dtype=torch.float64) + 0.5
    for changed in ((z[order], labels[order]), (z @ rotation, labels), (z * scales, labels), (z, 9 - labels)):
        torch.testing.assert_close(supcon(*changed, 0.3), loss)
    assert abs(supcon(z, labels.roll(1), 0.3) - loss) > 1e-3  # other labels are another loss


def test_rows_without_a_positive_are_safe():
    z = torch.randn(4, 3, requires_grad=True)
    loss = supcon(z, torch.arange(4), 0.1)
    loss.backward()
    assert loss == 0 and torch.equal(z.grad, torch.zeros(4, 3))


def test_gradient_is_right_and_survives_small_temperatures():
    z = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: supcon(x, torch.tensor([0, 0, 1, 1, 2]), 0.2), z)
    z = torch.randn(8, 4, dtype=torch.bfloat16, requires_grad=True)
    supcon(z, torch.arange(8) % 3, 0.01).backward()
    assert z.grad.isfinite().all()


def test_autocast_does_not_lower_the_precision_of_the_loss():
    z, labels = torch.randn(16, 8), torch.arange(16) % 3
    expected = supcon(z, labels, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(supcon(z, labels, 0.1), expected)


def toy(classes=("a", "b")):
    backbone = Identity()
    backbone.dim = 4
    data = SimpleNamespace(name="toy", classes=classes, labelled=8 if classes else 0, **IMAGES)
    return SupCon(backbone, data, temperature=0.1, layers=1, hidden_dim=4, out_dim=4)


def test_the_step_compares_both_views_of_all_images():
    method = toy()
    views, labels = [torch.randn(4, 4), torch.randn(4, 4)], torch.tensor([0, 1, 1, 0])
    z = method.projector(torch.cat(views))
    loss = method(Task(views, None, labels, torch.arange(4)))["loss"]
    torch.testing.assert_close(loss, supcon(z, labels.repeat(2), 0.1))


def test_refuses_data_without_labels():
    with pytest.raises(UserError, match="method=supcon needs labels of at least two classes"):
        toy(())
