"""No step waits for the device. Where there is no GPU, ``meta`` stands in: it refuses whatever asks for a value."""

import contextlib

import pytest
import torch
from experiments import composed, options
from photo_folder import photos
from torch.utils._python_dispatch import TorchDispatchMode

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.setup.parts import build_pretext
from ssl_cli.system.transfer import constant, send

META = torch.device("meta")


class Waits(TorchDispatchMode):
    """Collects copies from the CPU for which the host would wait."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        source = args[0] if args and isinstance(args[0], torch.Tensor) else None
        copies = "copy" in str(func) and source is not None and source.device.type == "cpu"
        to_device = getattr(kwargs.get("device"), "type", "cpu") == "meta"
        if copies and to_device and not kwargs.get("non_blocking") and source.numel():
            self.found.append(f"{func} {tuple(source.shape)}")
        return func(*args, **kwargs)


@pytest.fixture(autouse=True)
def autocast_that_knows_meta(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


def batch_on(device, channels=3, size=32):
    images = torch.zeros(64, channels, size, size, dtype=torch.uint8, device=device)
    return Batch(images, torch.zeros(64, dtype=torch.int64, device=device), torch.arange(64, device=device))


def info(channels=3, size=32):
    return ImageInfo("x", channels, size, (), 64, 64, 0, (0.5,) * channels, (0.2,) * channels, "")


def test_a_copy_that_waits_is_found():
    with Waits() as waits:
        torch.zeros(3).to("meta")
        send(torch.zeros(3), META)
    assert len(waits.found) == 1


PRETEXTS = options("pretext")


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", PRETEXTS)
def test_no_pretext_waits_for_the_device(name, whole):
    config = composed("train", [f"pretext={name}", "dataset=shapes", "augment=byol", "method=predict"])
    pretext = build_pretext(config, info())
    generator = torch.Generator().manual_seed(0)
    batch = batch_on(META)
    if whole:
        batch.inputs = photos([(32, 40), (50, 32)] * 32).to(META)
    pretext(batch, generator)  # sends the constants
    with Waits() as waits:
        task = pretext(batch, generator)
    assert waits.found == []
    assert all(view.device == META for view in task.views)


def test_every_operation_of_the_recipe_keeps_to_the_device():
    augment = Augment(
        affine={"degrees": 10, "translate": 0.1},
        crop={},
        flip=0.5,
        vertical_flip=0.5,
        jitter={"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8},
        grey=0.2,
        blur={"p": 0.5},
        solarize={"p": 0.5},
        noise=0.1,
    )
    generator = torch.Generator().manual_seed(0)
    images = batch_on(META).images
    augment(images, (0.5,) * 3, (0.2,) * 3, generator, views=2)
    with Waits() as waits:
        views = augment(images, (0.5,) * 3, (0.2,) * 3, generator, views=2)
    assert waits.found == [] and [tuple(view.shape) for view in views] == [(64, 3, 32, 32)] * 2


def test_constants_are_made_once_for_each_type_and_device():
    like = torch.zeros(1)
    first = constant([1.0, 2.0], like)
    assert constant((1.0, 2.0), like) is first and torch.equal(first, torch.tensor([1.0, 2.0]))
    assert constant((1.0, 2.0), like.double()).dtype == torch.float64
    assert constant((1.0, 2.0), torch.zeros(1, device="meta")).device == META
    with torch.inference_mode():
        other = constant((3.0, 4.0), like)
    (other * torch.ones(2, requires_grad=True)).sum().backward()  # not bound to the evaluation it was made in
