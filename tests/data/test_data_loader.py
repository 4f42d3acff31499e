"""A batch read ahead on a second thread is the batch that would have been read."""

import threading

import pytest
import torch

from ssl_cli.data.loader import Loader

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (100, 3, 4, 4), dtype=torch.uint8, generator=GENERATOR)


def make(images=IMAGES, ahead=True, device="cpu"):
    return Loader(
        images,
        torch.arange(len(images)),
        torch.arange(90),
        batch_size=16,
        steps_per_epoch=5,
        seed=0,
        device=torch.device(device),
        labelled=torch.arange(90, 100),
        labelled_per_batch=4,
        ahead=ahead,
    )


@pytest.mark.parametrize("steps", [range(15), [3, 4, 5, 1, 1, 14, 0], [7, 9, 8]])
def test_reading_ahead_changes_nothing(steps):
    plain, ahead = make(ahead=False), make()
    for step in steps:
        expected, batch = plain.batch(step), ahead.batch(step)
        for name in ("images", "labels", "indices"):
            assert torch.equal(getattr(batch, name), getattr(expected, name)), (step, name)


def test_weights_that_change_between_epochs_are_used_from_the_first_step_on():
    plain, ahead = make(ahead=False), make()
    for step in range(10):
        if step == 5:
            plain.weights = ahead.weights = torch.linspace(0, 1, 100)
        assert torch.equal(plain.batch(step).indices, ahead.batch(step).indices)


def test_an_error_in_the_thread_is_raised_where_the_batch_is_asked_for():
    loader, main = make(), threading.current_thread()

    class Torn:
        device, nbytes = torch.device("cpu"), 0

        def __getitem__(self, index):
            assert threading.current_thread() is not main
            raise OSError("the disk is gone")

    loader.batch(0)
    loader._next[1].result()  # 1, too, has been read
    loader.inputs = Torn()
    loader.batch(1)
    with pytest.raises(OSError, match="the disk is gone"):
        loader.batch(2)


def test_by_itself_it_reads_ahead_only_where_reading_may_have_to_wait():
    assert make(ahead=None)._thread is None
    on_disk = torch.empty(6 << 30, dtype=torch.uint8, device="meta").view(-1, 3, 32, 32)
    loader = Loader(
        on_disk,
        torch.zeros(1),
        torch.arange(10),
        batch_size=2,
        steps_per_epoch=5,
        seed=0,
        device=torch.device("cpu"),
    )
    assert loader._thread is not None


def test_images_that_are_on_the_device_are_read_without_a_thread():
    there, here = make(IMAGES.to("meta"), None, "meta"), make(IMAGES, None, "meta")
    assert there._thread is None and here._thread is not None and make(ahead=None)._thread is None
