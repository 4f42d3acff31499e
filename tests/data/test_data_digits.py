import numpy as np
import pytest
import torch

from ssl_cli.data.images import digits


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    reference = load_digits()
    data = digits.load(storage_size=8)
    assert np.array_equal(data.labels, reference.target)
    assert np.abs(data.images[:, 0].numpy() - reference.images * 255 / 16).max() <= 0.5
    assert data.classes == tuple("0123456789")


def test_enlarging_keeps_the_picture():
    small, large = digits.load(storage_size=8).images.float(), digits.load().images
    assert large.shape == (1797, 1, 16, 16)
    assert large.dtype == torch.uint8
    reduced = torch.nn.functional.avg_pool2d(large.float(), 2)
    assert torch.stack([reduced.flatten(), small.flatten()]).corrcoef()[0, 1] > 0.98
    assert large.float().mean().item() == pytest.approx(small.mean().item(), abs=2)
