"""Does the representation notice inputs of another kind? Distance to the training inputs, against a second data set."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.config.kinds import check_second
from ssl_cli.data.base import Data, split_fingerprint
from ssl_cli.data.dataset import load_fitting
from ssl_cli.errors import UserError
from ssl_cli.probes.base import Features, Probe, Result
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.scores.bootstrap import class_sums, resamples, summary
from ssl_cli.probes.scores.ties import Gallery, distinct, settled

CHUNK = 64 * 2**20  # similarities held at a time


def kth_distance(bank: Tensor, queries: Tensor, k: int) -> Tensor:
    """Return the Euclidean distance [m] of queries [m, d] to their k-th nearest in bank [n, d], all of unit length.

    The score of Sun et al. 2022 (arXiv:2204.06507): the larger, the stranger.
    """
    gallery, queries = Gallery(bank), F.normalize(queries, dim=1)
    chunks = queries.split(max(1, CHUNK // len(bank)))
    nearest = [gallery.cosines(chunk).topk(k, dim=1).values[:, -1] for chunk in tracked(chunks)]
    return (2 - 2 * torch.cat(nearest)).clamp(min=0).sqrt()


def strangeness(bank: Tensor, ours: Tensor, strange: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return `kth_distance` of ours [n, d] and of strangers [m, d]; equal inputs get the same."""
    both = settled(F.normalize(torch.cat([ours, strange]), dim=1))
    rows, place = distinct(both)
    if place is None:
        return kth_distance(bank, ours, k), kth_distance(bank, strange, k)
    found = kth_distance(bank, rows, k)[place]
    return found[: len(ours)], found[len(ours) :]


def missed_strangers(ours: Tensor, strange: Tensor, share: float = 0.95) -> float:
    """Return the share of strangers [m] that score no higher than that share of ours [n].

    If several of ours tie at the limit, only a part of the tie counts, so that the share holds; the same part of the
    strangers in the tie counts.
    """
    limit = ours.quantile(share)
    tied = int((ours == limit).sum())
    part = 1.0
    if tied > 1:
        part = min(1.0, max(0.0, (share * len(ours) - int((ours < limit).sum())) / tied))
    return ((strange < limit).double() + part * (strange == limit)).mean().item()


def auroc(inside: Tensor, outside: Tensor, weights_in: Tensor, weights_out: Tensor) -> Tensor:
    """Return the probability that a stranger scores higher than one of ours, ties half, in each replicate: [B].

    The area under the ROC curve as Mann-Whitney's U; weights as `resamples` gives them, [n, B] and [m, B].
    """
    values, place = torch.cat([inside, outside]).unique(return_inverse=True)
    ours = class_sums(place[: len(inside)], weights_in, len(values))
    strange = class_sums(place[len(inside) :], weights_out, len(values))
    below = ours.cumsum(0) - ours / 2
    return (strange * below).sum(0) / (ours.sum(0) * strange.sum(0))


class OOD(Probe):
    """AUROC of telling test inputs from inputs of a second data set by feature distance; it uses no labels.

    Args:
        against: settings of the second data set (``dataset@probe.against=NAME``); its test split, or all inputs if it
            has none.
        k: the k-th nearest training input counts; at most the number of training inputs.
        images: most inputs of each data set, evenly spaced.
    """

    name = "ood"
    needs = "images"

    def __init__(self, against: Mapping[str, Any], k: int = 50, images: int = 5000):
        self.against, self.k, self.images = dict(against), k, images
        self._strangers: Data | None = None

    def run(self, features: Features) -> list[Result]:
        """Score both data sets by their distance to train; see `Probe.run`. The headline is ``auroc``."""
        source = features.source
        if source is None:
            raise UserError("the ood probe needs a model to show the second data set to")
        other = self._strangers = self._strangers or self._load(source)
        at = other.splits["test"] if len(other.splits["test"]) else other.splits["train"]
        at = at[:: -(-len(at) // self.images)]
        test = features.test.features
        test = test[:: -(-len(test) // self.images)]
        bank = features.train.features
        k = min(self.k, len(bank))
        self.notices = (
            [] if k == self.k else [f"ood probe: k={self.k} reduced to {k}, the number of training {features.noun}s"]
        )
        strangers = source.of(other.inputs, at).to(bank)
        ours, strange = (part.cpu() for part in strangeness(bank, test, strangers, k))
        areas = auroc(ours, strange, resamples(len(ours)), resamples(len(strange), seed=1))
        missed = missed_strangers(ours, strange)
        if other.name == features.dataset:
            self.notices.append(
                f"ood probe: both data sets are {other.name}, so there is hardly a stranger among them; write "
                "dataset@probe.against=NAME for another"
            )
        metrics = {"auroc": summary(areas[None]), "fpr_at_95_tpr": {"mean": missed, "std": None, "ci": None}}
        settings = {
            "against": other.name,
            "against_splits": split_fingerprint(other),
            "against_images": len(at),
            "score": "distance to the k-th nearest training image, features of unit length",
            "k": k,
            "train_images": len(bank),
        }
        return [Result(self.name, "none", metrics, settings, target=other.name)]

    def _load(self, source: FrozenModel) -> Data:
        """Return the second data set, stored and shown to the network like the first."""
        check_second({"probe": {"against": self.against}}, source.info.kind)
        return load_fitting(self.against, source.info)[0]
