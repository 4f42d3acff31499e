"""Pseudo-labels (Lee 2013, ICML workshop): the most probable class becomes the label of an unlabelled input.

Batch by batch (the classical form), or in rounds of self-training with a fixed teacher (Noisy Student,
arXiv:1911.04252; Curriculum Labeling, arXiv:2001.06001).
"""

import copy
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone, evaluating
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.semi import check_labels, guess, in_float32, labelled_rows, masked_cross_entropy, ramp


class PseudoLabel(Method):
    """``CE(x, y) + alpha(t) CE(u, argmax f(u))`` on labelled x and unlabelled u, the guesses without gradient.

    With ``rounds`` > 1 the training has equal rounds. The first learns from human labels alone. At the start of each
    other round the network becomes the fixed teacher, and the round learns from its guesses. The schedule of the
    learning rate runs over all rounds, so with ``restart`` choose ``schedule=constant``; the optimizer keeps its state.

    Args:
        backbone: the network to train.
        data: facts about the inputs.
        mu: unlabelled inputs per labelled one in a batch.
        threshold: least probability of a guess to learn from; 0 takes all.
        weight: of the guesses after the ramp-up, alpha_f.
        ramp_start: guesses count from this share of the training on (T1), for ``rounds`` = 1.
        ramp_end: guesses count fully from this share of the training on (T2).
        rounds: of self-training; with 1 every batch has new guesses.
        restart: begin each round with the initial weights.
    """

    learns_from: ClassVar = "mixed"

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        mu: int,
        threshold: float,
        weight: float,
        ramp_start: float,
        ramp_end: float,
        rounds: int,
        restart: bool,
    ):
        super().__init__(backbone, data)
        check_labels(data, "pseudo_label")
        if ramp_start > ramp_end:
            raise UserError(
                f"method.ramp_start={ramp_start} is after method.ramp_end={ramp_end}; write a smaller method.ramp_start"
            )
        self.mu, self.threshold, self.weight, self.rounds = mu, threshold, weight, rounds
        self.ramp_start, self.ramp_end = ramp_start, ramp_end
        self.classifier = nn.Linear(backbone.dim, len(data.classes))
        self.register_buffer("progress", torch.zeros((), dtype=torch.float64))
        self.initial = copy.deepcopy(self.network).requires_grad_(False) if rounds > 1 and restart else None
        if rounds > 1:
            self.teacher = copy.deepcopy(self.network).requires_grad_(False)

    @property
    def network(self) -> nn.Sequential:
        """Inputs to class logits."""
        return nn.Sequential(self.backbone, self.classifier)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take one view [B, ...] and labels [B] (the first 1 / (1 + mu) known)."""
        inputs, n = task.views[0], labelled_rows(len(task.labels), self.mu)
        logits = in_float32(self.network(inputs))
        supervised = F.cross_entropy(logits[:n], task.labels[:n])
        if self.rounds == 1:
            classes, confidence = guess(logits[n:])
            alpha = self.weight * ramp(self.progress, self.ramp_start, self.ramp_end)
        else:
            with torch.no_grad(), evaluating(self.teacher):
                classes, confidence = guess(in_float32(self.teacher(inputs[n:])))
            alpha = self.weight * (self.progress * self.rounds >= 1)
        mask = confidence >= self.threshold
        unsupervised = masked_cross_entropy(logits[n:], classes, mask)
        return {
            "loss": supervised + alpha.to(logits.dtype) * unsupervised,
            "supervised_loss": supervised.detach(),
            "unsupervised_loss": unsupervised.detach(),
            "mask_rate": mask.to(logits.dtype).mean(),
        }

    def after_step(self, progress: float) -> None:
        """Store the progress of the training, and begin a round if it is time."""
        before = self.progress.item() if self.rounds > 1 else progress
        self.progress.fill_(progress)
        if int(before * self.rounds) < int(progress * self.rounds) < self.rounds:
            self.teacher.load_state_dict(self.network.state_dict())
            if self.initial is not None:
                self.network.load_state_dict(self.initial.state_dict())

    def predict(self, features: Tensor) -> Tensor:
        """Class logits [B, K] of features [B, dim]."""
        return self.classifier(features)

    def pseudo_labels(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return guesses [B] and whether they are confident enough to learn from [B]."""
        classes, confidence = guess(in_float32(self.classifier(features)))
        return classes, confidence >= self.threshold
