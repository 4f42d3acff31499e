"""Do the classes show without a label? k-means on the features, compared with the classes afterwards."""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.probes.base import Features, Probe, Result
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.scores.bootstrap import resamples, summary
from ssl_cli.probes.scores.metrics import confusion
from ssl_cli.probes.scores.ties import distinct, settled
from ssl_cli.probes.solvers.logistic import MANY

WORK = 500_000_000  # most distances of inputs to centres in a run of k-means with many classes
FEWEST = 5  # iterations of a run, for any number of inputs and classes


def matched(clusters: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Rename clusters [n] as the classes that they fit best, one to one (Kuhn 1955, the Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    table = confusion(clusters[None], truth, classes)  # class, cluster
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    names = torch.empty(classes, dtype=torch.int64)
    names[torch.from_numpy(columns)] = torch.from_numpy(rows)
    return names[clusters]


class Cluster(Probe):
    """k-means with one cluster a class, fitted on the train split without labels, scored on test.

    Accuracy is after the best one-to-one matching of clusters to classes on test, as in Van Gansbeke et al. 2020
    (arXiv:2005.12320); NMI (arithmetic mean) and ARI are scikit-learn's. ``mean`` and ``std`` are over k-means' seeds.
    If features have fewer values than there are classes, each value gets a cluster: if all features are equal, the
    accuracy is the share of the largest class.

    Args:
        seeds: runs of k-means, with seeds 0, 1, ...; beyond 256 classes two at most.
        restarts: initialisations (k-means++) of each run; the tightest counts. Beyond 256 classes each run starts once,
            from inputs drawn at random, because k-means++ takes longer than the run itself. With many inputs and
            classes it stops early, after 5 iterations at least.
        normalise: scale features to unit length first.
    """

    name = "cluster"
    needs = "images"
    features_alone = True

    def __init__(self, seeds: int = 5, restarts: int = 3, normalise: bool = True):
        self.seeds, self.restarts, self.normalise = seeds, restarts, normalise

    def run(self, features: Features) -> list[Result]:
        """Cluster train, score test; see `Probe.run`. The headline is ``cluster_accuracy``."""
        from sklearn.cluster import KMeans
        from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

        self.notices = []
        train, test = (s.features.cpu() for s in (features.train, features.test))
        truth, classes = features.test.labels.cpu(), features.classes
        if classes < 2 or len(train) < classes:
            self.notices = ["cluster probe: left out, because it needs two classes and as many train inputs as classes"]
            return []
        if self.normalise:
            train, test = F.normalize(train, dim=1), F.normalize(test, dim=1)
        train = settled(train)
        clusters = min(classes, len(distinct(train)[0]))
        if clusters < classes:
            self.notices = [f"cluster probe: {clusters} of {classes} clusters, because features have no more values"]
        seeds, start = self.seeds, {"n_init": self.restarts}
        if classes > MANY:
            seeds = min(seeds, 2)
            start = {"n_init": 1, "init": "random", "max_iter": min(300, max(FEWEST, WORK // (len(train) * classes)))}
            self.notices.append(
                f"cluster probe: {seeds} run{'s' * (seeds > 1)} from {features.noun}s at random, "
                f"of {start['max_iter']} iterations at most, because there are {classes} classes"
            )
        predicted, nmi, ari = [], [], []
        for seed in tracked(range(seeds)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about clusters that coincide; the scores show them
                kmeans = KMeans(clusters, random_state=seed, **start).fit(train.numpy())
            found = kmeans.predict(test.numpy())
            nmi.append(normalized_mutual_info_score(truth, found))
            ari.append(adjusted_rand_score(truth, found))
            predicted.append(matched(torch.from_numpy(found.astype(np.int64)), truth, classes))
        right = (torch.stack(predicted) == truth).double()
        metrics = {"cluster_accuracy": summary(right @ resamples(len(truth)).double() / len(truth))}
        for name, values in (("nmi", nmi), ("ari", ari)):
            # No interval: inputs drawn twice would make clusters look more like classes than they are.
            std = float(np.std(values, ddof=1)) if len(values) > 1 else None
            metrics[name] = {"mean": float(np.mean(values)), "std": std, "ci": None}
        settings = {
            "clusters": classes,
            "fitted_on": "train, without labels",
            "train_images": len(train),
            "normalised": self.normalise,
            "restarts": start["n_init"],
            "kmeans_seeds": list(range(seeds)),
        }
        settings |= {key: start[key] for key in ("init", "max_iter") if key in start}
        return [Result(self.name, "none", metrics, settings, seeds, predicted=torch.stack(predicted))]
