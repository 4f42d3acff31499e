"""The base of every method: a backbone to keep, the method's own parts, and one loss."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.optim.groups import param_groups


class Method(nn.Module, ABC):
    """A model and its objective. Concrete methods are final: they never subclass each other.

    ``forward`` is the whole training step up to the loss: only what passes through it is synchronised between
    processes.
    """

    # "images": all train inputs, and never a label; "labels": only inputs with a label; "mixed": each batch (and each
    # of its parts) begins with labelled inputs, followed by ``mu`` times as many with a hidden label.
    learns_from: ClassVar[Literal["images", "labels", "mixed"]] = "images"
    trains: ClassVar[bool] = True  # False: a run has no steps, and the backbone does not change
    resizes: ClassVar[bool] = True  # whether the size of views may change between steps (`trainer.progressive`)
    mu: int = 0  # unlabelled inputs per labelled one, if the method learns from both

    def __init__(self, backbone: Backbone, data: DataInfo):
        super().__init__()
        self.backbone = backbone
        self.data = data

    @abstractmethod
    def forward(self, task: Task) -> dict[str, Tensor]:
        """Return ``{"loss": scalar, ...}``: the loss is minimised, other scalars are logged."""

    def param_groups(self) -> list[dict]:
        """Return the optimizer's groups, see `ssl_cli.optim.groups.param_groups`."""
        return param_groups(self, self.constant_lr())

    def constant_lr(self) -> list[nn.Module]:
        """Return the parts that train at the peak learning rate, without warm-up or decay: SimSiam's predictor."""
        return []

    def after_step(self, progress: float) -> None:  # noqa: B027 (most methods have nothing to do here)
        """Update what the optimizer does not: EMA, queues. ``progress`` is in [0, 1] over the whole training."""

    def check_batch(self, inputs: int) -> None:  # noqa: B027
        """Raise ``UserError`` if the method cannot work with ``inputs`` in (a part of) a batch of all processes."""

    def start_epoch(self, epoch: int) -> None:  # noqa: B027
        """Prepare an epoch before its first step (cluster assignments); ``epoch`` counts from 0."""

    def sampling_weights(self) -> Tensor | None:
        """Return how often to draw each input of the data set [N] in this epoch; None: each once."""
        return None

    def embed(self, features: Tensor) -> Tensor | None:
        """Return the embedding [B, d] that the loss compares, of features [B, dim]; None if there is none.

        The run watches it for collapse.
        """
        return None

    @property
    def measured(self) -> Backbone:
        """The network to keep and probe: ``backbone``, or its average if the method evaluates that."""
        return self.backbone

    def predict(self, features: Tensor) -> Tensor | None:
        """Return class logits [B, K] of ``measured``'s features [B, dim] if the method has a classifier, else None."""
        return None

    def pseudo_labels(self, features: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the guessed class [B] of features [B, dim], and whether the method would learn from it [B] bool.

        None if the method does not guess. The evaluation compares the guesses with the labels that the method cannot
        see.
        """
        return None

    def pictures(self, task: Task) -> dict[str, Tensor]:
        """Return pictures of reconstructions or samples for ``plots/``: name -> [rows, columns, C, H, W] in [0, 1].

        Called in evaluation mode and without gradient, with a task of a few val inputs, always the same.
        """
        return {}
