"""What every probe is: features of a frozen backbone to rows of results."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ssl_cli.data.budget import OF_GROUPS, parse_budget
from ssl_cli.data.labels import draw, fingerprint
from ssl_cli.errors import UserError
from ssl_cli.probes.frozen.features import scale
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.probes.heads import LinearHead, RidgeHead
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.scores.metrics import classification
from ssl_cli.probes.scores.ties import Guess


@dataclass
class Split:
    """The inputs of one split that a probe may use, as a frozen backbone sees them."""

    features: Tensor  # [n, d] float32
    labels: Tensor  # [n] int64 in 0..C-1; -1 only where a probe does not need labels
    positions: Tensor | None = None  # [n] int64, in the data set
    targets: dict[str, Tensor] = field(default_factory=dict)  # name -> [n] floats, NaN if not known


@dataclass
class Features:
    """The three splits: ``train`` fits, ``val`` chooses, ``test`` is scored once."""

    train: Split  # the inputs that the probe needs, see `Probe.needs`
    val: Split
    test: Split
    classes: int  # C
    budget: str = "all"  # which labels ``train`` has: the budget of the run
    label_seed: int | None = None  # drew the labels; None: the budget is ``all``
    source: FrozenModel | None = None  # what the features are of, for probes that look at the inputs again
    dataset: str = ""  # name of the data set
    noun: str = "image"  # what one of its inputs is called
    # For probes that need "mixed" inputs, without features:
    labelled: Split | None = None  # the train inputs whose label may be used
    rest: Tensor = field(default_factory=lambda: torch.arange(0))  # [r] positions of the other train inputs

    def scale(self) -> tuple[Tensor, Tensor]:
        """Return mean and deviation [d] that the train features are standardised by, see `features.scale`."""
        mean, std = scale(self.train.features)
        if getattr(getattr(self.source, "network", None), "one_scale", False):
            std = std.square().mean().sqrt().expand_as(std)
        return mean, std


@dataclass
class Spread:
    """Labels that a probe gives to the train inputs, for each draw of the known labels."""

    labelled: Tensor  # [G, m] positions of the inputs that had a label
    labels: Tensor  # [G, m] int64, their labels
    # Called only when needed, because it can take long. It returns the positions [n] of all train inputs, their labels
    # [G, n] and confidences [G, n] in [0, 1]. Inputs that had a label keep it, with a confidence of 1.
    to_all: Callable[[], tuple[Tensor, Tensor, Tensor]]


@dataclass
class Result:
    """What a probe found at one label budget. ``metrics`` begins with the headline; see `Probe.run`."""

    probe: str
    labels: str  # the budget
    metrics: dict[str, dict]  # name -> {"mean", "std", "ci"}
    settings: dict[str, Any]  # the protocol: what is equal for all models
    n: int = 1  # draws of the labels
    chosen: dict[str, Any] = field(default_factory=dict)  # what the fit chose for this model, one value a draw
    target: str | None = None  # of a regression
    predicted: Tensor | None = None  # [n draws, test inputs]: class or value
    head: LinearHead | RidgeHead | None = None  # of the first draw, answers for other inputs; None: there is none
    spread: Spread | None = None  # only from a probe that labels train inputs

    @property
    def row(self) -> dict[str, Any]:
        """The row of ``summary.json`` and ``result.json``, without ``model`` and ``protocol``."""
        headline, scores = next(iter(self.metrics.items()))
        return {
            "probe": self.probe,
            "labels": self.labels,
            "split": "test",
            "target": self.target,
            "metric": headline,
            "mean": scores["mean"],
            "std": scores["std"],
            "n": self.n,
            "ci": scores["ci"],
            "metrics": self.metrics,
            "settings": self.settings,
            "chosen": self.chosen,
        }


class Probe(ABC):
    """A downstream task on frozen features."""

    name: str
    # What an input must have to be used. "labels": a label that may be used; "targets": a numeric target, for training
    # under the run's budget; "images": nothing in train, where no label is looked at, and a label in test; "mixed":
    # likewise, but labels that may be used are there, and are -1 for all other train inputs.
    needs: ClassVar[Literal["labels", "targets", "images", "mixed"]] = "labels"
    # Whether the results follow from features, labels and targets, without a look at the inputs (`Features.source`):
    # those of the baselines are then kept between commands.
    features_alone: ClassVar[bool] = False
    slow: ClassVar[bool] = False  # runs the network many times: the log names each model before its turn
    notices: Sequence[str] = ()  # one line for each thing that the last run left out

    @abstractmethod
    def run(self, features: Features) -> list[Result]:
        """Fit on train, choose on val, score test once.

        Returns:
            One result per label budget (and target). Its row, once ``model`` and ``protocol`` are added, is what is
            stored::

                {"model": "pixels" | "random" | "before" | NAME, "probe": "linear", "labels": "10/class",
                 "split": "test", "target": None | "x", "metric": "accuracy", "mean": 0.96, "std": 0.009, "n": 10,
                 "ci": [0.94, 0.97],
                 "metrics": {"accuracy": {"mean", "std", "ci"}, "balanced_accuracy": ..., "macro_f1": ..., "ece": ...},
                 "settings": {...}, "chosen": {"penalty": [...]}, "protocol": "12 hex digits",
                 "without_copies": None | {"images": 352, "left_out": 8, "mean": 0.95, "std": 0.01, "ci": [0.93, 0.96]}}

            ``mean`` and ``std`` (sample standard deviation; None when ``n`` is 1) of the headline ``metric`` are over
            ``n`` draws of the labels; an accuracy is a fraction in [0, 1]. ``ci`` is a 95% bootstrap interval of the
            mean over test inputs. ``settings`` holds the protocol, equal for all models; ``chosen`` the values that the
            fit chose for this model. ``protocol`` is their digest (see `ssl_cli.probes.scores.protocol`): rows with
            different ones never share a column. ``without_copies`` is the headline without test inputs that
            equal an input of train (a mean of None: too few are left); None if there are none.
        """

    def wanted(self, features: Features) -> Tensor:
        """Return the positions [m] of the train inputs that a probe of "mixed" ones needs features of.

        ``features`` has no features yet, and all inputs in ``train``.
        """
        return features.train.positions

    def classified(
        self,
        features: Features,
        labels: str,
        predicted: Tensor,
        settings: dict[str, Any],
        confidence: Tensor | None = None,
        chosen: dict[str, Any] | None = None,
    ) -> Result:
        """Return the result of predicted classes [draws, n] of the test inputs; see `metrics.classification`."""
        metrics = classification(predicted, features.test.labels, features.classes, confidence)
        return Result(self.name, labels, metrics, settings, len(predicted), chosen or {}, predicted=predicted)

    def guessed(
        self,
        features: Features,
        labels: str,
        guesses: Sequence[Guess],
        settings: dict[str, Any],
        chosen: dict[str, Any] | None = None,
    ) -> Result:
        """Return the result of one guess a draw, as `classified` does; classes that share a score count by chance."""
        guesses = [guess.cpu() for guess in guesses]
        predicted, confidence = (
            torch.stack([getattr(g, name) for g in guesses]) for name in ("predicted", "confidence")
        )
        metrics = classification(predicted, features.test.labels, features.classes, confidence, guesses)
        return Result(self.name, labels, metrics, settings, len(predicted), chosen or {}, predicted=predicted)

    def draws(self, features: Features, budgets: Sequence[str], count: int) -> Iterator[tuple[str, Tensor, dict]]:
        """Yield for each label budget its name, ``count`` seeded draws, and how they were made.

        One seed orders the inputs of each class and every budget takes the first, so smaller draws are inside larger.
        ``all`` is one draw, named by the run's own budget; a budget of that name is not drawn again. What the labels
        cannot fill becomes a notice.

        Yields:
            name; positions [draws, n] into the train split, of mixed inputs into ``features.labelled``;
            ``{"train_images", "label_seeds", "label_fingerprint"}``, the latter two where labels were drawn: with the
            seeds they tell which inputs had a label.
        """
        train = features.labelled or features.train
        at = train.positions if train.positions is not None else torch.arange(len(train.labels))
        for budget in tracked(budgets):
            if budget == "all":
                drawn, name = torch.arange(len(train.labels))[None], features.budget
                seeds = [] if name == "all" else [features.label_seed]
            elif budget == features.budget:
                continue
            else:
                name, seeds = budget, list(range(count))
                try:
                    drawn = torch.stack([draw(train.labels.cpu(), budget, seed) for seed in seeds])
                except UserError:
                    self.notices = [*self.notices, f"{self.name} probe with {budget} labels: left out, {TOO_FEW}"]
                    continue
            how: dict[str, Any] = {"train_images": drawn.shape[1]}
            if seeds:
                how |= {"label_seeds": seeds, "label_fingerprint": fingerprint(at.cpu()[drawn])}
            if name not in ("all", features.budget) and features.budget != "all":
                how["drawn_from"] = features.budget
            yield name, drawn.to(train.labels.device), how


TOO_FEW = "for a class has fewer"


def fewer_draws(count: int, classes: int, many: int) -> int:
    """Return how many draws of a budget are enough: with more than ``many`` classes each has many inputs."""
    return count if classes <= many else min(count, max(2, many * count // classes))


def check_budgets(labels: Sequence[str]) -> list[str]:
    """Return the budgets as a list; raise ``UserError`` for one that cannot be read."""
    for budget in labels:
        if parse_budget(budget)[0] in OF_GROUPS:
            raise UserError(
                f"probe.labels={budget}: a probe draws inputs one by one; write 10% or 4/class, or for groups "
                f"dataset.labels={budget}"
            )
    return [str(budget) for budget in labels]


def check_penalties(probe: str, penalties: Sequence[float]) -> list[float]:
    """Return the candidates in order; raise ``UserError`` if there is none, or one is not positive."""
    if not penalties or not all(isinstance(penalty, (int, float)) and penalty > 0 for penalty in penalties):
        raise UserError(
            f"the penalties of the {probe} probe are {list(penalties)}; write positive numbers: [0.01, 0.1]"
        )
    return sorted(penalties)


def check_counts(key: str, counts: Sequence[int] | int) -> list[int]:
    """Return a number, or several, in order; raise ``UserError`` if there is none, or one is not 1, 2, ..."""
    several = [counts] if isinstance(counts, int) else list(counts)
    if not several or not all(type(count) is int and count >= 1 for count in several):
        raise UserError(f"probe.{key}={several}: write whole numbers from 1: [1,5]")
    return sorted(set(several))
