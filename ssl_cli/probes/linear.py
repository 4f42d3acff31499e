"""Linear classification of frozen features, with all labels and with few."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.base import Features, Probe, Result, Split, check_budgets, check_penalties
from ssl_cli.probes.frozen.features import scale
from ssl_cli.probes.solvers.logistic import MANY, fit_logistic

WORK = 200_000_000  # images times classes that the evaluations for one penalty may add up to, of many classes
FEWEST = 12  # evaluations for a penalty, however many images and classes there are


class Linear(Probe):
    """Multinomial logistic regression at several label budgets.

    The features are standardised by those of all labelled training images. For each draw of the labels one model per
    penalty is fitted on the drawn images, the penalty is chosen on the validation split (best accuracy, then smallest
    loss) and that model is scored once on the test split. It is not fitted again on train and validation together.

    Args:
        labels: budgets: ``all``, ``10/class``, ``10%``.
        draws: random draws of each budget other than ``all``, with seeds 0, 1, ...; beyond 256 classes fewer, for
            each then has many images: at least 2, and no more than classes times draws as of 256.
        penalties: candidates for the penalty lambda in mean cross-entropy + lambda/2 |W|^2, each > 0.
        max_iter: evaluations of the objective, at most; beyond 256 classes fewer where these are large, at least 12.
        tol: largest entry of the gradient at which a fit is done, once steps gain nothing either; see `fit_logistic`.

    Raises:
        UserError: a budget cannot be read, or a penalty is not positive.
    """

    name = "linear"

    def __init__(
        self,
        labels: Sequence[str] = ("all", "10/class", "1/class"),
        draws: int = 10,
        penalties: Sequence[float] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
        max_iter: int = 200,
        tol: float = 1e-4,
    ):
        self.labels, self.count = check_budgets(labels), draws
        self.penalties = check_penalties(self.name, penalties)
        self.max_iter = max_iter
        self.tol = tol

    def run(self, features: Features) -> list[Result]:
        """Score the test split at each budget; see `Probe.run`. What cannot be fitted becomes a notice."""
        if len(self.penalties) > 1 and not len(features.val.labels):
            self.notices = ["linear probe: left out, for its penalty is chosen on val, which has no labelled image"]
            return []
        self.notices = []
        count = self.count
        if features.classes > MANY:
            count = min(count, max(2, MANY * count // features.classes))
        if count < self.count and any(budget != "all" for budget in self.labels):
            self.notices = [f"linear probe: {count} draws, not {self.count}, for there are {features.classes} classes"]
        return [self._fitted(features, *drawn) for drawn in self.draws(features, self.labels, count)]

    def _fitted(self, features: Features, budget: str, drawn: Tensor, how: dict) -> Result:
        test, heads = features.test, self.heads(features, drawn)
        predictions = [(test.features @ weight + bias).softmax(1).max(1) for weight, bias, _ in heads]
        chosen = [penalty for *_, penalty in heads]
        predicted, confidence = (torch.stack([p[part] for p in predictions]) for part in (1, 0))
        settings = {
            **how,
            "standardised_by": "all training features",
            "fitted_on": "train",
            "penalty_chosen_on": "val",
            "penalties": self.penalties,
            "max_iter": self._evaluations(features.classes, drawn.shape[1]),
            "tol": self.tol,
        }
        return self.classified(features, budget, predicted, settings, confidence, {"penalty": chosen})

    def heads(self, features: Features, drawn: Tensor) -> list[tuple[Tensor, Tensor, float]]:
        """Fit one model for each draw, on train; val chooses its penalty, and test is not looked at.

        Args:
            features: of the splits.
            drawn: [G, n] positions in the train split.

        Returns:
            For each draw a weight [d, C] and a bias [C], for features as they are, and the penalty.
        """
        train = features.train
        x, y = train.features[drawn], train.labels[drawn]  # [G, n, d], [G, n]
        # By all training features, not by the few drawn: their scale needs no label, and ten images tell it badly.
        mean, std = scale(train.features)
        x = (x - mean).div_(std)
        max_iter = self._evaluations(features.classes, y.shape[1])
        weight, bias = fit_logistic(x, y, features.classes, torch.tensor(self.penalties), max_iter, self.tol)
        # Standardisation folded into the model, so that the other splits are used as they are.
        weight = weight / std[:, None]
        bias = bias - mean @ weight
        best = [_choose(w, b, features.val) for w, b in zip(weight, bias, strict=True)]  # of a draw: [P, d, C], [P, C]
        return [(weight[i, p], bias[i, p], self.penalties[p]) for i, p in enumerate(best)]

    def _evaluations(self, classes: int, images: int) -> int:
        if classes <= MANY:
            return self.max_iter
        return min(self.max_iter, max(FEWEST, WORK // (images * classes)))  # not by the width of the features


def _choose(weight: Tensor, bias: Tensor, val: Split) -> int:
    """Return the index of the penalty with the best accuracy on val, and among equals the smallest loss."""
    if len(weight) == 1:
        return 0
    scores = [_score(w, b, val) for w, b in zip(weight, bias, strict=True)]
    return max(range(len(scores)), key=lambda i: (scores[i][0], -scores[i][1]))


def _score(weight: Tensor, bias: Tensor, split: Split) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy of a model [d, C], [C]."""
    logits = split.features @ weight + bias
    accuracy = (logits.argmax(1) == split.labels).double().mean().item()
    return accuracy, F.cross_entropy(logits, split.labels).item()
