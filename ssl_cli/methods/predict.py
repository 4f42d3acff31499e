"""Predict pseudo-labels: one method for every pretext that makes them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.augment.lab import lab_to_rgb
from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Target, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import all_reduce_sum
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.heads import mlp

TEMPERATURE = 0.38  # of the annealed mean that turns a distribution over colours into one (Zhang et al. 2016)


def soft_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over images and places of ``- v sum_q Z_q log p_q``, Zhang et al. 2016 (arXiv:1603.08511), eq. 2.

    Args:
        logits: [B, Q, h, w].
        targets: [B, Q, h, w] distributions Z over Q.
        weights: [Q], v: the weight of a place with that most probable bin.
    """
    rows = -(targets * logits.log_softmax(dim=1)).sum(dim=1)
    return (rows * weights[targets.argmax(dim=1)]).mean()


def rebalanced(counts: Tensor, smoothing: float) -> Tensor:
    """Return the weights [Q] of bins that occur ``counts`` [Q] times: rare ones count more, the mean over data is 1.

    ``w ~ ((1 - lambda) p + lambda / Q)^-1`` with ``sum p w = 1`` (equation 4 of the same paper).
    """
    p = counts / counts.sum()
    w = 1 / ((1 - smoothing) * p + smoothing / len(p))
    return w / (p * w).sum()


def masked_square(predicted: Tensor, targets: Tensor, masks: Tensor) -> Tensor:
    """Return the mean squared error over the hidden pixels alone: the network could copy visible ones.

    Args:
        predicted: [B, C, H, W].
        targets: [B, C, H, W].
        masks: [B, H, W] bool, True where hidden; equally many in each image.
    """
    hidden = masks.unsqueeze(1).to(predicted.dtype)
    return ((predicted - targets).square() * hidden).sum() / (hidden.sum() * predicted.shape[1])


def mean_of_texts(values: Tensor, rows: Tensor, texts: int) -> Tensor:
    """Return the mean over texts of the mean over each one's tokens: the same however a batch is divided.

    Args:
        values: [M], one a token.
        rows: [M] int64, which text each is of.
        texts: B.
    """
    counts = torch.bincount(rows, minlength=texts).to(values.dtype)
    return (values / counts[rows]).sum() / texts


class Predict(Method):
    """A head on the backbone predicts the pseudo-label: a class, a distribution at each place, pixels, or tokens.

    Args:
        backbone: the network to train.
        data: facts about the inputs.
        target: describes the pretext's pseudo-labels.
        layers: of the head that predicts a class; 1 is linear.
        hidden_dim: width of that head's hidden layers.
        decoder_dim: width of the convolutions that predict a map of bins or pixels.
        label_smoothing: share of a class target that is spread evenly over all classes, in [0, 1).
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        target: Target,
        layers: int,
        hidden_dim: int,
        decoder_dim: int,
        label_smoothing: float = 0.0,
    ):
        super().__init__(backbone, data)
        self.target, self.label_smoothing = target, label_smoothing
        if target.size is not None and target.size < backbone.min_size:
            raise UserError(
                f"the pretext's views are {target.size} pixels wide, this backbone needs {backbone.min_size}; write "
                f"pretext.at_least={backbone.min_size}, a larger {data.size_key}, or fewer tiles"
            )
        if target.kind == "tokens":
            self.head = mlp(backbone.dim, hidden_dim, target.classes, layers, hidden_norm=False)
        elif target.kind == "class":
            self.head = mlp(target.pieces * backbone.dim, hidden_dim, target.classes, layers)
        else:
            self.head = nn.Sequential(
                nn.Conv2d(backbone.dim, decoder_dim, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Upsample(scale_factor=2, mode="bilinear"),
                nn.Conv2d(decoder_dim, decoder_dim, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(decoder_dim, target.classes, 1),
            )

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take ``target.pieces`` views [B, ...] of each input, and targets as `Target` describes them."""
        if self.target.kind == "tokens":
            return self._of_tokens(task)
        outputs = self._outputs(task)
        targets = task.targets
        if self.target.kind == "pixels":
            return {"loss": masked_square(outputs, targets, task.masks)}
        if self.target.kind == "class":
            accuracy = (outputs.argmax(dim=1) == targets).to(outputs.dtype).mean()
            loss = F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)
            return {"loss": loss, "pretext_accuracy": accuracy}
        # The frequency of a colour comes from the current batch of all processes.
        weights = rebalanced(all_reduce_sum(targets.sum((0, 2, 3))), self.target.smoothing)
        accuracy = (outputs.argmax(dim=1) == targets.argmax(dim=1)).to(outputs.dtype).mean()
        return {"loss": soft_cross_entropy(outputs, targets, weights), "pretext_accuracy": accuracy}

    def _of_tokens(self, task: Task) -> dict[str, Tensor]:
        """Predict the tokens that are to be found, from what the backbone makes of each."""
        rows = task.masks.nonzero()[:, 0]
        logits = self.head(self.backbone.feature_map(task.views[0])[task.masks])
        logits, targets = logits if logits.dtype == torch.float64 else logits.float(), task.targets[task.masks]
        right = (logits.argmax(dim=1) == targets).to(logits.dtype)
        losses = F.cross_entropy(logits, targets, reduction="none")
        loss, accuracy = (mean_of_texts(values, rows, len(task.masks)) for values in (losses, right))
        return {"loss": loss, "pretext_accuracy": accuracy}

    def _outputs(self, task: Task) -> Tensor:
        """Return logits [B, classes], or a map of outputs as large as the targets."""
        if self.target.kind == "class":
            # All pieces in one pass, so that BatchNorm treats them alike.
            features = self.backbone(torch.cat(task.views)).chunk(len(task.views))
            outputs = self.head(torch.cat(features, dim=1))
        else:
            outputs = self.head(self.backbone.feature_map(task.views[0]))
            if outputs.shape[2:] != task.targets.shape[2:]:
                outputs = F.interpolate(outputs, task.targets.shape[2:], mode="bilinear", antialias=False)
        return outputs if outputs.dtype == torch.float64 else outputs.float()

    def pictures(self, task: Task) -> dict[str, Tensor]:
        """Return for each image the input, the prediction and the truth."""
        if self.target.kind in ("class", "tokens"):
            return {}
        outputs, seen = self._outputs(task), self._pixels(task.views[0])
        if self.target.kind == "pixels":
            filled = torch.where(task.masks.unsqueeze(1), self._pixels(outputs), seen)
            return {"inpainting": torch.stack([seen, filled, self._pixels(task.targets)], dim=1)}
        lightness = 100 * seen.mean(dim=1, keepdim=True)
        columns = [seen.expand(-1, 3, -1, -1)]
        for probabilities in ((outputs / TEMPERATURE).softmax(dim=1), task.targets):
            ab = torch.einsum("bqhw,qc->bchw", probabilities, outputs.new_tensor(self.target.centres))
            ab = F.interpolate(ab, lightness.shape[2:], mode="bilinear")
            columns.append(lab_to_rgb(torch.cat([lightness, ab], dim=1)))
        return {"colorization": torch.stack(columns, dim=1)}

    def _pixels(self, images: Tensor) -> Tensor:
        """Undo the normalisation: [B, C, H, W] in [0, 1]."""
        mean, std = (images.new_tensor(v).view(-1, 1, 1) for v in (self.data.mean, self.data.std))
        return (images * std + mean).clamp(0, 1)
