"""The transformer's positions, its order of patches, and that visible patches can be encoded alone."""

import numpy as np
import pytest
import torch
from experiments import composed
from omegaconf import OmegaConf

from ssl_cli.backbones.build import build_backbone
from ssl_cli.backbones.vit import ViT, attention, positions
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.optim.groups import param_groups


@pytest.fixture
def vit():
    torch.manual_seed(0)
    return ViT(3, patch_size=4, dim=16, depth=2, heads=2).double()


def test_positions_are_those_of_the_papers():
    found = positions(2, 3, 8).numpy()
    omega = np.array([1.0, 1e-2])
    for row in range(2):
        for column in range(3):
            x, y = column * omega, row * omega
            expected = np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)])
            np.testing.assert_allclose(found[3 * row + column], expected, atol=1e-12)


def test_patches_are_in_their_places(vit):
    images = torch.randn(2, 3, 12, 8).double()
    tokens = vit.tokens(images) - positions(3, 2, 16)
    weight = vit.embed.weight.flatten(1)
    patch = images[1, :, 4:8, 4:8].flatten()  # row 1, column 1: number 3
    torch.testing.assert_close(tokens[1, 3], weight @ patch + vit.embed.bias)
    torch.testing.assert_close(vit.feature_map(images).mean((2, 3)), vit(images))
    torch.testing.assert_close(vit.feature_map(images)[0, :, 2, 1], vit.encode(vit.tokens(images))[0, 5])


def test_the_embedding_of_patches_can_stay_as_it_was_drawn():
    net = ViT(3, patch_size=4, dim=16, depth=2, heads=2, freeze_patches=True)
    fixed = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert fixed == {"embed.weight", "embed.bias"}
    assert sum(len(group["params"]) for group in param_groups(net)) == len(list(net.parameters())) - 2


def test_a_block_is_torchs_own_transformer_layer(vit):
    block = vit.layers[0]
    with torch.no_grad():
        block.qkv.bias.normal_()
    reference = torch.nn.TransformerEncoderLayer(
        16, 2, 64, dropout=0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    ).double()
    names = {"self_attn.in_proj_": "qkv.", "self_attn.out_proj.": "out.", "linear1.": "mlp.0.", "linear2.": "mlp.2."}
    state = {}
    for key, value in block.state_dict().items():
        for theirs, ours in names.items():
            if key.startswith(ours):
                key = theirs + key[len(ours) :]
        state[key] = value
    reference.load_state_dict(state)
    x = torch.randn(3, 5, 16).double()
    torch.testing.assert_close(block(x), reference(x))


def test_attention_on_a_cpu_is_torchs_own():
    q, k, v = (torch.randn(2, 3, 7, 4).double() for _ in range(3))
    torch.testing.assert_close(attention(q, k, v), torch.nn.functional.scaled_dot_product_attention(q, k, v))


def test_a_token_that_is_left_out_is_not_looked_at(vit):
    images = torch.randn(2, 3, 8, 8).double()
    other = images.clone()
    other[:, :, :4, :4] = 9.0
    few = [vit.encode(vit.tokens(x)[:, 1:]) for x in (images, other)]
    assert torch.equal(*few) and not torch.equal(vit(images), vit(other))


def test_blocks_hold_every_parameter_once(vit):
    held = [id(p) for block in vit.blocks() for p in block.parameters()]
    assert sorted(held) == sorted(id(p) for p in vit.parameters())


def test_sizes_that_do_not_fit_are_refused(vit):
    with pytest.raises(UserError, match="patches of 4; write a backbone.patch_size"):
        vit(torch.zeros(1, 3, 10, 10).double())
    with pytest.raises(UserError, match="backbone.dim=10"):
        ViT(3, dim=10)


def test_sizes_that_the_yaml_states():
    for name, millions in (("vit_small_images", 0.8), ("vit_tiny", 5.5)):
        node = OmegaConf.to_container(composed("train", [f"backbone={name}"]).backbone)
        info = ImageInfo("images", 3, 32, (), 2, 2, 0, (0.5,) * 3, (0.5,) * 3)
        count = sum(p.numel() for p in build_backbone(node, info, 0, pretrained=False).parameters())
        assert round(count / 1e6, 1) == millions
