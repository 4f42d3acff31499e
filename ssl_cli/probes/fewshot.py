"""Few-shot classification: many small tasks of a few classes with a few examples each, solved by the nearest mean."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.probes.base import Features, Probe, Result, check_counts
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.scores.ties import distinct, settled

CHUNK = 50  # episodes at a time
CLASSES = ("auto", "unseen", "all")


def nearest_mean(support: Tensor, queries: Tensor, exact: bool = False) -> Tensor:
    """Return the chance of each class for each query: 1 for the nearest mean, equal parts if several are nearest.

    Args:
        support: [E, ways, shots, d].
        queries: [E, m, d].
        exact: whether equal means get equal distances; slower.

    Returns:
        [E, m, ways] float64.
    """
    mode = "donot_use_mm_for_euclid_dist" if exact else "use_mm_for_euclid_dist_if_necessary"
    distances = torch.cdist(queries, support.mean(2), compute_mode=mode)
    nearest = (distances == distances.amin(2, keepdim=True)).double()
    return nearest / nearest.sum(2, keepdim=True)


def unseen_classes(train: Tensor, test: Tensor) -> Tensor | None:
    """Return the classes of the test labels [n] that no train label [m] has, sorted.

    None if a train input has no label (-1): it may show any class.
    """
    if (train < 0).any():
        return None
    present = test[test >= 0].unique()
    return present[~torch.isin(present, train)]


class FewShot(Probe):
    """n-way k-shot episodes from the test split, classified by the nearest class mean.

    Features are centred by the train split's mean and scaled to unit length (CL2N of SimpleShot, Wang et al. 2019,
    arXiv:1911.04623). An episode draws ``ways`` classes, ``shots`` examples of each to learn from and ``queries``
    others of each to classify (Vinyals et al. 2016, arXiv:1606.04080). The interval is of the mean over episodes:
    mean +- 1.96 std / sqrt(episodes), as the field reports it.

    Args:
        ways: classes of an episode.
        shots: examples per class to learn from; one row for each number.
        queries: examples per class to classify.
        episodes: number of them.
        seed: of the draws, the same for every model.
        classes: the classes to draw from. ``unseen``: those without an input in train, as in the field's benchmarks
            (Vinyals et al. 2016: classes of the test episodes are new); ``all`` of the test split; ``auto``: ``unseen``
            if there are two and every train input has a label, else ``all``.

    Raises:
        UserError: a number of shots is not a positive whole number; ``classes`` is not one of these words; on ``run``,
            there are not two unseen classes to draw.
    """

    name = "fewshot"
    needs = "images"
    features_alone = True

    def __init__(
        self,
        ways: int = 5,
        shots: Sequence[int] = (1, 5),
        queries: int = 15,
        episodes: int = 600,
        seed: int = 0,
        classes: str = "auto",
    ):
        if classes not in CLASSES:
            near = did_you_mean(str(classes), CLASSES)
            raise UserError(f"probe.classes={classes} is not one of {', '.join(CLASSES)}{near}")
        self.shots, self.classes = check_counts("shots", shots), classes
        self.ways, self.queries, self.episodes, self.seed = ways, queries, episodes, seed

    def run(self, features: Features) -> list[Result]:
        """Play the episodes; see `Probe.run`. ``labels`` is the number of shots, ``n`` the number of episodes."""
        results, self.notices = [], []
        test = settled(features.test.features)
        x = F.normalize(test - features.train.features.mean(0), dim=1)
        alike = distinct(x)[1] is not None
        drawn_from = self._drawn_from(features)
        classes = drawn_from or range(features.classes)
        members = [torch.nonzero(features.test.labels == c).flatten().cpu().numpy() for c in classes]
        for shots in tracked(self.shots):
            large = [m for m in members if len(m) > shots]
            ways = min(self.ways, len(large))
            if ways < 2:
                self.notices.append(
                    f"fewshot probe with {shots} shots: left out, because no two classes have more {features.noun}s"
                )
                continue
            queries = min(self.queries, min(len(m) for m in large) - shots)
            if (ways, queries) != (self.ways, self.queries):
                self.notices.append(
                    f"fewshot probe with {shots} shots: {ways} ways and {queries} queries, the test split has no more"
                )
            random = np.random.default_rng(self.seed)
            drawn = np.stack(
                [
                    [
                        random.choice(large[c], shots + queries, replace=False)
                        for c in random.permutation(len(large))[:ways]
                    ]
                    for _ in range(self.episodes)
                ]
            )  # [E, ways, shots + queries]
            truth = torch.arange(ways).repeat_interleave(queries).to(x.device)
            shares = []
            for episode in tracked(torch.from_numpy(drawn).to(x.device).split(CHUNK)):
                chances = nearest_mean(x[episode[:, :, :shots]], x[episode[:, :, shots:].flatten(1)], alike)
                shares.append(chances[:, torch.arange(len(truth)), truth].mean(1))
            accuracy = torch.cat(shares).cpu()
            mean, std = accuracy.mean().item(), accuracy.std().item() if self.episodes > 1 else None
            half = 1.96 * (std or 0) / self.episodes**0.5
            metrics = {"accuracy": {"mean": mean, "std": std, "ci": [mean - half, mean + half]}}
            settings = {
                "ways": ways,
                "shots": shots,
                "queries": queries,
                "episodes": self.episodes,
                "seed": self.seed,
                "classifier": "nearest class mean, features centred and of unit length",
                "interval": "of the mean over episodes",
            }
            if drawn_from:
                settings["classes"] = f"{len(drawn_from)} of which train has no {features.noun}"
            results.append(Result(self.name, f"{shots}/class", metrics, settings, self.episodes))
        return results

    def _drawn_from(self, features: Features) -> list[int]:
        """Return the unseen classes if the episodes draw from those, else nothing."""
        unseen = None if self.classes == "all" else unseen_classes(features.train.labels, features.test.labels)
        if unseen is not None and len(unseen) > 1:
            return unseen.tolist()
        if self.classes == "unseen":
            hidden = int((features.train.labels < 0).sum())
            why = (
                f"{hidden} train {features.noun}s have no label, and may show any class"
                if hidden
                else "train has all but one"
            )
            raise UserError(f"probe.classes=unseen: no two classes of test are new ({why}); write probe.classes=all")
        return []
