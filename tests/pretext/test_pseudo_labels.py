"""What each pretext makes of images whose answer is known, and that its pseudo-label can be told from its views."""

import math

import pytest
import torch
from experiments import composed

from ssl_cli.augment.lab import lab_to_rgb, rgb_to_lab
from ssl_cli.batch import Batch
from ssl_cli.config.build import instantiate
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.pretext.colorization import colour_bins, soft_encode
from ssl_cli.pretext.jigsaw import permutation_set
from ssl_cli.pretext.patches import cut, standardise
from ssl_cli.setup.parts import build_pretext


def made(name, images, *overrides, seed=0):
    """Return the pretext without any augmentation or normalisation, and its task."""
    channels, size = images.shape[1], images.shape[2]
    info = ImageInfo("tiny", channels, size, (), 500, 500, 0, (0.0,) * channels, (1.0,) * channels)
    config = composed("train", ["method=predict", f"pretext={name}", "augment=none", *overrides])
    pretext = build_pretext(config, info)
    at = torch.arange(len(images))
    return pretext, pretext(Batch(images, at % 5, at + 100), torch.Generator().manual_seed(seed))


def noise(n=64, channels=3, size=24):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, channels, size, size), generator=generator, dtype=torch.uint8)


def test_rotations_are_counter_clockwise_and_exact():
    image = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).repeat(1, 1, 1, 1)
    _, task = made("rotation", image, "pretext.all_four=true")
    assert (task.views[0] * 255).round().int().squeeze(1).tolist() == [
        [[1, 2], [3, 4]],
        [[2, 4], [1, 3]],
        [[4, 3], [2, 1]],
        [[3, 1], [4, 2]],
    ]
    assert task.targets.tolist() == [0, 1, 2, 3] and task.indices.tolist() == [100] * 4


def test_one_rotation_each_at_random():
    images = noise()
    _, task = made("rotation", images)
    assert set(task.targets.tolist()) == {0, 1, 2, 3}
    for image, view, turns in zip(images / 255, task.views[0], task.targets.tolist(), strict=True):
        torch.testing.assert_close(torch.rot90(image, -turns, (1, 2)).rot90(2 * turns, (1, 2)), view)


def test_permutations_are_distinct_far_apart_and_always_the_same():
    nine = permutation_set(9, 30)
    distance = (nine[:, None] != nine).sum(2)
    assert (nine.sort(1).values == torch.arange(9)).all() and torch.equal(nine, permutation_set(9, 30))
    assert (distance[:5, :5] + 9 * torch.eye(5) == 9).all()  # no tile stays where it was in any other
    assert distance[~torch.eye(30, dtype=torch.bool)].min() >= 3
    assert abs(distance.sum().item() / (30 * 29) - 8.255) < 0.01
    assert len(permutation_set(4, 24).unique(dim=0)) == 24
    assert len(permutation_set(9, 1000).unique(dim=0)) == 1000


def test_the_order_of_the_tiles_is_what_the_label_says():
    # Cell (r, c) has a gradient of its own direction and steepness, which survives standardising.
    images = torch.zeros(40, 1, 24, 24)
    x = torch.arange(12.0)
    patterns = [x.repeat(12, 1), x.repeat(12, 1).T, x.flip(0).repeat(12, 1), x.flip(0).repeat(12, 1).T]
    for place, pattern in enumerate(patterns):
        top, left = divmod(place, 2)
        images[:, :, 12 * top : 12 * top + 12, 12 * left : 12 * left + 12] = pattern * 20
    pretext, task = made("jigsaw", images.byte(), "pretext.gap=2", "pretext.at_least=1")
    assert pretext.target.pieces == 4 and pretext.target.size == 10 and len(set(task.targets.tolist())) > 10
    for i, target in enumerate(task.targets):
        for view, place in zip(task.views, pretext.permutations[target], strict=True):
            # Within a tile the pattern is a line, whatever the jitter.
            torch.testing.assert_close(view[i, 0], standardise(patterns[place][None, None, :10, :10] * 20 / 255)[0, 0])


def test_tiles_lie_anywhere_in_their_cell_and_nowhere_else():
    images = torch.arange(24 * 24).float().view(1, 1, 24, 24).expand(300, -1, -1, -1)
    tiles = cut(images, 3, 5, torch.Generator().manual_seed(0))
    assert len(tiles) == 9 and tiles[0].shape == (300, 1, 5, 5)
    for place, tile in enumerate(tiles):
        corner = tile[:, 0, 0, 0].long()
        y, x = corner // 24 - place // 3 * 8, corner % 24 - place % 3 * 8
        assert set(y.tolist()) == set(x.tolist()) == {0, 1, 2, 3}
        torch.testing.assert_close(tile[:, 0, 4, 4], tile[:, 0, 0, 0] + 4 * 24 + 4)


def test_the_neighbour_is_where_the_label_says():
    # Cell (r, c) of a 3x3 cut rises to the right by 1 + its number.
    images = torch.zeros(64, 1, 24, 24)
    for place in range(9):
        top, left = divmod(place, 3)
        ramp = (torch.arange(8.0) * (1 + place)).repeat(8, 1)
        images[:, :, 8 * top : 8 * top + 8, 8 * left : 8 * left + 8] = ramp
    _, task = made("relative_patch", images.byte(), "pretext.at_least=1")
    steepness = [(view[:, 0, 0, 1] - view[:, 0, 0, 0]) * 255 for view in task.views]
    torch.testing.assert_close(steepness[0], torch.full((64,), 5.0), atol=1e-3, rtol=0)
    expected = torch.tensor([1.0, 2, 3, 4, 6, 7, 8, 9])[task.targets]
    torch.testing.assert_close(steepness[1], expected, atol=1e-3, rtol=0)
    assert set(task.targets.tolist()) == set(range(8))


def test_a_patch_in_colour_keeps_one_channel():
    _, task = made("relative_patch", noise(), "pretext.at_least=1")
    spread = task.views[0].std((2, 3))
    assert ((spread > 0.05).sum(1) == 1).all()
    _, kept = made("relative_patch", noise(), "pretext.drop_channels=false")
    assert (kept.views[0].std((2, 3)) > 0.05).all()


@pytest.mark.parametrize("centred", ["true", "false"])
def test_the_hole_is_empty_and_the_rest_is_there(centred):
    images = noise(channels=1) // 2 + 100
    _, task = made("inpainting", images, f"pretext.centred={centred}")
    assert (task.masks.flatten(1).sum(1) == 144).all()
    hidden = task.masks.unsqueeze(1)
    assert (task.views[0][hidden] == 0).all()
    torch.testing.assert_close(task.views[0][~hidden], (images / 255)[~hidden])
    torch.testing.assert_close(task.targets, images / 255)
    assert task.masks[0, 6:18, 6:18].all() if centred == "true" else len(task.masks.unique(dim=0)) > 20


def test_each_image_is_its_own_class():
    pretext, task = made("exemplar", noise())
    assert torch.equal(task.targets, task.indices) and pretext.target.classes == 500


def test_a_person_is_shown_the_question_and_its_answer_in_words():
    images = noise(40)
    pretext, task = made("rotation", images)
    assert pretext.answers(task) == [f"turned by {90 * turns}°" for turns in task.targets.tolist()]
    torch.testing.assert_close(pretext.shown(task)["view"], task.views[0])

    pretext, task = made("jigsaw", images, "pretext.gap=0", "pretext.at_least=1")
    shown, answers = pretext.shown(task), pretext.answers(task)
    for i, answer in enumerate(answers):
        word, *order = answer.split()
        assert word == "tiles" and sorted(order) == list("1234")
        for place, tile in enumerate(order):  # 12 pixels and 1 between
            (a, b), (c, d) = divmod(place, 2), divmod(int(tile) - 1, 2)
            first = shown["shuffled"][i, :, 13 * a : 13 * a + 12, 13 * b : 13 * b + 12]
            assert torch.equal(first, shown["in order"][i, :, 13 * c : 13 * c + 12, 13 * d : 13 * d + 12])
            whole = standardise(images[i : i + 1, :, 12 * c : 12 * c + 12, 12 * d : 12 * d + 12] / 255)[0]
            torch.testing.assert_close(first, (0.5 + whole / 4).clamp(0, 1))

    pretext, task = made("relative_patch", images, "pretext.at_least=1", "pretext.drop_channels=false")
    shown, places = pretext.shown(task), {"above": (0, 1), "left": (1, 0), "below right": (2, 2)}
    assert set(places) < set(pretext.answers(task))
    for i, answer in enumerate(pretext.answers(task)):
        top, left = (8 * index for index in places.get(answer, (1, 1)))  # 7 pixels and 1 between
        expected = shown["neighbour" if answer in places else "middle"][i]
        assert torch.equal(shown["where it lies"][i, :, top : top + 7, left : left + 7], expected)

    pretext, task = made("inpainting", images)
    torch.testing.assert_close(pretext.shown(task)["to be found"], images / 255)
    assert pretext.answers(task) == []
    pretext, task = made("exemplar", images)
    assert pretext.answers(task)[3] == "image 103"


def test_colours_to_be_found_are_those_of_the_image():
    flat = torch.tensor([200, 80, 80], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 24, 24)
    pretext, task = made("colorization", flat)
    shown = pretext.shown(task)
    assert (shown["lightness"] - shown["lightness"][:, :1]).abs().max() < 1e-5
    torch.testing.assert_close(shown["to be found"], flat / 255, atol=0.06, rtol=0)  # bins are 10 apart


def test_the_recipe_that_a_pretext_brings_is_the_one_it_uses():
    info = ImageInfo("tiny", 3, 24, (), 500, 500, 0, (0.0,) * 3, (1.0,) * 3)
    own, plain, given = (
        build_pretext(composed("train", ["method=predict", "dataset=shapes", *overrides]), info)
        for overrides in (
            ["pretext=colorization"],
            ["pretext=inpainting"],
            ["pretext=colorization", "augment@pretext.augment=supervised"],
        )
    )
    assert vars(own.augment) == vars(instantiate(composed("train", ["augment=none"]).augment))  # colours are the label
    assert plain.augment.crop.p == 1 and plain.augment.jitter.p > 0
    assert given.augment.flip == 0.5


def test_lab_of_known_colours():
    rgb = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5]]).double()
    lab = rgb_to_lab(rgb.view(-1, 3, 1, 1)).squeeze()
    expected = [
        [100, 0, 0],
        [0, 0, 0],
        [53.2406, 80.0942, 67.2015],
        [87.7351, -86.1813, 83.1775],
        [32.2957, 79.1880, -107.8573],
        [53.3890, 0, 0],
    ]
    torch.testing.assert_close(lab, torch.tensor(expected).double(), atol=0.02, rtol=0)
    many = torch.rand(5, 3, 8, 8).double()
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(many)), many, atol=1e-4, rtol=0)


def test_colours_are_spread_over_the_nearest_bins():
    centres = colour_bins()
    assert len(centres) == 230 and [0.0, 0.0] in centres.tolist() and [110.0, 110.0] not in centres.tolist()
    ab = torch.tensor([[10.0, 10.0], [13.0, -7.0]]).view(2, 2, 1, 1)
    encoded = soft_encode(ab, centres)[:, :, 0, 0]
    torch.testing.assert_close(encoded.sum(1), torch.ones(2))
    top, at = encoded[0].sort(descending=True)
    torch.testing.assert_close(top[:5], torch.tensor([0.648786, *[0.087804] * 4]), atol=1e-5, rtol=0)
    assert centres[at[0]].tolist() == [10, 10] and (top[5:] == 0).all()


def test_colorization_hides_the_colour_and_asks_for_it():
    images = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    images[0, 0], images[1, 1], images[2] = 255, 255, 255
    pretext, task = made("colorization", images)
    lightness = torch.tensor([53.24, 87.74, 100]) / 100
    torch.testing.assert_close(task.views[0], lightness.view(3, 1, 1, 1).expand(-1, 3, 8, 8), atol=1e-3, rtol=0)
    assert task.targets.shape == (3, 230, 2, 2)
    named = torch.tensor(pretext.target.centres)[task.targets[:, :, 0, 0].argmax(1)]
    assert (
        named.tolist() == [[80, 70], [-90, 80], [0, 0]]
        or (named - torch.tensor([[80, 67], [-86, 83], [0, 0]])).abs().max() < 10
    )


@pytest.mark.parametrize(
    ("name", "channels", "overrides", "said"),
    [
        ("colorization", 1, [], "in colour, those of tiny are grey.*pretext=rotation"),
        ("colorization", 3, ["pretext.reduction=5"], "pretext.reduction=5 does not divide"),
        ("jigsaw", 1, ["pretext.grid=8"], "tiles do not fit.*smaller pretext.grid"),
        ("jigsaw", 1, ["pretext.permutations=25"], "pretext.permutations=25 is too many for 4 tiles; write 24"),
        ("relative_patch", 1, ["pretext.gap=7"], "tiles do not fit"),
        ("inpainting", 1, ["pretext.hole=1.0"], "pretext.hole=1.0.*write pretext.hole=0.5"),
        ("inpainting", 1, ["pretext.hole=0.0"], "pretext.hole=0.0"),
    ],
)
def test_what_does_not_fit_is_refused(name, channels, overrides, said):
    with pytest.raises(UserError, match=said):
        made(name, noise(channels=channels), *overrides)


def test_chance_is_ln_of_the_classes():
    for name, chance in (("rotation", 4), ("relative_patch", 8), ("jigsaw", 24), ("exemplar", 500)):
        pretext, _ = made(name, noise(channels=1))
        assert math.log(pretext.target.classes) == pytest.approx(math.log(chance))
