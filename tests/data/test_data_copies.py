from dataclasses import replace

import torch

from ssl_cli.data.copies import copied, described
from ssl_cli.data.images.base import ImageData
from ssl_cli.data.images.squares import Squares
from ssl_cli.photos import Photos


def data_of(images, train, test):
    splits = {"train": torch.tensor(train), "val": torch.arange(0), "test": torch.tensor(test, dtype=torch.int64)}
    return ImageData("x", images, torch.zeros(len(images), dtype=torch.int64), ("a",), splits)


def test_an_image_is_a_copy_if_every_pixel_is_equal():
    images = torch.randint(0, 256, (9, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[6], images[7] = images[1], images[2]
    images[7, 0, 0, 0] ^= 1  # in a corner
    images[8] = images[5]  # both in test
    data = data_of(images, [0, 1, 2, 3, 4], [5, 6, 7, 8])
    assert copied(data).tolist() == [False, True, False, False]
    assert described(data) == (
        "1 of 4 test images are in train, pixel for pixel; every result has a second number without them"
    )
    images[6, 0, 0, 0] ^= 1
    assert described(data) == "0 of 4 test images are in train, pixel for pixel"


def test_images_that_differ_at_their_edges_only_are_no_copies():
    images = torch.zeros(40, 1, 32, 32, dtype=torch.uint8)
    images[torch.arange(40), 0, 0, torch.arange(40) % 32] = 9  # the last eight are like the first
    assert copied(data_of(images, list(range(20)), list(range(20, 40)))).tolist() == [False] * 12 + [True] * 8


def test_where_there_is_no_test_image_there_is_nothing_to_say():
    data = data_of(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), [0, 1, 2], [])
    assert described(data) == "" and copied(data).tolist() == []
    assert copied(replace(data, splits={**data.splits, "train": data.splits["test"]})).tolist() == []


def test_whole_photos_are_compared_as_they_are_stored():
    shapes = [(8, 12), (8, 12), (12, 8), (8, 30)]
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randint(0, 256, (3 * h * w,), dtype=torch.uint8, generator=generator) for h, w in shapes]
    # 4: as 0. 5: as 0 turned into another shape, byte for byte. 6: as 3 but for its last byte.
    parts += [parts[0].clone(), parts[0].clone(), torch.cat([parts[3][:-1], 255 - parts[3][-1:]])]
    shapes += [(8, 12), (12, 8), (8, 30)]
    photos = Photos(torch.cat(parts), *torch.tensor(shapes).T.contiguous(), 3, 8)
    data = data_of(torch.zeros(7, 3, 8, 8, dtype=torch.uint8), [0, 1, 2, 3], [4, 5, 6])
    assert copied(replace(data, images=Squares(photos, 8), stored=photos)).tolist() == [True, False, False]
