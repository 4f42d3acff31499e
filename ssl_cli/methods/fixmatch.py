"""FixMatch (Sohn et al. 2020, arXiv:2001.07685): a confident guess on a weak view is the label of a strong view."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.ema import EMA
from ssl_cli.methods.shared.semi import check_labels, guess, in_float32, labelled_rows, masked_cross_entropy


class FixMatch(Method):
    """``CE(weak x, y) + weight (1/mu B) sum_b 1[max q_b >= tau] CE(strong u_b, argmax q_b)`` (equations 3 and 4).

    One forward pass takes all views, so BatchNorm sees them together. Measured is an average of the weights.

    Args:
        backbone: the network to train.
        data: facts about the inputs.
        mu: unlabelled inputs per labelled one in a batch.
        threshold: tau; the method learns from guesses of at least this probability.
        weight: of the unlabelled inputs, lambda_u.
        momentum: share of itself that the average keeps per step; ``min(1 - 1/(t + 1), momentum)`` at step t.
    """

    learns_from: ClassVar = "mixed"

    def __init__(
        self, backbone: Backbone, data: DataInfo, *, mu: int, threshold: float, weight: float, momentum: float
    ):
        super().__init__(backbone, data)
        check_labels(data, "fixmatch")
        self.mu, self.threshold, self.weight = mu, threshold, weight
        self.classifier = nn.Linear(backbone.dim, len(data.classes))
        self.average = EMA(self.network, momentum, buffers="copy", warm=True)

    @property
    def network(self) -> nn.Sequential:
        """Inputs to class logits."""
        return nn.Sequential(self.backbone, self.classifier)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take a weak and a strong view [B, ...], and labels [B] (the first 1 / (1 + mu) known)."""
        weak, strong = task.views
        n, rows = labelled_rows(len(weak), self.mu), len(weak)
        logits = in_float32(self.network(torch.cat([weak, strong[n:]])))
        supervised = F.cross_entropy(logits[:n], task.labels[:n])
        classes, confidence = guess(logits[n:rows])
        mask = confidence >= self.threshold
        unsupervised = masked_cross_entropy(logits[rows:], classes, mask)
        return {
            "loss": supervised + self.weight * unsupervised,
            "supervised_loss": supervised.detach(),
            "unsupervised_loss": unsupervised.detach(),
            "mask_rate": mask.to(logits.dtype).mean(),
        }

    def after_step(self, progress: float) -> None:
        """Update the moving average."""
        self.average.update(self.network, progress)

    @property
    def measured(self) -> Backbone:
        """The average's backbone."""
        return self.average.module[0]

    def predict(self, features: Tensor) -> Tensor:
        """Class logits [B, K] by the average, of its features [B, dim]."""
        return self.average.module[1](features)

    def pseudo_labels(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return guesses [B] and whether they are confident enough to learn from [B]."""
        classes, confidence = guess(in_float32(self.predict(features)))
        return classes, confidence >= self.threshold
