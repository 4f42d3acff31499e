"""State dicts as methods and libraries publish them come into a network whole, or not at all."""

import pytest
import torch
from torchvision.models.resnet import BasicBlock, ResNet

from ssl_cli.backbones.foreign.fit import fit
from ssl_cli.errors import UserError

LIGHTLY = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
SEED = torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def net():
    net = ResNet(BasicBlock, [1, 1, 1, 1])
    net.fc = torch.nn.Identity()
    return net


def published(net) -> dict:
    """Weights of the network that are not its own."""
    return {
        name: torch.rand(tensor.shape, generator=SEED) if tensor.is_floating_point() else torch.tensor(7)
        for name, tensor in net.state_dict().items()
    }


def other(tensors) -> dict:
    return {name: tensor + 1 for name, tensor in tensors.items()}


def behind(prefix, tensors) -> dict:
    return {prefix + name: tensor for name, tensor in tensors.items()}


HEAD = {"fc.weight": torch.zeros(2, 512), "fc.bias": torch.zeros(2)}
MLP = {"projector.0.weight": torch.zeros(2, 512), "projector.1.weight": torch.zeros(2)}
LAYOUTS = {  # name -> of the tensors, what is published; what stands before the names; what is left beside them
    "torchvision": (lambda t: {**t, **HEAD}, "", 2),
    "two GPUs, compiled": (lambda t: behind("_orig_mod.module.", t), "_orig_mod.module.", 0),
    "ssl export": (lambda t: behind("net.", t), "net.", 0),
    "MoCo": (
        lambda t: {
            **behind("state_dict.module.encoder_q.", {**t, "fc.0.weight": torch.zeros(2, 512)}),
            **behind("state_dict.module.encoder_k.", other(t)),
            "state_dict.module.queue": torch.zeros(2, 8),
            **behind("optimizer.state.0.", {"momentum_buffer": torch.zeros(3)}),
        },
        "state_dict.module.encoder_q.",
        1,
    ),
    "MoCo v3": (
        lambda t: {
            **behind("state_dict.module.base_encoder.", t),
            **behind("state_dict.module.momentum_encoder.", other(t)),
            **behind("state_dict.module.predictor.", {"0.weight": torch.zeros(2, 2)}),
        },
        "state_dict.module.base_encoder.",
        0,
    ),
    "DINO": (
        lambda t: {
            **behind("student.module.backbone.", other(t)),
            **behind("teacher.backbone.", t),
            **behind("teacher.head.", {"mlp.0.weight": torch.zeros(2, 2)}),
            "dino_loss.center": torch.zeros(1, 4),
        },
        "teacher.backbone.",
        0,
    ),
    "SimCLR": (lambda t: {**behind("encoder.", t), **MLP}, "encoder.", 0),
    "SimCLR (sthalles)": (lambda t: behind("state_dict.backbone.", {**t, "fc.0.weight": HEAD["fc.weight"]}), None, 1),
    "SwAV": (
        lambda t: behind("module.", {**t, "projection_head.0.weight": torch.zeros(2, 2), "prototypes.weight": MLP}),
        "module.",
        2,
    ),
    "Barlow Twins": (lambda t: {**behind("model.module.backbone.", t), **behind("model.module.", MLP)}, None, 0),
    "solo-learn": (
        lambda t: {
            **behind("state_dict.backbone.", t),
            **behind("state_dict.momentum_backbone.", other(t)),
            **behind("state_dict.", MLP),
            "state_dict.queue": torch.zeros(4),
        },
        "state_dict.backbone.",
        0,
    ),
    "lightly": (
        lambda t: {
            **{f"backbone.{LIGHTLY[n.split('.')[0]]}.{n.split('.', 1)[1]}": tensor for n, tensor in t.items()},
            **behind("projection_head.layers.", {"0.weight": torch.zeros(2, 2)}),
        },
        "backbone.",
        0,
    ),
    "an average (timm)": (
        lambda t: {**behind("state_dict.", other(t)), **behind("state_dict_ema.", t)},
        "state_dict_ema.",
        0,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_published_comes_in_whole(net, layout):
    publish, part, left = LAYOUTS[layout]
    theirs = published(net)
    file = publish(theirs)
    if layout == "SwAV":
        file["module.prototypes.weight"] = torch.zeros(3)
    found = fit(net.state_dict(), file, "FILE")
    assert found.state.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in found.state.items())
    assert part is None or found.part == part
    assert len(found.left) == left


def without(tensors, name) -> dict:
    return {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: without(t, "layer4.0.conv2.weight"), "layer4.0.conv2.weight is missing there"),
        (lambda t: {**t, "layer5.0.weight": torch.zeros(1)}, "layer5.0.weight is left over"),
        (lambda t: {**t, "bn1.bias": torch.zeros(3)}, r"bn1.bias is of shape \[3\] there and \[64\]"),
        (lambda t: {**t, "bn1.bias": torch.full((64,), torch.nan)}, "not finite, in bn1.bias"),
        (lambda t: behind("blocks.", t) | {"x": torch.zeros(1)}, None),
        (lambda t: {"embed": torch.zeros(1)}, "no tensor of this network's names .it has embed"),
        (lambda t: {**t, "conv1.weight": torch.zeros(64, 5, 7, 7)}, "of images of 5 channels, these have 3"),
        (lambda t: {**t, "conv1.weight": torch.zeros(64, 3, 3, 3)}, r"\[64, 3, 3, 3\] there and \[64, 3, 7, 7\]"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(net, change, said):
    file = change(published(net))
    if said is None:  # an unknown word before all names is found out
        assert fit(net.state_dict(), file, "FILE").part == "blocks."
        return
    with pytest.raises(UserError, match=said):
        fit(net.state_dict(), file, "FILE", first=["conv1.weight"])


def test_counters_of_old_files_may_be_missing(net):
    theirs = {name: tensor for name, tensor in published(net).items() if "num_batches" not in name}
    assert fit(net.state_dict(), theirs, "FILE").state.keys() == net.state_dict().keys()


def test_a_network_of_grey_images_gets_the_sum_over_colours(net):
    theirs, own = published(net), net.state_dict() | {"conv1.weight": torch.zeros(64, 1, 7, 7)}
    state = fit(own, theirs, "FILE", first=["conv1.weight"]).state
    torch.testing.assert_close(state["conv1.weight"], theirs["conv1.weight"].sum(1, keepdim=True))


def test_half_precision_becomes_the_networks(net):
    theirs = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in published(net).items()}
    assert fit(net.state_dict(), theirs, "FILE").state["conv1.weight"].dtype == torch.float32
