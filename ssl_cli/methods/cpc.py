"""Contrastive predictive coding (van den Oord et al. 2018, arXiv:1807.03748; of images: Henaff et al. 2020; of clips:
Han et al. 2019, arXiv:1909.04656).
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.pieces import Patches, Stretches


def info_nce(predicted: Tensor, candidates: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss and the accuracy of picking the right piece out of all (equation 4; scores are dot products).

    ``-log exp(p.z+) / sum_z exp(p.z)`` over all candidates z, the positive z+ among them.

    Args:
        predicted: [M, d] predicted vectors.
        candidates: [N, d] vectors of pieces of all places and inputs.
        own: [M] index of the positive among them.
    """
    scores = predicted @ candidates.T
    return F.cross_entropy(scores, own), (scores.argmax(1) == own).to(scores.dtype).mean()


class Downward(nn.Module):
    """A convolution over places [B, d, rows, columns] that sees its own row and those above, three columns wide."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, (2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape; the input is added (a residual connection)."""
        return x + F.relu(self.conv(F.pad(x, (1, 1, 1, 0))))


class CPC(Method):
    """Each patch of a grid goes through the backbone; from the rows down to one, predict the rows further below.

    Of clips the pieces are short stretches, one a row: from those up to one, predict later ones. All other pieces of
    the batch are negatives: of other inputs, and of other places of the same input. BatchNorm would give away which
    pieces come from one input, so the backbone must have none.

    Args:
        backbone: the network for a piece; without BatchNorm.
        data: facts about the inputs.
        patch_size: of images: side of a patch, in pixels.
        stride: of images: between patches, in pixels; if it is below ``patch_size``, patches overlap.
        piece: of clips: frames of a stretch.
        steps: number of rows below to predict.
        skip: rows between the context and the first predicted row: rows that overlap are too easy.
        dim: width of the compared vectors.
        layers: of the context network; each sees one row further up.
    """

    resizes: ClassVar = False  # the grid is of one size

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        patch_size: int,
        stride: int,
        steps: int,
        skip: int,
        dim: int,
        layers: int,
        piece: int = 2,
    ):
        super().__init__(backbone, data)
        if any(isinstance(module, _BatchNorm) for module in backbone.modules()):
            raise UserError(
                "method=cpc needs a backbone without BatchNorm, through which pieces of one input would show; write "
                "backbone.norm=group"
            )
        self.skip = skip
        if data.kind == "clip":
            self.pieces: Patches | Stretches = Stretches(backbone, data, piece, steps, skip)
        else:
            self.pieces = Patches(backbone, data, patch_size, stride, steps, skip)
        self.project = nn.Conv2d(backbone.dim, dim, 1)
        self.context = nn.Sequential(*(Downward(dim) for _ in range(layers)))
        self.predictors = nn.ModuleList(nn.Conv2d(dim, dim, 1, bias=False) for _ in range(steps))

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take one view: images [B, C, H, W], or clips [B, T, C, H, W]."""
        z = self.encode(task.views[0])  # [B, d, rows, columns]
        c = self.context(z)
        z, c = (x if x.dtype == torch.float64 else x.float() for x in (z, c))
        candidates = gather(z.permute(0, 2, 3, 1).contiguous())  # [B, rows, columns, d] of all processes
        number = torch.arange(candidates.shape[:3].numel(), device=z.device).view(candidates.shape[:3])
        outputs, losses = {}, []
        for step, predictor in enumerate(self.predictors, 1):
            down = step + self.skip
            predicted = gather(predictor(c[:, :, : self.pieces.rows - down]).permute(0, 2, 3, 1).contiguous())
            with torch.autocast(z.device.type, enabled=False):  # scores are not bounded: in bf16 many would be equal
                loss, accuracy = info_nce(
                    predicted.to(z.dtype).flatten(0, 2), candidates.flatten(0, 2), number[:, down:].flatten()
                )
            losses.append(loss)
            outputs[f"accuracy_{down}"] = accuracy.detach()
        return {"loss": torch.stack(losses).mean(), **outputs}

    def encode(self, inputs: Tensor) -> Tensor:
        """Return the vectors of the pieces [B, d, rows, columns]."""
        shape = len(inputs), self.pieces.rows, self.pieces.columns
        features = self.backbone(self.pieces(inputs)).unflatten(0, shape)
        return self.project(features.permute(0, 3, 1, 2))
