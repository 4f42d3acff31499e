"""What flows through a training step: a batch from the loader, a task from the pretext."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Batch:
    """Images as stored, on the training device."""

    images: Tensor  # [B, C, H, W] uint8
    labels: Tensor  # [B] int64 human label; -1 = unlabelled, or hidden from the method
    indices: Tensor  # [B] int64 position in the data set


@dataclass
class Task:
    """What a pretext makes of a batch: views, and where it defines them, pseudo-labels."""

    views: list[Tensor]  # V tensors [B', C, H, W] float, normalised
    targets: Tensor | None  # [B'] the pretext's pseudo-label; None where the pretext defines none
    labels: Tensor  # [B'] int64 human label; -1 where absent
    indices: Tensor  # [B'] int64
