"""What flows through a training step: a batch from the loader, a task from the pretext."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ssl_cli.photos import Photos


@dataclass
class Batch:
    """Inputs as stored, on the training device."""

    inputs: Tensor | Photos  # images: [B, C, H, W] uint8, or `Photos` where they are stored whole, of unlike shapes
    labels: Tensor  # [B] int64 human label; -1 = unlabelled, or hidden from the method
    indices: Tensor  # [B] int64 position in the data set

    @property
    def images(self) -> Tensor | Photos:
        """The inputs, by the name that they have where only images will do."""
        return self.inputs


@dataclass
class Task:
    """What a pretext makes of a batch: views, and where it defines them, pseudo-labels."""

    views: list[Tensor]  # V inputs of a network: of images tensors [B', C, H, W] float, normalised
    targets: Tensor | None  # [B'] the pretext's pseudo-label, as `Target` describes it; None where it defines none
    labels: Tensor  # [B'] int64 human label; -1 where absent
    indices: Tensor  # [B'] int64
    masks: Tensor | None = None  # [B', h, w] bool, True where the image was hidden; of pretexts that hide parts of it


@dataclass(frozen=True)
class Target:
    """What a pretext's pseudo-labels are, so that a method can build a head that predicts them.

    ==========  ==========================================  =================================================
    kind        ``Task.targets``                            predicted from
    ==========  ==========================================  =================================================
    ``class``   [B'] int64 below ``classes``                the features of ``pieces`` views, concatenated
    ``bins``    [B', K, h, w] distribution over ``classes``  the feature map: one distribution a place
    ``pixels``  [B', C, H, W] normalised image              the feature map; judged where ``Task.masks`` is True
    ``tokens``  [B', L] int64 below ``classes``             the features of each token, likewise
    ==========  ==========================================  =================================================
    """

    kind: Literal["class", "bins", "pixels", "tokens"]
    classes: int  # pseudo-classes or bins; for pixels, the channels C
    pieces: int = 1  # views per example whose features are taken together (9 tiles, 2 patches)
    size: int | None = None  # side of the views in pixels, where it is not the image's
    centres: tuple[tuple[float, float], ...] = ()  # of bins: what they stand for, in the ab plane
    smoothing: float = 1.0  # of bins: lambda in [0, 1] of their weights in the loss; 1: all equal, 0: by rarity


def accumulation_parts(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into equal parts that are worked through one after another.

    Each part takes every ``parts``-th input, so that each begins with its share of the labelled ones.
    """
    if parts == 1:
        return [batch]
    return [Batch(batch.inputs[i::parts], batch.labels[i::parts], batch.indices[i::parts]) for i in range(parts)]
