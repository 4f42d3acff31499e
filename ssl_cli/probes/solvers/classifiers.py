"""Classifiers trained by gradient descent side by side: one for each draw of the labels and each learning rate."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.errors import UserError
from ssl_cli.probes.progress import tracked

MOMENTUM = 0.9


class Heads:
    """G x P independent classifiers on features [.., d], linear or with one hidden layer, P learning rates for each G.

    SGD with momentum minimises the cross-entropy; the learning rate falls to 0 along a cosine. The classifiers are one
    stack of matrices: a few wide products cost far less than many thin ones.

    Args:
        groups: G, draws of the labels.
        lrs: P learning rates.
        dim: d.
        classes: C.
        hidden: width of the hidden layer; 0: none.
        weight_decay: lambda of lambda / 2 |W|^2.
        device: where they are.
    """

    def __init__(
        self,
        groups: int,
        lrs: Sequence[float],
        dim: int,
        classes: int,
        hidden: int = 0,
        weight_decay: float = 0.0,
        device: torch.device | str = "cpu",
    ):
        generator = torch.Generator().manual_seed(0)  # all start alike
        widths = [dim, *([hidden] if hidden else []), classes]
        self.weights, self.biases = [], []
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            scale = math.sqrt(2 / inputs) if hidden else 0.0  # one layer alone is convex: it may start at 0
            weight = scale * torch.randn(inputs, outputs, generator=generator)
            self.weights.append(weight.expand(groups, len(lrs), -1, -1).clone().to(device).requires_grad_())
            self.biases.append(torch.zeros(groups, len(lrs), 1, outputs, device=device, requires_grad=True))
        self.lrs = torch.tensor(lrs, device=device).view(-1, 1, 1)
        self.weight_decay = weight_decay

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits [G, P, n, C] of features [G or 1, n, d]."""
        x = x[:, None]
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = (x.relu() if i else x) @ weight + bias
        return x

    def fit(self, batch: Callable[[int], tuple[Tensor, Tensor]], steps: int) -> None:
        """Train for ``steps`` batches: step -> features [G or 1, B, d] and labels [G or 1, B]."""
        parameters = self.weights + self.biases
        velocity = [torch.zeros_like(p) for p in parameters]
        for step in tracked(range(steps)):
            x, y = batch(step)
            logits = self(x)
            y = y[:, None].expand(logits.shape[:3])
            loss = F.cross_entropy(logits.flatten(0, 2), y.flatten(), reduction="sum") / y.shape[2]
            gradients = torch.autograd.grad(loss, parameters)
            lrs = self.lrs * (0.5 + 0.5 * math.cos(math.pi * step / steps))
            with torch.no_grad():
                for p, v, g in zip(parameters, velocity, gradients, strict=True):
                    decayed = self.weight_decay * p if p.shape[2] > 1 else 0.0
                    p -= lrs * v.mul_(MOMENTUM).add_(g + decayed)


def best_of(val_logits: Tensor, labels: Tensor) -> int:
    """Return the index of the best of P candidates on val, logits [P, n, C]: by accuracy, among equals by the loss."""
    if len(val_logits) == 1:
        return 0
    scores = [
        ((logits.argmax(1) == labels).double().mean().item(), -F.cross_entropy(logits, labels).nan_to_num(1e9).item())
        for logits in val_logits
    ]
    return max(range(len(scores)), key=scores.__getitem__)


def check_rates(probe: str, lrs: Sequence[float]) -> list[float]:
    """Return the learning rates in order; raise ``UserError`` if there is none, or one is not positive."""
    if not lrs or not all(isinstance(lr, (int, float)) and lr > 0 for lr in lrs):
        raise UserError(f"the learning rates of the {probe} probe are {list(lrs)}; write positive numbers: [0.01, 0.1]")
    return sorted(lrs)


def shuffled(n: int, size: int, generator: torch.Generator) -> Callable[[], Tensor]:
    """Return a function that gives the next ``size`` (at most n) of n positions, in a new order each epoch."""
    queue: list[Tensor] = []

    def following() -> Tensor:
        if not queue:
            order = torch.randperm(n, generator=generator)
            queue.extend(order[: n - n % size].split(size) if n > size else [order])
        return queue.pop(0)

    return following
