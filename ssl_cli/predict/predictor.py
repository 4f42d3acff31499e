"""What answers for an input, once it is fitted: classes, calibrated probabilities, numbers, and how unlike it is."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ssl_cli.backbones.base import evaluating
from ssl_cli.methods.base import Method
from ssl_cli.predict.calibration import Familiar, two_likeliest
from ssl_cli.probes.heads import RidgeHead


@dataclass
class Answers:
    """For each of n inputs; None where nothing can be said."""

    classes: Tensor | None = None  # [n] int64
    probability: Tensor | None = None  # [n] of the class, calibrated
    second: Tensor | None = None  # [n] int64
    second_probability: Tensor | None = None  # [n]
    unlike: Tensor | None = None  # [n] percent of val's inputs that are closer to the training inputs
    targets: dict[str, Tensor] = field(default_factory=dict)  # name -> [n] float64


@dataclass
class Predictor:
    """Features of a frozen backbone in, `Answers` out; all of it on the CPU, but for a method's own classifier."""

    name: str  # of what names the classes: ``classifier`` (the method's own) or a probe
    classes: tuple[str, ...]
    head: Callable[[Tensor], Tensor] | None  # features [n, d] -> logits [n, C]; None: there are only numbers
    temperature: float
    calibrated_on: int  # inputs of val that the temperature is fitted on; 0: it is 1
    familiar: Familiar
    targets: dict[str, RidgeHead] = field(default_factory=dict)

    def answers(self, features: Tensor) -> Answers:
        """Answer for the features [n, d] of n inputs."""
        found = two_likeliest(self.head(features), self.temperature) if self.head is not None else ()
        numbers = {name: head(features) for name, head in self.targets.items()}
        return Answers(*(found or (None,) * 4), self.familiar.unlike(features), numbers)


class OwnClassifier:
    """The classifier that a method has learned itself: features [n, d] to logits [n, C] on the CPU."""

    def __init__(self, method: Method, device: torch.device):
        self.method, self.device = method, device

    def __call__(self, features: Tensor) -> Tensor:
        """Return logits [n, C] float32."""
        return self._logits(features).float().cpu()

    @property
    def exists(self) -> bool:
        """Whether the method has one."""
        return self._logits(torch.zeros(1, self.method.measured.dim)) is not None

    def _logits(self, features: Tensor) -> Tensor | None:
        with evaluating(self.method), torch.inference_mode():
            return self.method.predict(features.to(self.device))
