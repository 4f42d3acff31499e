"""The quick look during training: weighted kNN on val, with a bank of labelled train images."""

import torch
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.data.images import ImageData
from ssl_cli.data.info import DataInfo
from ssl_cli.probes.features import extract
from ssl_cli.probes.knn import knn_predict, shrunk_k

BANK = 10_000  # at most so many train images, evenly spaced: it is a trend that is wanted, often


def monitor_knn(
    backbone: Backbone, data: ImageData, labelled: Tensor, info: DataInfo, device: torch.device
) -> float | None:
    """Return the accuracy in [0, 1] of val images by their nearest labelled train images, or None without labels."""
    val = data.splits["val"]
    val = val[data.labels[val] >= 0]
    if len(labelled) == 0 or len(val) == 0:
        return None
    bank = labelled[:: max(1, len(labelled) // BANK)]
    queries, keys = (extract(backbone, data.images, at, info.mean, info.std, device) for at in (val, bank))
    classes = len(info.classes)
    k = shrunk_k(200, len(bank), classes)
    predicted = knn_predict(keys, data.labels[bank], queries, k, temperature=0.07, classes=classes)
    return (predicted == data.labels[val]).float().mean().item()
