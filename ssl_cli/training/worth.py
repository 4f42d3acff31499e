"""Weights that training starts from may be worth more than those that it ends with: then say so."""

import math

from omegaconf import DictConfig

FELL = (
    "warning: kNN on val was {start:.1f} % before training and is {now:.1f} % after it: training has made the features "
    "worse. checkpoints/best.pt has the best of both; train less of the network (backbone.adapt=last:1, norms or "
    "lora), for a shorter time or with a smaller optimizer.lr"
)


def starts_trained(config: DictConfig) -> bool:
    """Return whether a run starts from weights that were trained before."""
    return config.init is not None or config.backbone.get("weights") is not None


def fell(start: float, now: float, inputs: int) -> str:
    """Return a warning where kNN on val fell by more than the standard error of one such accuracy; else "".

    Args:
        start: accuracy in [0, 1] before training; below 0: it was not measured.
        now: likewise, at the end.
        inputs: that both were measured on.
    """
    if start < 0 or now < 0 or start - now <= math.sqrt(start * (1 - start) / max(1, inputs)):
        return ""
    return FELL.format(start=100 * start, now=100 * now)
