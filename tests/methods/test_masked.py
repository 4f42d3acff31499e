"""Masked prediction: what is hidden is never seen, only what is hidden counts, and the shapes come back."""

import pytest
import torch
from experiments import CONF, composed

from ssl_cli.backbones.vit import positions
from ssl_cli.batch import Batch, Task
from ssl_cli.config.check import check_fit
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.mae import masked_patch_loss, normalised
from ssl_cli.methods.shared.masks import enlarge, patchify, unpatchify
from ssl_cli.methods.simmim import masked_l1
from ssl_cli.setup.parts import build_method, build_pretext

INFO = ImageInfo("tiny", 3, 16, (), 64, 64, 0, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def built(method, *overrides):
    config = composed("train", [f"method={method}", "augment=none", *overrides])
    batch = Batch(torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8), torch.full((8,), -1), torch.arange(8))
    pretext = build_pretext(config, INFO)
    return build_method(config, INFO).eval(), pretext(batch, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.75, 0.9])
def test_equally_many_patches_of_each_image_are_hidden(ratio):
    config = composed("train", ["method=mae", f"pretext.ratio={ratio}"])
    pretext = build_pretext(config, INFO)
    batch = Batch(torch.zeros(200, 3, 16, 16, dtype=torch.uint8), torch.full((200,), -1), torch.arange(200))
    side = 16 // config.pretext.patch_size
    masks = pretext(batch, torch.Generator().manual_seed(0)).masks
    assert masks.shape == (200, side, side) and (masks.flatten(1).sum(1) == round(ratio * side**2)).all()
    assert len(masks.unique(dim=0)) > 10
    share = masks.float().mean(0)
    assert (share - round(ratio * side**2) / side**2).abs().max() < 0.2  # anywhere equally often


def test_patches_go_there_and_back():
    images = torch.randn(2, 3, 8, 12)
    patches = patchify(images, 4)
    assert patches.shape == (2, 6, 48)
    assert torch.equal(patches[1, 4], images[1, :, 4:8, 4:8].flatten())
    assert torch.equal(unpatchify(patches, 4, 8), images)
    masks = torch.tensor([[[True, False], [False, False]]])
    assert enlarge(masks, 4).int().tolist() == [[[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]]]


def test_only_hidden_patches_count():
    target = torch.randn(3, 4, 5)
    masks = torch.tensor([[1, 0, 0, 1]] * 3).bool()
    predicted = target.clone()
    predicted[:, 1:3] += 7
    assert masked_patch_loss(predicted, target, masks) == 0
    predicted[:, 0] += 2
    assert masked_patch_loss(predicted, target, masks).item() == pytest.approx(2.0)  # 4 on one of two hidden patches
    images, holes = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    holes[:, :, :2] = True
    assert masked_l1(images + 3, images, holes) == 3
    assert masked_l1(images.masked_fill(~holes, 9.0), images, holes) == 0


def test_zero_predictions_of_normalised_patches_cost_one():
    patches = torch.randn(5, 9, 48) * 3 + 2
    target, mean, std = normalised(patches)
    loss = masked_patch_loss(torch.zeros_like(target), target, torch.ones(5, 9, dtype=torch.bool))
    assert loss.item() == pytest.approx(47 / 48, abs=1e-4)  # var is with N - 1
    torch.testing.assert_close(target * std + mean, patches)


@pytest.mark.parametrize("method", ["mae", "simmim"])
def test_what_is_hidden_is_not_seen(method):
    model, task = built(method)
    hidden = enlarge(task.masks, 16)
    other = torch.where(hidden, torch.randn_like(task.views[0]), task.views[0])

    def predicted(images):
        if method == "mae":
            return model.predicted(Task([images], None, task.labels, task.indices, task.masks))
        return model.predicted(images, hidden)

    torch.testing.assert_close(predicted(task.views[0]), predicted(other))
    seen = torch.where(hidden, task.views[0], task.views[0] + 1)
    assert not torch.allclose(predicted(task.views[0]), predicted(seen))


def test_mae_gives_the_decoder_every_token_in_its_place():
    model, task = built("mae", "method.decoder_dim=128")
    tokens = model.backbone.tokens(task.views[0])
    model.backbone.encode = lambda visible: visible  # nothing but the order is left
    model.widen = model.decoder = model.to_pixels = torch.nn.Identity()
    decoded = model.predicted(task) - positions(4, 4, 128).float()
    hidden = task.masks.flatten(1)
    torch.testing.assert_close(decoded[~hidden], tokens[~hidden])
    torch.testing.assert_close(decoded[hidden], model.mask_token.expand(int(hidden.sum()), -1))


@pytest.mark.parametrize("method", ["mae", "simmim", "simmim backbone=resnet18", "simmim backbone=vit_small_images"])
def test_pictures_keep_what_was_seen(method):
    model, task = built(*method.split())
    with torch.no_grad():
        (images,) = model.pictures(task).values()
    assert images.shape == (8, 3, 3, 16, 16) and images.min() >= 0 and images.max() <= 1
    seen = ~enlarge(task.masks, 16).expand(-1, 3, -1, -1)
    torch.testing.assert_close(images[:, 1][seen], images[:, 2][seen])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["mae", "backbone=convnet"], "write backbone=vit_small_images, or method=simmim"),
        (["mae", "method.decoder_dim=30"], "method.decoder_dim=30"),
        (["mae", "pretext.patch_size=5"], "pretext.patch_size=5 does not divide"),
        (["mae", "pretext.ratio=0.99"], "pretext.ratio=0.99 hides"),
        (["simmim", "pretext.ratio=0.001"], "pretext.ratio=0.001 hides 0"),
    ],
)
def test_what_does_not_fit_is_refused(overrides, said):
    with pytest.raises(UserError, match=said):
        built(*overrides)


def test_patches_of_two_sizes_are_refused():
    model, task = built("mae", "pretext.patch_size=8", "backbone.patch_size=4")
    with pytest.raises(UserError, match="write pretext.patch_size=4"):
        model(task)


@pytest.mark.parametrize("method", ["mae", "simmim"])
def test_a_pretext_that_has_blanked_the_image_already_is_refused(method):
    check_fit(composed("train", [f"method={method}"]), [CONF])
    with pytest.raises(UserError, match="write pretext=masked_patches"):
        check_fit(composed("train", [f"method={method}", "pretext=inpainting"]), [CONF])
