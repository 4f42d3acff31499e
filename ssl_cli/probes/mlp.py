"""A classifier with one hidden layer on frozen features: it may find more in them than a linear classifier."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_cli.probes.base import Features, Probe, Result, check_budgets
from ssl_cli.probes.solvers.classifiers import Heads, best_of, check_rates, shuffled

LEAST_STEPS = 200  # of training, whatever epochs says


class MLP(Probe):
    """One hidden layer with ReLU, trained by SGD on standardised features, its learning rate chosen on val.

    Args:
        labels: budgets: ``all``, ``10/class``, ``10%``.
        draws: random draws of each budget other than ``all``, with seeds 0, 1, ...
        hidden: width of the hidden layer.
        epochs: passes over the labelled inputs; with few labels as many as make 200 steps.
        batch_size: inputs a step.
        lrs: learning rates trained side by side.
        weight_decay: lambda of lambda / 2 |W|^2.

    Raises:
        UserError: a budget cannot be read, or a learning rate is not positive.
    """

    name = "mlp"
    features_alone = True

    def __init__(
        self,
        labels: Sequence[str] = ("all",),
        draws: int = 10,
        hidden: int = 256,
        epochs: int = 30,
        batch_size: int = 256,
        lrs: Sequence[float] = (0.01, 0.03, 0.1),
        weight_decay: float = 1e-4,
    ):
        self.labels, self.count = check_budgets(labels), draws
        self.hidden, self.epochs, self.batch_size, self.weight_decay = hidden, epochs, batch_size, weight_decay
        self.lrs = check_rates(self.name, lrs)

    def run(self, features: Features) -> list[Result]:
        """Score the test split at each budget; see `Probe.run`."""
        self.notices = []
        if len(self.lrs) > 1 and not len(features.val.labels):
            self.notices = ["mlp probe: left out, because its learning rate is chosen on val, which has no label"]
            return []
        return [self._fitted(features, *drawn) for drawn in self.draws(features, self.labels, self.count)]

    def _fitted(self, features: Features, budget: str, drawn: Tensor, how: dict) -> Result:
        train = features.train
        mean, std = features.scale()
        x, val, test = ((s.features - mean) / std for s in (train, features.val, features.test))
        n = drawn.shape[1]
        following = shuffled(n, self.batch_size, torch.Generator().manual_seed(0))

        def batch(step: int) -> tuple[Tensor, Tensor]:
            at = drawn[:, following().to(drawn.device)]
            return x[at], train.labels[at]

        heads = Heads(len(drawn), self.lrs, x.shape[1], features.classes, self.hidden, self.weight_decay, x.device)
        heads.fit(batch, max(LEAST_STEPS, self.epochs * max(1, n // self.batch_size)))
        with torch.no_grad():
            best = [best_of(logits, features.val.labels) for logits in heads(val[None])]
            logits = torch.stack([p[i] for p, i in zip(heads(test[None]), best, strict=True)])
        confidence, predicted = logits.softmax(2).max(2)
        settings = {
            **how,
            "standardised_by": "all training features",
            "fitted_on": "train",
            "lr_chosen_on": "val",
            "lrs": self.lrs,
            "hidden": self.hidden,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "weight_decay": self.weight_decay,
        }
        return self.classified(features, budget, predicted, settings, confidence, {"lr": [self.lrs[i] for i in best]})
