"""Networks of timm: their features, their parts, and weights that come into them as timm itself would load them."""

import json

import pytest
import torch
from safetensors.torch import save_file

from ssl_cli.backbones.base import evaluating
from ssl_cli.backbones.build import build_backbone
from ssl_cli.backbones.foreign import fetch, named, of_timm
from ssl_cli.backbones.timm import Timm
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.probes.frozen.networks import Layer

SMALL = ("test_resnet", "test_efficientnet", "test_convnext", "test_vit", "test_mambaout", "test_maxvit")


def features(net, *shape) -> torch.Tensor:
    with evaluating(net), torch.no_grad():
        return net(torch.rand(*shape, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def timm():
    import timm  # takes longer than most tests

    return timm


@pytest.fixture(scope="module")
def files(tmp_path_factory, timm):
    """Weights of small networks, as timm saves them, with their classifiers."""
    made = {}
    for name in ("test_resnet", "test_vit"):
        torch.manual_seed(1)
        made[name] = tmp_path_factory.mktemp(name) / "weights.pth"
        torch.save({"state_dict": timm.create_model(name, num_classes=7).state_dict()}, made[name])
    return made


@pytest.mark.parametrize("name", SMALL)
def test_any_network_gives_features_and_its_parts(name):
    net = Timm(3, 64, name)
    assert features(net, 2, 3, 64, 64).shape == (2, net.dim)
    blocks = net.blocks()
    held = [id(p) for block in blocks for p in block.parameters()]
    assert len(blocks) > 3 and sorted(held) == sorted(id(p) for p in net.parameters())
    middle = Layer(net, len(blocks) // 2)
    assert features(middle, 2, 3, 64, 64).shape == (2, middle.dim)
    if name == "test_mambaout":  # its maps have their channels last
        assert middle.dim in (24, 32, 48, 64)
    if name == "test_vit":
        assert net.feature_map(torch.zeros(1, 3, 64, 64)).shape == (1, net.dim, 4, 4)


def test_sizes_that_a_network_takes_and_does_not_take():
    assert features(Timm(3, 64, "test_vit"), 1, 3, 96, 96).shape == (1, 64)  # a smaller crop, or a larger one
    fixed = Timm(3, 64, "test_maxvit")
    assert (fixed.any_size, fixed.min_size) == (False, 64)
    with pytest.raises(UserError, match="takes images of 64 pixels only, and some of 96 come"):
        fixed(torch.zeros(1, 3, 96, 96))
    with pytest.raises(UserError, match="test_vit takes no images of 50 pixels .*write dataset.storage_size=160"):
        Timm(3, 50, "test_vit")


def weights(net):
    """Return how many tensors a network has, without the counters of BatchNorm, which a file may lack."""
    return sum(not name.endswith("num_batches_tracked") for name in net.state_dict())


@pytest.mark.parametrize(("name", "size"), [("test_resnet", 64), ("test_vit", 160), ("test_vit", 96)])
def test_weights_come_in_as_timm_itself_loads_them(files, name, size, timm):
    """Against timm's own loading, which also brings the positions of a transformer to another size."""
    ours = Timm(3, size, name, str(files[name]))
    sized = {"img_size": size} if name == "test_vit" else {}
    overlay = {"file": str(files[name]), "num_classes": 7}
    theirs = timm.create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **sized)
    assert ours.origin.tensors == weights(theirs) and ours.origin.part == "state_dict."
    torch.testing.assert_close(features(ours, 2, 3, size, size), features(theirs, 2, 3, size, size))
    assert sorted(ours.origin.left) == [f"{theirs.pretrained_cfg['classifier']}.{kind}" for kind in ("bias", "weight")]


def test_grey_images_are_seen_as_they_would_be_in_colour(files):
    grey, colour = (Timm(channels, 64, "test_resnet", str(files["test_resnet"])) for channels in (1, 3))
    images = torch.rand(2, 1, 64, 64)
    with evaluating(grey), evaluating(colour), torch.no_grad():
        torch.testing.assert_close(grey(images), colour(images.expand(-1, 3, -1, -1)))
    with pytest.raises(UserError, match="of images of 3 channels, these have 5; write dataset.channels=3"):
        Timm(5, 64, "test_resnet", str(files["test_resnet"]))


def test_weights_of_another_network_are_refused(files):
    with pytest.raises(UserError, match="backbone.weights=.*holds no tensor|is missing there"):
        Timm(3, 64, "test_resnet", str(files["test_vit"]))


def test_what_belongs_to_weights_is_known_before_they_are_read(files, tmp_path, timm):
    origin = of_timm.origin("test_resnet", str(files["test_resnet"]))
    assert origin.size == 160 and origin.interpolation == "bilinear" and len(origin.mean) == 3
    assert origin.licence == "apache-2.0" and origin.assumed  # the file does not say so
    net = timm.create_model("test_resnet", num_classes=0)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    stated = {"license": "cc-by-nc-4.0", "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "input_size": [3, 96, 96]}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet", "pretrained_cfg": stated}))
    origin = Timm(3, 64, "test_resnet", str(tmp_path)).origin
    assert (origin.licence, origin.non_commercial, origin.assumed) == ("cc-by-nc-4.0", True, False)
    assert (origin.mean, origin.size, origin.tensors) == ((0.1, 0.2, 0.3), 96, weights(net))
    with pytest.raises(
        UserError, match="holds weights of test_resnet, not of test_vit; write backbone.name=test_resnet"
    ):
        of_timm.origin("test_vit", str(tmp_path))


def test_published_weights_are_taken_from_the_hubs_cache(files, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch, "reachable", lambda address: False)
    with pytest.raises(UserError, match="timm/test_resnet.r160_in1k/resolve/main/model.safetensors"):
        named.check_named({"_target_": named.TIMM, "name": "test_resnet", "weights": "pretrained"})
    folder = tmp_path / "models--timm--test_resnet.r160_in1k"
    (folder / "snapshots/abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("abc")
    theirs = torch.load(files["test_resnet"])["state_dict"]
    save_file(theirs, folder / "snapshots/abc/model.safetensors")
    monkeypatch.setattr(fetch, "reachable", lambda address: pytest.fail("the network was asked"))
    named.check_named({"_target_": named.TIMM, "name": "test_resnet", "weights": "pretrained"})
    net = Timm(3, 64, "test_resnet", "pretrained")
    assert torch.equal(net.net.state_dict()["conv1.0.weight"], theirs["conv1.0.weight"])
    assert net.origin.weights == "timm/test_resnet.r160_in1k" and not net.origin.assumed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("test_resnt", "timm has no network 'test_resnt'; did you mean 'test_resnet'"),
        ("resnet18.a1_in2k", "timm has no weights resnet18.a1_in2k; did you mean 'resnet18.a1_in1k'"),
        ("hf-hub:somebody/something", "timm has no network"),
        ("../resnet18", "timm has no network"),
    ],
)
def test_names_that_timm_does_not_know(name, said):
    with pytest.raises(UserError, match=said):
        Timm(3, 64, name)


def test_all_networks_of_timm_are_known_without_importing_it(timm):
    assert set(timm.list_models()) <= set(named.timm_names())
    assert named._hub_tags("resnet18")[0] == f"resnet18.{timm.get_pretrained_cfg('resnet18').tag}"


def test_timm_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setattr(named.importlib.util, "find_spec", lambda name: None)
    for build in (lambda: Timm(3, 64, "test_resnet"), lambda: named.check_named({"_target_": named.TIMM})):
        with pytest.raises(UserError, match=r"needs timm: pip install 'ssl-cli\[timm\]'"):
            build()


def test_the_baseline_of_random_weights_never_sees_them(files):
    node = {"_target_": named.TIMM, "name": "test_resnet", "weights": str(files["test_resnet"])}
    info = ImageInfo("toy", 3, 64, (), 8, 4, 0, (0.5,) * 3, (0.2,) * 3)
    given, random = (build_backbone(node, info, 3, pretrained=choice) for choice in (True, False))
    plain = build_backbone({**node, "weights": None}, info, 3, pretrained=True)
    assert given.origin is not None and random.origin is None
    assert all(torch.equal(value, plain.state_dict()[key]) for key, value in random.state_dict().items())
    assert not torch.equal(given.net.conv1[0].weight, random.net.conv1[0].weight)
