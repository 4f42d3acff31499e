"""Networks that take clips."""

import pytest
import torch
from experiments import composed, option

from ssl_cli.backbones.build import build_backbone, called_with
from ssl_cli.config.build import instantiate
from ssl_cli.data.clips.info import ClipInfo
from ssl_cli.errors import UserError


def info(frames: int = 4, size: int = 16, channels: int = 3) -> ClipInfo:
    zero = (0.0,) * channels
    return ClipInfo("tiny", channels, frames, 2 * frames, 8.0, size, (), 0, 0, 0, zero, (1.0,) * channels)


def build(name: str, *overrides: str, data: ClipInfo | None = None, pretrained: bool = True):
    return build_backbone(option("backbone", name, *overrides), data or info(), 0, pretrained=pretrained).eval()


def clips(n: int = 2, data: ClipInfo | None = None) -> torch.Tensor:
    data = data or info()
    shape = n, data.frames, data.channels, data.image_size, data.image_size
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


NETS = {
    "convnet_video": ["backbone.widths=[8,16]"],
    "convnet_video_motion": ["backbone.widths=[8,16]"],
    "frames": ["backbone.of.widths=[8,16]"],
    "r2plus1d_18": ["backbone.arch=mc3_18"],  # a third of the weights
}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        *((name, []) for name in NETS),
        ("convnet_video", ["backbone.norm=group"]),
        ("frames", ["backbone.over_time=convolution"]),
    ],
)
def test_every_net_takes_clips(name, more):
    data = info(channels=1)
    net = build(name, *NETS[name], *more, data=data)
    x = clips(3, data)
    with torch.no_grad():
        features = net(x)
        assert features.shape == (3, net.dim)
        torch.testing.assert_close(net(x[1:2]), features[1:2], atol=1e-4, rtol=1e-4)
        assert net(net.example()).shape == (1, net.dim)
    inside = [id(p) for block in net.blocks() for p in block.parameters()]
    assert sorted(inside) == sorted(id(p) for p in net.parameters())
    found = []  # what a block puts out becomes one vector a clip
    for block in net.blocks():
        block.register_forward_hook(lambda _, __, out: found.append(net.pooled(out)))
    with torch.no_grad():
        net(x)
    assert len(found) == len(net.blocks())
    assert all(out.ndim == 2 and len(out) == 3 for out in found)


def test_over_time_is_a_convolution_of_the_frames_features():
    net, features = build("frames", *NETS["frames"], "backbone.over_time=convolution"), torch.randn(2, 4, 16)
    expected = torch.nn.functional.conv1d(features.mT, net.time.weight, net.time.bias, padding=1)  # [B, d, T]
    torch.testing.assert_close(net.pooled(net.time(features)), expected.mean(2))


@pytest.mark.parametrize("name", ["convnet_video", "frames"])
def test_an_empty_one_of_the_same_shape_is_built_again(name):
    node = option("backbone", name, *NETS[name])
    net = build(name, *NETS[name])
    target, arguments = called_with(dict(node), net)
    again = instantiate({"_target_": target, "_recursive_": False, **arguments})
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}


def test_space_and_time_are_convolved_as_three_dimensional_convolutions_would():
    net = build("convnet_video", "backbone.widths=[8]")
    block, x = net.stages[0], clips(2)
    space = torch.nn.functional.conv3d(x.transpose(1, 2), block.space.weight.unsqueeze(2), None, (1, 2, 2), (0, 1, 1))
    scale, shift = (
        (norm.weight / (norm.running_var + norm.eps).sqrt(), norm.bias) for norm in (block.space_norm, block.time_norm)
    )
    space = (space * scale[0].view(-1, 1, 1, 1) + scale[1].view(-1, 1, 1, 1)).relu()
    time = torch.nn.functional.conv3d(space, block.time.weight.unsqueeze(4), None, 1, (1, 0, 0))
    out = (space + time * shift[0].view(-1, 1, 1, 1) + shift[1].view(-1, 1, 1, 1)).relu()
    torch.testing.assert_close(block(x), out.transpose(1, 2), atol=1e-5, rtol=1e-4)


def test_the_order_of_frames_is_seen_by_all_but_the_mean_over_frames():
    x = clips(2)
    for name, overrides, sees in (
        ("convnet_video", NETS["convnet_video"], True),
        ("frames", NETS["frames"], False),
        ("frames", [*NETS["frames"], "backbone.over_time=convolution"], True),
    ):
        net = build(name, *overrides)
        with torch.no_grad():
            assert torch.allclose(net(x), net(x.flip(1)), atol=1e-5) != sees, (name, overrides)


def test_differences_are_all_that_a_network_for_motion_sees():
    net, plain = (build(name, *NETS[name]) for name in ("convnet_video_motion", "convnet_video"))
    plain.load_state_dict(net.state_dict())
    x = clips(2)
    with torch.no_grad():
        torch.testing.assert_close(net(x), plain(x[:, 1:] - x[:, :-1]))
        torch.testing.assert_close(net(x + torch.randn(2, 1, *x.shape[2:])), net(x), atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match=r"needs 2 frames or more, tiny shows it 1; write dataset.view_frames=2"):
        info(frames=1).check_backbone(net)


def test_frames_are_what_the_network_for_images_makes_of_each():
    net = build("frames", *NETS["frames"])
    x = clips(2)
    with torch.no_grad():
        each = torch.stack([net.net(x[:, time]) for time in range(4)], dim=1)
        torch.testing.assert_close(net(x), each.mean(1), atol=1e-5, rtol=1e-4)


def test_any_network_for_images_can_be_chosen_with_weights(tmp_path):
    chosen = ["backbone@backbone.of=resnet18"]
    net = build("frames", *chosen)
    assert net.dim == 512 and net.net.net.layer1[0].bn2.weight.abs().max() == 0  # it begins at the identity
    baseline = build("frames", *chosen, pretrained=False)
    assert baseline.net.net.layer1[0].bn2.weight.min() == 1
    file = tmp_path / "net.pt"
    torch.save(baseline.net.net.state_dict(), file)
    loaded = build("frames", *chosen, f"backbone.weights={file}")
    torch.testing.assert_close(loaded.net.state_dict(), baseline.net.state_dict())
    assert loaded.origin.tensors and loaded.origin.weights == str(file)
    with pytest.raises(UserError, match="the network for frames takes none"):
        build("frames", f"backbone.weights={file}")


def test_weights_of_a_video_network_come_with_what_belongs_to_them(tmp_path):
    arch = "backbone.arch=mc3_18"
    baseline = build("r2plus1d_18", arch)
    file = tmp_path / "net.pt"
    torch.save({f"module.{name}": tensor for name, tensor in baseline.net.state_dict().items()}, file)
    grey = build("r2plus1d_18", arch, f"backbone.weights={file}", data=info(channels=1))
    expected = baseline.state_dict()
    expected["net.stem.0.weight"] = expected["net.stem.0.weight"].sum(1, keepdim=True)
    torch.testing.assert_close(grey.state_dict(), expected)
    origin = grey.origin
    assert (origin.size, origin.assumed) == (112, True) and origin.mean[0] == 0.43216


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("convnet", [], "takes single frames, and tiny has clips; write backbone=convnet_video, or backbone=frames"),
        ("convnet_video", ["backbone.widths=[4,4,4,4,4]"], "needs frames of at least 32 pixels, tiny has 16"),
        ("convnet_video", ["backbone.sees=difference"], "sees=difference is not.*did you mean 'differences'"),
        ("frames", ["backbone.over_time=max"], "backbone.over_time=max is unknown.*; write mean or convolution"),
        ("r2plus1d_18", ["backbone.arch=r2plus1d"], r"backbone.arch=r2plus1d is unknown.*did you mean 'r2plus1d_18'"),
    ],
)
def test_what_cannot_be(name, overrides, said):
    with pytest.raises(UserError, match=said):
        build(name, *overrides)


def test_a_network_that_needs_more_frames_is_refused():
    backbone = build("convnet_video")
    backbone.min_frames = info().frames + 1
    with pytest.raises(UserError, match=r"needs \d+ frames or more, tiny shows it \d+; write dataset.view_frames=\d+"):
        info().check_backbone(backbone)


def test_moving_shapes_bring_their_net():
    config = composed("train", ["dataset=moving_shapes"])
    assert config.backbone.sees == "differences" and config.augment.flip == 0
    assert composed("train", ["dataset=moving_shapes", "backbone=frames"]).backbone._target_.endswith("PerFrame")
