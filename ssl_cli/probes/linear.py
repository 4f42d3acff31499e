"""Linear classification of frozen features, with all labels and with few."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.base import Features, Probe, Result, Split, check_budgets, check_penalties, fewer_draws
from ssl_cli.probes.heads import LinearHead
from ssl_cli.probes.solvers.logistic import MANY, fit_logistic
from ssl_cli.probes.solvers.rows import standardised

WORK = 200_000_000  # most inputs times classes in all evaluations for one penalty, with many classes
FEWEST = 12  # evaluations for a penalty, for any number of inputs and classes
PATH_WORK = 4_000_000_000  # most inputs times classes in all evaluations for all penalties, likewise


class Linear(Probe):
    """Multinomial logistic regression at several label budgets.

    All labelled training inputs give mean and deviation to standardise the features. Each draw of the labels fits one
    model per penalty on the drawn inputs. The validation split chooses the penalty: best accuracy, then smallest loss.
    That model is scored once on the test split. It is not fitted again on train and validation together.

    Args:
        labels: budgets: ``all``, ``10/class``, ``10%``.
        draws: random draws of each budget other than ``all``, with seeds 0, 1, ...; beyond 256 classes fewer (each draw
            has many inputs then), at least 2: classes times draws stay as with 256.
        penalties: candidates for the penalty lambda in mean cross-entropy + lambda/2 |W|^2, each > 0; beyond 256
            classes and with many inputs fewer, at least 2 from the middle.
        max_iter: most evaluations of the objective; beyond 256 classes and with many inputs fewer, at least 12.
        tol: a fit ends when no entry of the gradient is larger and steps gain nothing; see `fit_logistic`.

    Raises:
        UserError: a budget cannot be read, or a penalty is not positive.
    """

    name = "linear"
    features_alone = True

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
        """Score the test split at each budget; see `Probe.run`. A budget that cannot be fitted becomes a notice."""
        if len(self.penalties) > 1 and not len(features.val.labels):
            self.notices = ["linear probe: left out, because its penalty is chosen on val, which has no label"]
            return []
        self.notices = []
        count = fewer_draws(self.count, features.classes, MANY)
        if count < self.count and any(budget != "all" for budget in self.labels):
            self.notices = [
                f"linear probe: {count} draws, not {self.count}, because there are {features.classes} classes"
            ]
        return [self._fitted(features, *drawn) for drawn in self.draws(features, self.labels, count)]

    def _fitted(self, features: Features, budget: str, drawn: Tensor, how: dict) -> Result:
        test, fits = features.test, self.heads(features, drawn)
        penalties, max_iter = self._bounded(features.classes, drawn.shape[1])
        if len(penalties) < len(self.penalties):
            few = ", ".join(f"{penalty:g}" for penalty in penalties)
            self.notices.append(
                f"linear probe with {budget} labels: {len(penalties)} penalties ({few}), not {len(self.penalties)}, "
                f"because there are {features.classes} classes; probe=knn fits nothing"
            )
        heads = [LinearHead(weight, bias) for weight, bias, _ in fits]
        predictions = [head(test.features).softmax(1).max(1) for head in heads]
        chosen = [penalty for *_, penalty in fits]
        predicted, confidence = (torch.stack([p[part] for p in predictions]) for part in (1, 0))
        settings = {
            **how,
            "standardised_by": "all training features",
            "fitted_on": "train",
            "penalty_chosen_on": "val",
            "penalties": penalties,
            "max_iter": max_iter,
            "tol": self.tol,
        }
        result = self.classified(features, budget, predicted, settings, confidence, {"penalty": chosen})
        result.head = heads[0]
        return result

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
        # From all training features, not from the few drawn: the scale needs no label, and ten inputs are too few.
        mean, std = features.scale()
        x = standardised(x, mean, std)
        penalties, max_iter = self._bounded(features.classes, y.shape[1])
        weight, bias = fit_logistic(x, y, features.classes, torch.tensor(penalties), max_iter, self.tol)
        # The model contains the standardisation, so the features of the other splits need none.
        weight = weight / std[:, None]
        bias = bias - mean @ weight
        best = [_choose(w, b, features.val) for w, b in zip(weight, bias, strict=True)]  # of a draw: [P, d, C], [P, C]
        return [(weight[i, p], bias[i, p], penalties[p]) for i, p in enumerate(best)]

    def _bounded(self, classes: int, rows: int) -> tuple[list[float], int]:
        """Return the penalties and the evaluations for each; fewer with many classes, for any features."""
        if classes <= MANY:
            return self.penalties, self.max_iter
        size = rows * classes
        penalties = _from_the_middle(self.penalties, max(2, PATH_WORK // (FEWEST * size)))
        return penalties, min(self.max_iter, max(FEWEST, WORK // size))


def _from_the_middle(values: list[float], count: int) -> list[float]:
    """Return ``count`` of the values at equal distances, without the ends; all if there are no more."""
    if len(values) <= count:
        return values
    return [values[(i + 1) * (len(values) - 1) // (count + 1)] for i in range(count)]


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
