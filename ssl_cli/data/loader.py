"""Batches by step number: the same seed and step give the same batch, whatever came before."""

import torch
from torch import Tensor

from ssl_cli.batch import Batch


def mix(seed: int, *keys: int) -> int:
    """Return a 63-bit seed that depends on every key (the SplitMix64 finaliser, once a key)."""
    state = seed & 0xFFFFFFFFFFFFFFFF
    for key in keys:
        state = (state + (key + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1


class Loader:
    """Gathers shuffled batches from stored images; stateless, so that a resumed run sees what an unbroken one sees.

    An epoch is ``steps_per_epoch`` batches. Where that is more images than there are positions (few labels), the
    positions are gone through again, each time in a new order; where it is less, the rest of an epoch's order is left
    out (the last, incomplete batch).

    Args:
        images: [N, C, H, W] uint8, in memory or memory-mapped.
        labels: [N] int64, already without those that the method must not see.
        positions: [n] the images to learn from.
        batch_size: images a batch.
        steps_per_epoch: batches an epoch.
        seed: of the order.
        device: where batches go.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        positions: Tensor,
        *,
        batch_size: int,
        steps_per_epoch: int,
        seed: int,
        device: torch.device,
    ):
        self.images, self.labels, self.positions = images, labels, positions
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.seed, self.device = seed, device
        self.weights: Tensor | None = None  # [N] how often each image is drawn; None: each once
        self._epoch, self._order = -1, positions

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0 over all epochs."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        chosen = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        images = self.images[chosen]
        if self.device.type == "cuda":
            images = images.pin_memory()
        return Batch(
            images.to(self.device, non_blocking=True), self.labels[chosen].to(self.device), chosen.to(self.device)
        )

    def _shuffled(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        if self.weights is not None:
            drawn = self.steps_per_epoch * self.batch_size
            weights = self.weights.cpu()[self.positions]
            return self.positions[torch.multinomial(weights, drawn, replacement=True, generator=generator)]
        rounds = -(-self.steps_per_epoch * self.batch_size // len(self.positions))
        orders = [self.positions[torch.randperm(len(self.positions), generator=generator)] for _ in range(rounds)]
        return torch.cat(orders)
