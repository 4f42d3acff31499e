"""The evaluation between epochs: numbers go to the metrics, pictures to ``plots/``, and a collapse is said."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import evaluating
from ssl_cli.batch import Batch
from ssl_cli.methods.base import Method
from ssl_cli.probes.frozen.features import extract, features_of
from ssl_cli.probes.knn import knn_vote, shrunk_k
from ssl_cli.probes.scores import diagnostics
from ssl_cli.runs.directory import RunDir
from ssl_cli.setup.prepare import Experiment
from ssl_cli.training.metrics import Metrics
from ssl_cli.training.pictures import save_grid
from ssl_cli.training.state import TrainingState

BANK = 10_000  # at most so many train inputs, evenly spaced: it is a trend that is wanted, often
GUESSED = 4096  # inputs whose guessed label is compared to the hidden one
SHOWN = 8  # inputs in a picture
WATCHED = 1024  # inputs that are looked at for collapse
COLLAPSE = (
    "the embedding has collapsed at step {step} (deviation {embedding_std:.2f}, healthy about 1; effective "
    "rank {embedding_rank:.1f}): different {noun}s look alike to the method, and the representation will be poor"
)
SAME = (
    "both views of each {noun} are one and the same, for the recipe changes nothing and the network has no dropout: "
    "comparing them teaches nothing, and the embedding can collapse; write another augment, or a backbone.dropout"
)


def evaluate(
    e: Experiment, run: RunDir, state: TrainingState, metrics: Metrics, finished: bool
) -> tuple[float | None, str | None]:
    """Look at the method as it is, on inputs of val.

    Args:
        e: the experiment.
        run: where pictures go.
        state: of the training; is told of a collapse.
        metrics: where the row and the pictures go.
        finished: whether this is the end of training.

    Returns:
        The kNN accuracy in [0, 1] (None without labels), and a warning, if there is one.
    """
    knn, report = monitor_knn(e), monitor_collapse(e) | monitor_pseudo_labels(e)
    metrics.write({"step": state.step, "epoch": round(state.step / e.steps_per_epoch, 4), "val_knn": knn, **report})
    for name, images in monitor_pictures(e).items():
        metrics.picture(state.step, f"plots/{name}", save_grid(run.path / "plots" / f"{name}.png", images))
    was_collapsed, state.collapsed = state.collapsed, report.get("collapsed", False)
    warning = None
    if report.get("same_views"):
        warning = SAME.format(noun=e.data.noun)
    elif state.collapsed and (was_collapsed or finished):  # once can be the first steps of a healthy run
        warning = COLLAPSE.format(step=state.step, noun=e.data.noun, **report)
    if warning is None or state.warned:
        return knn, None
    state.warned = True
    return knn, warning


def monitor_knn(e: Experiment) -> float | None:
    """Return the accuracy in [0, 1] of val inputs by their nearest labelled train inputs, or None without labels."""
    val = e.data.splits["val"]
    val = val[e.data.labels[val] >= 0]
    if len(e.labelled) == 0 or len(val) == 0:
        return None
    bank = e.labelled[:: max(1, -(-len(e.labelled) // BANK))]
    queries, keys = (extract(e.method.measured, e.data.inputs, at, e.info, e.device) for at in (val, bank))
    classes = len(e.info.classes)
    k = shrunk_k(200, len(bank), classes)
    guess = knn_vote(keys, e.data.labels[bank], queries, k, temperature=0.07, classes=classes)
    return guess.right(e.data.labels[val]).float().mean().item()


def monitor_collapse(e: Experiment) -> dict[str, Any]:
    """Return deviation, effective rank, alignment and uniformity of features and embedding on inputs of val.

    Without a val split (no labels) train inputs are looked at. The two views of alignment come from the run's recipe,
    with the same draws at every call.

    Returns:
        ``feature_*`` of the backbone's features and, where the method has an embedding, ``embedding_*`` of it and
        ``collapsed``, judged by the embedding; ``same_views`` where both views of an input always are the same.
    """
    at = e.data.splits["val"] if len(e.data.splits["val"]) else e.data.splits["train"]
    at = at[:: max(1, -(-len(at) // WATCHED))]
    features = extract(e.method.measured, e.data.inputs, at, e.info, e.device)
    stored = e.data.cut_from[at].to(e.device)
    views = e.info.views(e.pretext.augment, stored, torch.Generator().manual_seed(0), count=2)
    pair = [features_of(e.method.measured, [view]) for view in views]
    spaces = {"feature": (features, *pair)}
    embedded = [_embed(e.method, z, e.device) for z in spaces["feature"]]
    if embedded[0] is not None:
        spaces["embedding"] = tuple(embedded)
    report: dict[str, Any] = {}
    for name, (z, z1, z2) in spaces.items():
        report[f"{name}_std"], report[f"{name}_rank"] = diagnostics.feature_std(z), diagnostics.rankme(z)
        report[f"{name}_alignment"] = diagnostics.alignment(z1, z2)
        report[f"{name}_uniformity"] = diagnostics.uniformity(z)
    if "embedding" in spaces:
        if torch.equal(*views) and getattr(e.pretext, "augment2", None) is None and not drops(e.method.backbone):
            report["same_views"] = True
        report["collapsed"] = diagnostics.collapsed(report["embedding_std"], report["embedding_rank"])
    return report


def drops(network: nn.Module) -> bool:
    """Return whether two passes over one input differ in training, by dropout."""
    return any(isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0 for part in network.modules())


def monitor_pseudo_labels(e: Experiment) -> dict[str, float]:
    """Return what a method guesses of train inputs whose label it may not see, as shares in [0, 1].

    The inputs are unchanged and the networks in evaluation mode. Only here are the hidden labels looked at, where the
    data set has them: the method never gets them.

    Returns:
        Empty where nothing is guessed; else ``pseudo_passed``, the share that would be learned from;
        ``pseudo_entropy`` of the guesses, 1 if all classes are equally frequent, 0 if one is all; and where labels are
        known and anything passed, ``pseudo_right``, the share of the passed guesses that are right.
    """
    train = e.data.splits["train"]
    hidden = train[~torch.isin(train, e.labelled)]
    hidden = hidden[:: max(1, -(-len(hidden) // GUESSED))]
    if not len(hidden):
        return {}
    features = extract(e.method.measured, e.data.inputs, hidden, e.info, e.device)
    with evaluating(e.method), torch.inference_mode():
        guessed = e.method.pseudo_labels(features.to(e.device))
    if guessed is None:
        return {}
    classes, passed = (tensor.cpu() for tensor in guessed)
    share = torch.bincount(classes, minlength=len(e.info.classes)).double() / len(classes)
    entropy = torch.special.entr(share).sum().item() / math.log(max(2, len(e.info.classes)))
    report = {"pseudo_passed": passed.float().mean().item(), "pseudo_entropy": entropy}
    known = passed & (e.data.labels[hidden] >= 0)
    if known.any():
        report["pseudo_right"] = (classes == e.data.labels[hidden])[known].float().mean().item()
    return report


def monitor_pictures(e: Experiment) -> dict[str, Tensor]:
    """Return what the method has to show (`Method.pictures`) of a few inputs of val, the same at every call."""
    at = e.data.splits["val"] if len(e.data.splits["val"]) else e.data.splits["train"]
    at = at[:: max(1, -(-len(at) // SHOWN))]
    batch = Batch(e.data.cut_from[at].to(e.device), torch.full_like(at, -1, device=e.device), at.to(e.device))
    task = e.pretext(batch, torch.Generator().manual_seed(0))
    with evaluating(e.method), torch.no_grad():
        return {name: images.float().cpu() for name, images in e.method.pictures(task).items()}


@torch.inference_mode()
def _embed(method: Method, features: Tensor, device: torch.device) -> Tensor | None:
    with evaluating(method):
        embedding = method.embed(features.to(device))
    return None if embedding is None else embedding.float().cpu()
