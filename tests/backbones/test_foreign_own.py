"""Our own ResNets and transformers begin from weights of others, too."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from ssl_cli.backbones.base import evaluating
from ssl_cli.backbones.foreign import fetch, named
from ssl_cli.backbones.resnet import ResNet
from ssl_cli.backbones.vit import ViT
from ssl_cli.errors import UserError

SMALL = {"patch_size": 4, "dim": 16, "depth": 2, "heads": 2}


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A ResNet of torchvision's, and the file of its weights."""
    torch.manual_seed(1)
    net, file = models.resnet18(), tmp_path_factory.mktemp("resnet") / "resnet18.pth"
    torch.save(net.state_dict(), file)
    return net, file


def test_a_resnet_is_torchvisions_without_its_classifier(resnet):
    net, file = resnet
    ours = ResNet(3, "resnet18", stem="imagenet", weights=str(file))
    assert ours.origin.tensors == 100 and ours.origin.left == ("fc.weight", "fc.bias")
    images = torch.rand(2, 3, 64, 64)
    with evaluating(ours), evaluating(net), torch.no_grad():
        torch.testing.assert_close(net.fc(ours(images)), net(images))


def test_the_stem_comes_with_the_weights(resnet, tmp_path):
    origin = ResNet.origin_of(arch="resnet18", weights=str(resnet[1]), stem="cifar")
    assert origin.settings == {"stem": "imagenet"} and origin.size == 224 and origin.assumed and origin.licence is None
    with pytest.raises(UserError, match=r"conv1.weight is of shape \[64, 3, 7, 7\] there and \[64, 3, 3, 3\]"):
        ResNet(3, "resnet18", stem="cifar", weights=str(resnet[1]))
    about = {"mean": "[0.1, 0.2, 0.3]", "std": "[1.0, 1.0, 1.0]", "image_size": "32", "licence": "cc-by-nc-4.0"}
    save_file(ResNet(3, "resnet18").state_dict(), tmp_path / "own.safetensors", about)
    origin = ResNet(3, "resnet18", weights=str(tmp_path / "own.safetensors")).origin
    assert origin.settings == {"stem": "cifar"} and origin.non_commercial and not origin.assumed
    assert (origin.mean, origin.size, origin.part) == ((0.1, 0.2, 0.3), 32, "net.")


def test_torchvisions_names_are_looked_for_in_its_cache(tmp_path, monkeypatch, resnet):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(fetch, "reachable", lambda address: False)
    wanted = models.ResNet18_Weights.IMAGENET1K_V1
    for weights in ("pretrained", "IMAGENET1K_V1"):
        with pytest.raises(UserError, match=rf"cannot be fetched .*; put {wanted.url} there"):
            ResNet(3, "resnet18", stem="imagenet", weights=weights)
    with pytest.raises(UserError, match="IMAGENET1K_V9 is neither a file nor .*did you mean 'IMAGENET1K_V1'"):
        ResNet(3, "resnet18", stem="imagenet", weights="IMAGENET1K_V9")
    (tmp_path / "checkpoints").mkdir()
    torch.save(resnet[0].state_dict(), tmp_path / "checkpoints" / wanted.url.rsplit("/", 1)[1])
    origin = ResNet(3, "resnet18", stem="imagenet", weights="pretrained").origin
    assert origin.mean == tuple(wanted.transforms().mean) and origin.size == 224 and not origin.assumed
    assert origin.interpolation == "bilinear" and origin.weights == "torchvision's resnet18, IMAGENET1K_V1"


def test_a_transformer_takes_weights_of_its_kind_only(tmp_path):
    file = tmp_path / "vit.pt"
    there = ViT(3, **SMALL)
    torch.save(there.state_dict(), file)
    here = ViT(3, **SMALL, weights=str(file))
    assert all(torch.equal(value, here.state_dict()[key]) for key, value in there.state_dict().items())
    torch.save({**there.state_dict(), "cls_token": torch.zeros(1, 1, 16)}, file)
    with pytest.raises(UserError, match="cls_token is left over: .*write backbone=timm backbone.name=vit_"):
        ViT(3, **SMALL, weights=str(file))
    with pytest.raises(
        UserError, match="backbone.weights=pretrained is not a file, and nobody publishes such a network"
    ):
        ViT(3, **SMALL, weights="pretrained")


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"_target_": named.TAKE_WEIGHTS[1], "weights": "nowhere/net.pth"}, "nowhere/net.pth does not exist"),
        ({"_target_": named.TAKE_WEIGHTS[2], "weights": "net.safetensors"}, "net.safetensors does not exist"),
        ({"_target_": named.TIMM, "name": "resnet18", "weights": "pretraind"}, "did you mean 'pretrained'"),
    ],
)
def test_a_file_that_is_not_there_is_said_before_torch_is_needed(node, said):
    with pytest.raises(UserError, match=said):
        named.check_named(node)
