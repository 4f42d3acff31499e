"""FlexMatch (Zhang et al. 2021, arXiv:2110.08263): FixMatch, lower thresholds for classes learned late."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.ema import EMA
from ssl_cli.methods.shared.semi import check_labels, guess, in_float32, labelled_rows, masked_cross_entropy


def class_thresholds(counts: Tensor, unused: Tensor, threshold: float) -> Tensor:
    """Return the threshold of each class [C], in [0, threshold] (equations 6, 7, 11 and 12).

    ``beta_c = sigma_c / max(max_c sigma_c, unused)`` and ``tau_c = tau M(beta_c)``, where ``M(b) = b / (2 - b)``. At
    first, inputs without a confident guess keep the thresholds low (the warm-up of equation 11).

    Args:
        counts: [C] sigma, number of inputs with class c as their last confident guess.
        unused: scalar, number of inputs without a confident guess so far.
        threshold: tau.
    """
    beta = counts / torch.maximum(counts.max(), unused).clamp_min(1)
    return threshold * beta / (2 - beta)


class FlexMatch(Method):
    """FixMatch with a threshold per class: it follows the number of confident guesses of that class so far.

    Args:
        backbone: the network to train.
        data: facts about the inputs.
        mu: unlabelled inputs per labelled one in a batch.
        threshold: tau; a guess above it counts as confident; also the largest threshold of a class.
        weight: of the unlabelled inputs.
        momentum: share of itself that the average keeps per step; ``min(1 - 1/(t + 1), momentum)`` at step t.
    """

    learns_from: ClassVar = "mixed"

    def __init__(
        self, backbone: Backbone, data: DataInfo, *, mu: int, threshold: float, weight: float, momentum: float
    ):
        super().__init__(backbone, data)
        check_labels(data, "flexmatch")
        self.mu, self.threshold, self.weight = mu, threshold, weight
        self.classifier = nn.Linear(backbone.dim, len(data.classes))
        self.average = EMA(self.network, momentum, buffers="copy", warm=True)
        self.register_buffer("sure", torch.full((data.images,), -1))  # each input's last confident guess; -1: none

    @property
    def network(self) -> nn.Sequential:
        """Inputs to class logits."""
        return nn.Sequential(self.backbone, self.classifier)

    def thresholds(self) -> Tensor:
        """Return the threshold of each class [C]."""
        classes = len(self.data.classes)
        counts = self.sure.new_zeros(classes + 1).scatter_add_(0, self.sure + 1, torch.ones_like(self.sure)).double()
        # Inputs of val and test get no guess; train inputs without a guess so far are the unused ones.
        unused = self.data.train_size - counts[1:].sum()
        return class_thresholds(counts[1:], unused, self.threshold)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take a weak and a strong view [B, ...], labels [B] (the first 1 / (1 + mu) known) and indices [B]."""
        weak, strong = task.views
        n, rows = labelled_rows(len(weak), self.mu), len(weak)
        logits = in_float32(self.network(torch.cat([weak, strong[n:]])))
        supervised = F.cross_entropy(logits[:n], task.labels[:n])
        classes, confidence = guess(logits[n:rows])
        mask = confidence >= self.thresholds()[classes]
        unsupervised = masked_cross_entropy(logits[rows:], classes, mask)
        if self.training:
            self._remember(gather(task.indices[n:]), gather(classes), gather(confidence))
        return {
            "loss": supervised + self.weight * unsupervised,
            "supervised_loss": supervised.detach(),
            "unsupervised_loss": unsupervised.detach(),
            "mask_rate": mask.to(logits.dtype).mean(),
        }

    @torch.no_grad()
    def _remember(self, indices: Tensor, classes: Tensor, confidence: Tensor) -> None:
        """Keep the confident guesses; a batch has each unlabelled input at most once."""
        self.sure[indices] = torch.where(confidence >= self.threshold, classes, self.sure[indices])

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
        """Return guesses [B] and whether they pass the threshold of their class [B]."""
        classes, confidence = guess(in_float32(self.predict(features)))
        return classes, confidence >= self.thresholds()[classes]
