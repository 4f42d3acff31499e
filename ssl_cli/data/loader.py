"""Batches by step number: the same seed and step always give the same batch."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ssl_cli.batch import Batch
from ssl_cli.distributed.collectives import rank_rows
from ssl_cli.system.transfer import send

LARGE = 4 << 30  # bytes of inputs that are probably on a disk and not in memory


def mix(seed: int, *keys: int) -> int:
    """Return a 63-bit seed that depends on every key (the SplitMix64 finaliser, once per key)."""
    state = seed & 0xFFFFFFFFFFFFFFFF
    for key in keys:
        state = (state + (key + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1


class Loader:
    """Gathers shuffled batches from stored inputs; stateless, so a resumed run sees the same as an uninterrupted one.

    An epoch is ``steps_per_epoch`` batches. If these are more inputs than positions (few labels), the positions repeat,
    each time in a new order. If they are fewer, the rest of an epoch's order is left out (the last, incomplete batch).

    With separate labelled inputs, each batch begins with ``labelled_per_batch`` of them, and the labels of the rest are
    hidden; each of the two streams has its own order.

    With several ranks, each gets its own rows of the same batch.

    Args:
        inputs: as in `Data.cut_from`, in memory or memory-mapped.
        labels: [N] int64; -1 for labels that the method must not see.
        positions: [n] the inputs to learn from.
        batch_size: inputs a batch, of all ranks together.
        steps_per_epoch: batches an epoch.
        seed: of the order.
        device: where batches go.
        labelled: [m] the inputs that begin each batch, with their labels; None: all inputs come from ``positions``.
        labelled_per_batch: number of them.
        parts: number of parts of a batch: the inputs of a part do not depend on the number of ranks.
        ahead: read the next batch on a second thread while the model works; None: if reading may wait for a disk or for
            a copy to the GPU (not if the inputs are on it).
    """

    def __init__(
        self,
        inputs: Any,
        labels: Tensor,
        positions: Tensor,
        *,
        batch_size: int,
        steps_per_epoch: int,
        seed: int,
        device: torch.device,
        labelled: Tensor | None = None,
        labelled_per_batch: int = 0,
        parts: int = 1,
        ahead: bool | None = None,
    ):
        self.inputs, self.labels, self.positions = inputs, labels, positions
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        if device.type == "cuda" and device.index is None:  # each thread has its own current device
            device = torch.device("cuda", torch.cuda.current_device())
        self.seed, self.device = seed, device
        self.labelled, self.labelled_per_batch = labelled, labelled_per_batch
        self.parts = parts
        self.weights: Tensor | None = None  # [N] how often to draw each input; None: each once
        self._epoch, self._order, self._labelled_order = -1, positions, positions[:0]
        if ahead is None:  # rows on the GPU need no wait: a thread would only block the interpreter
            ahead = inputs.nbytes > LARGE if device.type == "cpu" else inputs.device != device
        self._thread = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[int, Future] | None = None

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0 over all epochs. It raises errors of the thread, too."""
        if self._thread is None:
            return self._read(step)
        known, self._next = self._next, None
        batch = known[1].result() if known else None  # wait also for another step's: one thread at a time reads
        if known is None or known[0] != step:
            batch = self._read(step)
        if (step + 1) % self.steps_per_epoch:  # not beyond the epoch: the weights may change at its end
            self._next = step + 1, self._thread.submit(self._read, step + 1)
        return batch

    def _read(self, step: int) -> Batch:
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
            if self.labelled is not None:
                generator = torch.Generator().manual_seed(mix(self.seed, epoch, 1))
                self._labelled_order = _rounds(self.labelled, self.steps_per_epoch * self.labelled_per_batch, generator)
        count = self.batch_size - self.labelled_per_batch
        chosen = self._order[index * count : (index + 1) * count]
        labels = self.labels[chosen]
        if self.labelled is not None:
            known = self._labelled_order[index * self.labelled_per_batch : (index + 1) * self.labelled_per_batch]
            labels = torch.cat([self.labels[known], torch.full_like(labels, -1)])
            chosen = torch.cat([known, chosen])
        chosen, labels = rank_rows(chosen, self.parts), rank_rows(labels, self.parts)
        if isinstance(self.inputs, Tensor):
            inputs = self.inputs[send(chosen, self.inputs.device)]
        else:  # of different shapes; the CPU knows their places
            inputs = self.inputs[chosen]
            waits = self._thread and inputs.device.type == "cpu" and not isinstance(inputs, Tensor)  # for the disk
            inputs = inputs.packed() if waits else inputs
        return Batch(*(send(tensor, self.device) for tensor in (inputs, labels, chosen)))

    def _shuffled(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        drawn = self.steps_per_epoch * (self.batch_size - self.labelled_per_batch)
        if self.weights is not None:
            weights = self.weights.cpu()[self.positions]
            return self.positions[torch.multinomial(weights, drawn, replacement=True, generator=generator)]
        return _rounds(self.positions, drawn, generator)


def _rounds(positions: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return at least ``count`` positions: all of them in random order, repeated in new orders."""
    rounds = -(-count // len(positions))
    return torch.cat([positions[torch.randperm(len(positions), generator=generator)] for _ in range(rounds)])
