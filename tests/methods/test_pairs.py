"""Which rows are alike, how far apart they are, and what is refused."""

from types import SimpleNamespace

import pytest
import torch
from experiments import IMAGES

from ssl_cli.errors import UserError
from ssl_cli.methods.shared.pairs import check_pairs, groups, masked_mean, masks, require_labels, squared_distances


def info(classes=("a", "b"), labelled=8):
    return SimpleNamespace(name="toy", classes=classes, labelled=labelled, **IMAGES)


def test_groups_are_images_or_classes():
    task = SimpleNamespace(indices=torch.tensor([7, 3, 7, 0, 5]), labels=torch.tensor([0, 1, 0, -1, -1]))
    by_view, by_label = groups(task, "views"), groups(task, "labels")
    same = torch.eye(5, dtype=torch.bool)
    same[0, 2] = same[2, 0] = True  # one image drawn twice; also one class
    assert torch.equal(by_view[:, None] == by_view, same)
    assert torch.equal(by_label[:, None] == by_label, same), "an image without a label is like itself only"


def test_masks_cover_all_pairs_but_the_diagonal():
    positive, negative = masks(torch.tensor([4, 4, -2, 4]))
    assert positive.tolist() == [[0, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]]
    assert torch.equal(positive | negative, ~torch.eye(4, dtype=torch.bool))
    assert not (positive & negative).any()


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_distances_are_those_of_unit_vectors(dtype, tolerance):
    z = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = z / z.norm(dim=1, keepdim=True)
    expected = (u[:, None] - u[None, :]).square().sum(2)
    d = squared_distances((3 * z).to(dtype))
    assert d.dtype == dtype and (d >= 0).all()
    torch.testing.assert_close(d.double(), expected, atol=tolerance, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(squared_distances((3 * z).to(dtype)), d)


def test_mean_of_nothing_is_zero_with_zero_gradient():
    x = torch.tensor([1.0, 3.0, torch.inf], requires_grad=True)
    assert masked_mean(x, torch.tensor([True, True, False])).item() == 2
    masked_mean(x, torch.zeros(3, dtype=torch.bool)).backward()
    assert torch.equal(x.grad, torch.zeros(3))


def test_refuses_unknown_pairs_and_labels_that_are_not_there():
    check_pairs("views", info((), 0))
    check_pairs("labels", info())
    with pytest.raises(UserError, match="method.pairs=label is not one of views, labels; did you mean 'labels'"):
        check_pairs("label", info())
    for classes, labelled in (((), 0), (("a",), 16), (("a", "b"), 0)):
        with pytest.raises(UserError, match="method.pairs=labels needs labels of at least two classes; toy has"):
            check_pairs("labels", info(classes, labelled))
    with pytest.raises(UserError, match="method=x needs .* or do y"):
        require_labels("method=x", info((), 0), "do y")
