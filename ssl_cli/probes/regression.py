"""Numbers from frozen features: position, size, age. Ridge regression, beside predicting the mean."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_cli.data.budget import parse_budget
from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.probes.base import Features, Probe, Result, Split, check_penalties
from ssl_cli.probes.frozen.features import scale
from ssl_cli.probes.heads import RidgeHead, decode, encode
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.scores.metrics import distance, regression
from ssl_cli.probes.solvers.ridge import fit_ridge


class Regression(Probe):
    """Ridge regression of each target on standardised features, its penalty chosen on val by the squared error.

    A target with a period (an angle, an hour) is predicted as a point on the circle, by two regressions: of its cosine
    and of its sine. Errors are then the shorter way round; R2 compares their squares with those from the circular mean.

    Args:
        targets: names; None: all that the data has. ``label`` is the class if all class names are numbers.
        periods: of circular targets, in their units: ``["hue:360"]``.
        labels: budgets: ``all``, or ``10%`` of the training inputs (targets have no classes to count by).
        draws: random draws of each budget other than ``all``, with seeds 0, 1, ...
        penalties: candidates for lambda in mean squared error + lambda |w|^2, each > 0.

    Raises:
        UserError: a budget cannot be read or is of classes, a penalty or period is not positive.
    """

    name = "regression"
    needs = "targets"
    features_alone = True

    def __init__(
        self,
        targets: Sequence[str] | None = None,
        periods: Sequence[str] = (),
        labels: Sequence[str] = ("all",),
        draws: int = 10,
        penalties: Sequence[float] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
    ):
        for budget in labels:
            if parse_budget(budget)[0] not in ("all", "fraction"):
                raise UserError(f"probe.labels={budget}: a regression has no classes; write a share, 10%")
        names = targets if targets is None or isinstance(targets, (list, tuple)) else [targets]
        self.targets = None if names is None else [str(name) for name in names]
        self.periods = dict(_period(text) for text in periods)
        self.labels, self.count = [str(budget) for budget in labels], draws
        self.penalties = check_penalties("regression", penalties)

    def run(self, features: Features) -> list[Result]:
        """Score each target on the test split at each budget; see `Probe.run`."""
        known = list(features.train.targets)
        if not known:
            raise UserError(
                "there is no numeric target to predict; write dataset.targets=FILE.csv for numbers of images, use "
                "labels that are numbers, or write probe=linear for classes"
            )
        for name in [*(self.targets or []), *self.periods]:
            if name not in known:
                raise UserError(f"there is no target '{name}'{did_you_mean(name, known)} (one of {', '.join(known)})")
        results, self.notices = [], []
        for name in tracked(self.targets or known):
            splits = [_with_target(split, name) for split in (features.train, features.val, features.test)]
            sizes = [len(split.features) for split in splits]
            if sizes[0] < 2 or not sizes[2] or (len(self.penalties) > 1 and not sizes[1]):
                where = ", ".join(f"{n} in {s}" for n, s in zip(sizes, ("train", "val", "test"), strict=True))
                self.notices.append(
                    f"regression of {name}: left out, because too few {features.noun}s have it ({where})"
                )
                continue
            truth = splits[2].targets[name]
            if (truth == truth[0]).all():  # R2 compares with the spread of the test inputs
                self.notices.append(
                    f"regression of {name}: left out, because it is {truth[0]:g} in every test {features.noun}"
                )
                continue
            whole = Features(*splits, classes=1, budget=features.budget, label_seed=features.label_seed)
            whole.train.labels = torch.zeros_like(whole.train.labels)  # one stratum for all
            for drawn in self.draws(whole, self.labels, self.count):
                results.append(self._fitted(whole, features.test, name, *drawn))
        return results

    def _fitted(self, features: Features, test: Split, name: str, budget: str, draws: Tensor, how: dict) -> Result:
        period, train = self.periods.get(name), features.train
        y = train.targets[name].double()
        mean, std = scale(train.features.double())
        x = [(s.features - mean) / std for s in (train, features.val)]
        penalties = torch.tensor(self.penalties, dtype=torch.float64, device=y.device)
        predicted, baseline, chosen, heads = [], [], [], []
        for drawn in tracked(draws):
            weight, bias = fit_ridge(x[0][drawn], encode(y[drawn], period), penalties)
            guesses = [decode(x[1] @ w + b, period) for w, b in zip(weight, bias, strict=True)]
            errors = [distance(g, features.val.targets[name], period).square().mean().item() for g in guesses]
            best = min(range(len(errors)), key=errors.__getitem__) if len(errors) > 1 else 0
            heads.append(RidgeHead(mean, std, weight[best], bias[best], mean.new_tensor(period or 0.0)))
            predicted.append(heads[-1](features.test.features))
            baseline.append(
                decode(encode(y[drawn], period).mean(0, keepdim=True), period).expand(len(features.test.labels))
            )
            chosen.append(self.penalties[best])
        truth = features.test.targets[name].double()
        metrics = regression(torch.stack(predicted), truth, torch.stack(baseline), period)
        whole = torch.full((len(draws), len(test.labels)), float("nan"), dtype=torch.float64)
        whole[:, test.targets[name].isfinite().cpu()] = torch.stack(predicted).cpu()
        settings = {
            **how,
            "target_fingerprint": hashlib.sha256(truth.float().cpu().numpy().tobytes()).hexdigest()[:12],
            "standardised_by": "all training features",
            "fitted_on": "train",
            "penalty_chosen_on": "val",
            "penalties": self.penalties,
            **({"period": period} if period else {}),
        }
        result = Result(self.name, budget, metrics, settings, len(draws), {"penalty": chosen}, name, whole)
        result.head = heads[0]
        return result


def _period(text: str) -> tuple[str, float]:
    name, _, number = str(text).rpartition(":")
    try:
        if name and float(number) > 0:
            return name.strip(), float(number)
    except ValueError:
        pass
    raise UserError(f"probe.periods={text} is not a target and its period; write [hue:360]")


def _with_target(split: Split, name: str) -> Split:
    at = split.targets[name].isfinite()
    positions = None if split.positions is None else split.positions[at.cpu()]
    return Split(split.features[at], split.labels[at], positions, {name: split.targets[name][at]})
