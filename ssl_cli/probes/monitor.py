"""The quick looks during training: kNN accuracy on val, and whether the embedding collapses."""

import math
from typing import Any

import torch
from torch import Tensor

from ssl_cli.augment.augment import Augment
from ssl_cli.batch import Batch
from ssl_cli.data.images import ImageData
from ssl_cli.data.info import DataInfo
from ssl_cli.methods.base import Method
from ssl_cli.pretext.base import Pretext
from ssl_cli.probes import diagnostics
from ssl_cli.probes.features import evaluating, extract, features_of
from ssl_cli.probes.knn import knn_predict, shrunk_k

BANK = 10_000  # at most so many train images, evenly spaced: it is a trend that is wanted, often
GUESSED = 4096  # images whose guessed label is compared to the hidden one
SHOWN = 8  # images in a picture
WATCHED = 1024  # images that are looked at for collapse


def monitor_knn(
    method: Method, data: ImageData, labelled: Tensor, info: DataInfo, device: torch.device
) -> float | None:
    """Return the accuracy in [0, 1] of val images by their nearest labelled train images, or None without labels."""
    val = data.splits["val"]
    val = val[data.labels[val] >= 0]
    if len(labelled) == 0 or len(val) == 0:
        return None
    bank = labelled[:: max(1, -(-len(labelled) // BANK))]
    queries, keys = (extract(method.measured, data.images, at, info.mean, info.std, device) for at in (val, bank))
    classes = len(info.classes)
    k = shrunk_k(200, len(bank), classes)
    predicted = knn_predict(keys, data.labels[bank], queries, k, temperature=0.07, classes=classes)
    return (predicted == data.labels[val]).float().mean().item()


def monitor_collapse(
    method: Method, data: ImageData, augment: Augment, info: DataInfo, device: torch.device
) -> dict[str, Any]:
    """Return deviation, effective rank, alignment and uniformity of features and embedding on images of val.

    Without a val split (no labels) train images are looked at. The two views of alignment come from the run's recipe,
    with the same draws at every call.

    Returns:
        ``feature_*`` of the backbone's features and, where the method has an embedding, ``embedding_*`` of it and
        ``collapsed``, judged by the embedding.
    """
    at = data.splits["val"] if len(data.splits["val"]) else data.splits["train"]
    at = at[:: max(1, -(-len(at) // WATCHED))]
    features = extract(method.measured, data.images, at, info.mean, info.std, device)
    views = augment(data.images[at].to(device), info.mean, info.std, torch.Generator().manual_seed(0), views=2)
    pair = [features_of(method.measured, [view]) for view in views]
    spaces = {"feature": (features, *pair)}
    embedded = [_embed(method, z, device) for z in spaces["feature"]]
    if embedded[0] is not None:
        spaces["embedding"] = tuple(embedded)
    report: dict[str, Any] = {}
    for name, (z, z1, z2) in spaces.items():
        report[f"{name}_std"], report[f"{name}_rank"] = diagnostics.feature_std(z), diagnostics.rankme(z)
        report[f"{name}_alignment"] = diagnostics.alignment(z1, z2)
        report[f"{name}_uniformity"] = diagnostics.uniformity(z)
    if "embedding" in spaces:
        report["collapsed"] = diagnostics.collapsed(report["embedding_std"], report["embedding_rank"])
    return report


def monitor_pseudo_labels(
    method: Method, data: ImageData, labelled: Tensor, info: DataInfo, device: torch.device
) -> dict[str, float]:
    """Return what a method guesses of train images whose label it may not see, as shares in [0, 1].

    The images are unchanged and the networks in evaluation mode. Only here are the hidden labels looked at, where the
    data set has them: the method never gets them.

    Returns:
        Empty where nothing is guessed; else ``pseudo_passed``, the share that would be learned from;
        ``pseudo_entropy`` of the guesses, 1 if all classes are equally frequent, 0 if one is all; and where labels are
        known and anything passed, ``pseudo_right``, the share of the passed guesses that are right.
    """
    train = data.splits["train"]
    hidden = train[~torch.isin(train, labelled)]
    hidden = hidden[:: max(1, -(-len(hidden) // GUESSED))]
    if not len(hidden):
        return {}
    features = extract(method.measured, data.images, hidden, info.mean, info.std, device)
    with evaluating(method), torch.inference_mode():
        guessed = method.pseudo_labels(features.to(device))
    if guessed is None:
        return {}
    classes, passed = (tensor.cpu() for tensor in guessed)
    share = torch.bincount(classes, minlength=len(info.classes)).double() / len(classes)
    entropy = torch.special.entr(share).sum().item() / math.log(max(2, len(info.classes)))
    report = {"pseudo_passed": passed.float().mean().item(), "pseudo_entropy": entropy}
    known = passed & (data.labels[hidden] >= 0)
    if known.any():
        report["pseudo_right"] = (classes == data.labels[hidden])[known].float().mean().item()
    return report


def monitor_pictures(method: Method, data: ImageData, pretext: Pretext, device: torch.device) -> dict[str, Tensor]:
    """Return what the method has to show (`Method.pictures`) of a few images of val, the same at every call."""
    at = data.splits["val"] if len(data.splits["val"]) else data.splits["train"]
    at = at[:: max(1, -(-len(at) // SHOWN))]
    batch = Batch(data.images[at].to(device), torch.full_like(at, -1, device=device), at.to(device))
    task = pretext(batch, torch.Generator().manual_seed(0))
    with evaluating(method), torch.no_grad():
        return {name: images.float().cpu() for name, images in method.pictures(task).items()}


@torch.inference_mode()
def _embed(method: Method, features: Tensor, device: torch.device) -> Tensor | None:
    with evaluating(method):
        embedding = method.embed(features.to(device))
    return None if embedding is None else embedding.float().cpu()
