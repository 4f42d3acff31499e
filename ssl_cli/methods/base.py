"""What every method is: a backbone that will be kept, whatever the method adds to it, and one loss."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.optim.groups import param_groups


class Method(nn.Module, ABC):
    """A model and its objective. Concrete methods are final: they never subclass each other.

    ``forward`` is the whole training step up to the loss, because only what passes through it is synchronised between
    processes.
    """

    # "images": all train images, and no label is ever seen; "labels": only the images that have a label; "mixed": each
    # batch (and each of its parts) begins with labelled images, then come ``mu`` times as many whose label is hidden.
    learns_from: ClassVar[Literal["images", "labels", "mixed"]] = "images"
    trains: ClassVar[bool] = True  # False: a run has no steps, and the backbone stays as it was given
    resizes: ClassVar[bool] = True  # whether views may be of another size in each step (`trainer.progressive`)
    mu: int = 0  # unlabelled images per labelled one, where both are learned from

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
        """Return the parts whose learning rate stays at its peak, without warm-up or decay: SimSiam's predictor."""
        return []

    def after_step(self, progress: float) -> None:  # noqa: B027 (most methods have nothing to do here)
        """Update what the optimizer does not: EMA, queues. ``progress`` is in [0, 1] over the whole training."""

    def check_batch(self, images: int) -> None:  # noqa: B027
        """Raise ``UserError`` if the method cannot work with ``images`` in each (part of a) batch of all processes."""

    def start_epoch(self, epoch: int) -> None:  # noqa: B027
        """Prepare what is made once an epoch (cluster assignments), before its first step; ``epoch`` counts from 0."""

    def sampling_weights(self) -> Tensor | None:
        """Return how often each image of the data set [N] is to be drawn in this epoch; None: each once."""
        return None

    def embed(self, features: Tensor) -> Tensor | None:
        """Return the embedding [B, d] that the loss compares, of features [B, dim]; None where there is none.

        It is what is watched for collapse.
        """
        return None

    @property
    def measured(self) -> Backbone:
        """The network that is kept and probed: ``backbone``, or of methods that evaluate their average, that."""
        return self.backbone

    def predict(self, features: Tensor) -> Tensor | None:
        """Return class logits [B, K] of ``measured``'s features [B, dim] if the method has a classifier, else None."""
        return None

    def pseudo_labels(self, features: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the guessed class [B] and whether it would be learned from [B] bool, of features [B, dim].

        None where nothing is guessed. The evaluation compares it to the labels that the method does not see.
        """
        return None

    def pictures(self, task: Task) -> dict[str, Tensor]:
        """Return pictures for ``plots/``: name -> [rows, columns, C, H, W] in [0, 1]; of reconstructions or samples.

        Called in evaluation mode and without gradient, with a task made of a few val images, always the same.
        """
        return {}
