"""A weak and a strong view of each input, for FixMatch (arXiv:2001.07685, section 2.3)."""

from dataclasses import replace

import torch
from torch import Tensor

from ssl_cli.augment import colour
from ssl_cli.augment.augment import Augment
from ssl_cli.augment.randaugment import cutout, randaugment
from ssl_cli.batch import Batch, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.pretext.base import Pretext


class WeakStrong(Pretext):
    """The weak view is shifted a little, and mirrored if the recipe mirrors; the strong view has more changes.

    Of texts the weak view is the text itself, and the strong one is changed by the run's recipe; the other settings are
    for images and clips.

    Args:
        augment: the run's recipe.
        data: facts about the inputs.
        weak: ``pad_crop``: only mirrored and shifted by whole pixels, the rim mirrored, as published; ``recipe``: the
            run's recipe; ``shift``: shifted between pixels, black beyond the rim, as in runs of older versions.
        shift: largest shift of a weak view, as a fraction of the side.
        operations: of RandAugment, applied to another weak view.
        cutout: largest side of the blanked square, as a fraction of the view's.
        warp: how RandAugment moves pixels: to the ``nearest`` one, as published, or ``bilinear``, as in older
            versions.

    Raises:
        UserError: ``weak`` or ``warp`` is unknown.
    """

    resizes = True

    def __init__(
        self,
        augment: Augment,
        data: DataInfo,
        *,
        weak: str,
        shift: float,
        operations: int,
        cutout: float,
        warp: str = "bilinear",
    ):
        super().__init__(augment, data)
        if warp not in ("nearest", "bilinear"):
            hint = did_you_mean(str(warp), ("nearest", "bilinear"))
            raise UserError(f"pretext.warp={warp} is unknown{hint}; write nearest or bilinear")
        self.nearest = warp == "nearest"
        if data.kind == "text":
            return
        moves = {
            "pad_crop": {"pad_crop": {"pad": shift, "border": "reflect"}},
            "shift": {"affine": {"translate": shift}},
        }
        if weak not in (*moves, "recipe"):
            raise UserError(
                f"pretext.weak={weak} is unknown{did_you_mean(str(weak), [*moves, 'recipe'])}; write pad_crop or recipe"
            )
        mirrored = {"flip": augment.flip, "vertical_flip": augment.vertical_flip}
        self.weak = augment if weak == "recipe" else Augment(**moves[weak], **mirrored)
        self.operations, self.cutout = operations, cutout
        self.plain = replace(data, mean=(0.0,) * data.channels, std=(1.0,) * data.channels)  # views in [0, 1]

    @property
    def cuts_photos(self) -> bool:
        """Whether the weak view, the base of the strong one, is cut from anywhere in whole images."""
        return self.data.kind == "image" and self.weak.cuts_photos

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return the weak and the strong view [B, ...]; row i of both shows the same input."""
        if self.data.kind == "text":
            return Task([batch.inputs, *self.views(batch.inputs, generator)], None, batch.labels, batch.indices)
        weak, strong = self.plain.views(self.weak, batch.inputs, generator, 2, self.view_size)
        with torch.no_grad():
            frames = strong.shape[1] if strong.ndim == 5 else 1  # of clips
            shape = strong.shape
            strong = strong.flatten(0, -4)
            strong = randaugment(strong, self.operations, generator, self.nearest, frames)
            strong = cutout(strong, self.cutout, generator, frames=frames) if self.cutout else strong
            strong = strong.view(shape)
            views = [colour.normalize(view, self.data.mean, self.data.std) for view in (weak, strong)]
        return Task(views, None, batch.labels, batch.indices)

    def shown(self, task: Task) -> dict[str, Tensor]:
        """Return both views by name."""
        return dict(zip(("weak", "strong"), map(self.visible, task.views), strict=True))
