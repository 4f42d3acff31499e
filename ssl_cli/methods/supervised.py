"""Supervised classification: the reference for every label-free method."""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method


class Supervised(Method):
    """Backbone, one linear classifier, cross-entropy with optional label smoothing (Szegedy et al. 2016)."""

    learns_from: ClassVar = "labels"

    def __init__(self, backbone: Backbone, data: DataInfo, *, label_smoothing: float):
        super().__init__(backbone, data)
        if len(data.classes) < 2:
            raise UserError(
                f"method=supervised needs labels of at least two classes; {data.name} has {len(data.classes)}: "
                f"{data.how_to_label}, or choose a method that needs none (method=simclr)"
            )
        self.label_smoothing = label_smoothing
        self.classifier = nn.Linear(backbone.dim, len(data.classes))

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take one view [B, ...] and its labels [B]."""
        logits = self.classifier(self.backbone(task.views[0])).float()
        loss = F.cross_entropy(logits, task.labels, label_smoothing=self.label_smoothing)
        accuracy = (logits.argmax(dim=1) == task.labels).float().mean()
        return {"loss": loss, "train_accuracy": accuracy.detach()}

    def predict(self, features: Tensor) -> Tensor:
        """Class logits [B, K] of features [B, dim]."""
        return self.classifier(features)
