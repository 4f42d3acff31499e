"""Mean Teacher (Tarvainen and Valpola 2017, arXiv:1703.01780): agree with one's own slow average on all inputs."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.ema import EMA
from ssl_cli.methods.shared.semi import check_labels, guess, in_float32, labelled_rows, ramp


def consistency(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared difference of class probabilities, the mean over inputs and classes.

    As in the authors' PyTorch code; a sum over the K classes is K times as large.

    Args:
        student: logits [B, K].
        teacher: logits [B, K], without gradient.
    """
    return F.mse_loss(student.softmax(dim=1), teacher.detach().softmax(dim=1))


def sigmoid_ramp(x: Tensor) -> Tensor:
    """Return ``exp(-5 (1 - x)^2)`` for x in [0, 1] (Laine and Aila 2017, arXiv:1610.02242)."""
    return torch.exp(-5 * (1 - x).square())


class MeanTeacher(Method):
    """``CE(x, y) + w(t) consistency(student, teacher)``, each on a view of its own; the teacher is measured.

    Args:
        backbone: the student.
        data: facts about the inputs.
        mu: unlabelled inputs per labelled one in a batch.
        weight: of the consistency after the ramp-up.
        ramp_up: length of the ramp-up, as a share of the training.
        momentum: alpha, share of itself that the teacher keeps per step; ``min(1 - 1/(t + 1), alpha)`` at step t.
    """

    learns_from: ClassVar = "mixed"

    def __init__(self, backbone: Backbone, data: DataInfo, *, mu: int, weight: float, ramp_up: float, momentum: float):
        super().__init__(backbone, data)
        check_labels(data, "mean_teacher")
        self.mu, self.weight, self.ramp_up = mu, weight, ramp_up
        self.classifier = nn.Linear(backbone.dim, len(data.classes))
        self.teacher = EMA(self.network, momentum, warm=True)
        self.register_buffer("progress", torch.zeros((), dtype=torch.float64))

    @property
    def network(self) -> nn.Sequential:
        """Inputs to class logits."""
        return nn.Sequential(self.backbone, self.classifier)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take two views [B, ...] and labels [B] (the first 1 / (1 + mu) known)."""
        n = labelled_rows(len(task.labels), self.mu)
        student = in_float32(self.network(task.views[0]))
        teacher = in_float32(self.teacher(task.views[1]))
        supervised = F.cross_entropy(student[:n], task.labels[:n])
        unsupervised = consistency(student, teacher)
        weight = self.weight * sigmoid_ramp(ramp(self.progress, 0, self.ramp_up))
        return {
            "loss": supervised + weight.to(student.dtype) * unsupervised,
            "supervised_loss": supervised.detach(),
            "unsupervised_loss": unsupervised.detach(),
        }

    def after_step(self, progress: float) -> None:
        """Update the teacher, and store the progress of the training."""
        self.teacher.update(self.network, progress)
        self.progress.fill_(progress)

    @property
    def measured(self) -> Backbone:
        """The teacher's backbone."""
        return self.teacher.module[0]

    def predict(self, features: Tensor) -> Tensor:
        """Class logits [B, K] by the teacher, of its features [B, dim]."""
        return self.teacher.module[1](features)

    def pseudo_labels(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the teacher's classes [B]; the student learns from all of them."""
        classes, _ = guess(in_float32(self.predict(features)))
        return classes, torch.ones_like(classes, dtype=torch.bool)
