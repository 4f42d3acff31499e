"""BatchNorm over parts of a batch, and with the momentum of a source."""

import pytest
import torch
from torch import nn

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.backbones.norms import SplitBatchNorm, check_splits
from ssl_cli.backbones.resnet import ResNet
from ssl_cli.errors import UserError


@pytest.mark.parametrize("channels_last", [False, True])
def test_each_part_is_normalised_as_if_on_a_device_of_its_own(channels_last):
    """Against torch's BatchNorm on every fourth image; running statistics are the mean of the parts', as in MoCo's."""
    split = SplitBatchNorm(3, 4, momentum=0.3).double()
    parts = [nn.BatchNorm2d(3, momentum=0.3).double() for _ in range(4)]
    with torch.no_grad():
        split.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        split.bias.copy_(torch.tensor([0.1, 0.0, -1.0]))
    for part in parts:
        part.load_state_dict(split.state_dict())
    x = torch.randn(12, 3, 5, 4).double() * torch.arange(1, 13).view(-1, 1, 1, 1)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = split(mine)
    expected = torch.stack([part(theirs[i::4]) for i, part in enumerate(parts)], 1).flatten(0, 1)
    torch.testing.assert_close(out, expected)
    weights = torch.randn_like(x)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad)
    torch.testing.assert_close(split.weight.grad, sum(part.weight.grad for part in parts))
    torch.testing.assert_close(split.running_mean, torch.stack([part.running_mean for part in parts]).mean(0))
    torch.testing.assert_close(split.running_var, torch.stack([part.running_var for part in parts]).mean(0))
    assert split.state_dict().keys() == parts[0].state_dict().keys() and split.num_batches_tracked == 1
    plain = nn.BatchNorm2d(3).double()
    plain.load_state_dict(split.state_dict())
    torch.testing.assert_close(split.eval()(x), plain.eval()(x))


def test_a_batch_that_cannot_be_cut_so_is_cut_into_fewer():
    x = torch.randn(6, 3, 2, 2)
    torch.testing.assert_close(SplitBatchNorm(3, 4)(x), SplitBatchNorm(3, 2)(x))
    torch.testing.assert_close(SplitBatchNorm(3, 4)(x[:5]), nn.BatchNorm2d(3)(x[:5]))


@pytest.mark.parametrize("make", [lambda **s: ConvNet(3, (4, 8), **s), lambda **s: ResNet(3, "resnet18", **s)])
def test_every_norm_of_a_backbone_has_what_is_set(make):
    plain, changed = make(), make(norm_momentum=0.001, split_norms=2)
    norms = [part for part in changed.modules() if isinstance(part, SplitBatchNorm)]
    assert len(norms) == sum(type(part) is nn.BatchNorm2d for part in plain.modules())
    assert {(part.momentum, part.splits) for part in norms} == {(0.001, 2)}
    changed.load_state_dict(plain.state_dict())
    images = torch.randn(8, 3, 16, 16)
    torch.testing.assert_close(changed.eval()(images), plain.eval()(images))
    assert not torch.allclose(changed.train()(images), plain.train()(images))
    check_splits(changed, 8, processes=1)
    for wrong, said in (((7, 1), "write trainer.batch_size=8"), ((2, 1), "at least 2"), ((8, 2), "is for one process")):
        with pytest.raises(UserError, match=f"backbone.split_norms=2.*{said}"):
            check_splits(changed, *wrong)
    check_splits(plain, 7, processes=2)
    with pytest.raises(UserError, match="norm_momentum=0.01 is of BatchNorm, and backbone.norm=group"):
        make(norm="group", norm_momentum=0.01)
    with pytest.raises(UserError, match="backbone.norm=bach is unknown; did you mean 'batch'"):
        make(norm="bach")
