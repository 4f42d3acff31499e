"""Linear classification as the papers do it: SGD on augmented views, the backbone frozen."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.errors import UserError
from ssl_cli.probes.base import Features, Probe, Result, check_budgets
from ssl_cli.probes.frozen.features import features_of, scale
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.solvers.classifiers import Heads, best_of, check_rates, shuffled

SAMPLE = 2048  # augmented inputs that give mean and deviation of the features
LEAST_STEPS = 100  # of training, whatever epochs says


class LinearSGD(Probe):
    """A linear classifier trained by SGD on the features of augmented inputs; several learning rates side by side.

    Each step shows the frozen backbone newly augmented inputs, once for all learning rates. The rate with the best
    accuracy on val is scored on test, on unchanged inputs. Augmented inputs give mean and deviation to standardise the
    features (as MAE's BatchNorm does, arXiv:2111.06377, A.1), so the same rates suit every model.

    Args:
        augment: the recipe.
        labels: budgets: ``all``, ``10/class``, ``10%``.
        draws: random draws of each budget other than ``all``, with seeds 0, 1, ...
        epochs: passes over the labelled inputs; with few labels as many as make 100 steps.
        batch_size: inputs a step.
        lrs: learning rates.
        weight_decay: lambda of lambda / 2 |W|^2.

    Raises:
        UserError: a budget cannot be read, or a learning rate is not positive.
    """

    name = "linear_sgd"
    slow = True

    def __init__(
        self,
        augment: Augment,
        labels: Sequence[str] = ("all",),
        draws: int = 3,
        epochs: int = 30,
        batch_size: int = 256,
        lrs: Sequence[float] = (0.003, 0.01, 0.03, 0.1, 0.3),
        weight_decay: float = 0.0,
    ):
        self.augment, self.labels, self.count = augment, check_budgets(labels), draws
        self.epochs, self.batch_size, self.weight_decay = epochs, batch_size, weight_decay
        self.lrs = check_rates(self.name, lrs)

    def run(self, features: Features) -> list[Result]:
        """Score the test split at each budget; see `Probe.run`."""
        self.notices = []
        if len(self.lrs) > 1 and not len(features.val.labels):
            self.notices = ["linear_sgd probe: left out, because its rate is chosen on val, which has no label"]
            return []
        if features.source is None:
            raise UserError("the linear_sgd probe needs a model to show augmented inputs to")
        results = []
        for budget, draws, how in self.draws(features, self.labels, self.count):
            fitted = [self._fitted(features, drawn) for drawn in tracked(draws)]
            logits = torch.stack([test for _, test in fitted])
            confidence, predicted = logits.softmax(2).max(2)
            settings = {
                **how,
                "standardised_by": "augmented training images",
                "fitted_on": "train, augmented",
                "augment": str({key: value for key, value in vars(self.augment).items() if value}),
                "lr_chosen_on": "val",
                "lrs": self.lrs,
                "epochs": self.epochs,
                "batch_size": self.batch_size,
                "weight_decay": self.weight_decay,
            }
            chosen = {"lr": [self.lrs[best] for best, _ in fitted]}
            results.append(self.classified(features, budget, predicted, settings, confidence, chosen))
        return results

    def _fitted(self, features: Features, drawn: Tensor) -> tuple[int, Tensor]:
        """Return which learning rate is best on val, and its logits [n, C] on test."""
        source, train = features.source, features.train
        drawn, where = drawn.cpu(), train.features.device
        generator = torch.Generator().manual_seed(0)  # the same views for every model
        following = shuffled(len(drawn), self.batch_size, generator)

        def seen(at: Tensor) -> Tensor:
            view = source.augmented(self.augment, train.positions[at], generator)
            return features_of(source.network, [view]).to(where)

        # From augmented views: unchanged inputs would give a tiny deviation where only views vary (a digit's border).
        sample = torch.randperm(len(train.labels), generator=generator)[:SAMPLE]
        mean, std = scale(torch.cat([seen(at) for at in sample.split(self.batch_size)]))

        def batch(step: int) -> tuple[Tensor, Tensor]:
            at = drawn[following()]
            return ((seen(at) - mean) / std)[None], train.labels[at.to(where)][None]

        heads = Heads(1, self.lrs, len(mean), features.classes, 0, self.weight_decay, mean.device)
        heads.fit(batch, max(LEAST_STEPS, self.epochs * max(1, len(drawn) // self.batch_size)))
        with torch.no_grad():
            val, test = (heads(((s.features - mean) / std)[None])[0] for s in (features.val, features.test))
        best = best_of(val, features.val.labels)
        return best, test[best]
