"""What the sources of the recipes in conf/experiment say, transcribed from the files named here, in our config's words.

A value is what the source trains with, by its own file or by the default of its code. The recipes are compared with
this; what differs stands in docs/recipes.md.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Source:
    """Where a recipe is from: a repository, a file in it, the commit, and the settings that it trains with."""

    repository: str
    file: str
    commit: str
    settings: dict[str, Any] = field(default_factory=dict)


def under(group: str, **settings: Any) -> dict[str, Any]:
    """Return the settings of a group by their full names."""
    return {f"{group}.{key}": value for key, value in settings.items()}


def views(prefixes, crop, jitter, blur=0.0, solarize=0.0, grey=0.2, kernel=None, interpolation="bicubic"):
    """Return a recipe of views with a horizontal flip; ``jitter`` is brightness, contrast, saturation, hue."""
    names = ("brightness", "contrast", "saturation", "hue")
    keys = {
        "crop.p": 1.0,
        **({"crop.scale": [crop, 1.0]} if crop else {}),  # multi-crop has its own
        "crop.ratio": [0.75, 1.3333333333],
        "crop.interpolation": interpolation,
        "flip": 0.5,
        "vertical_flip": 0.0,
        "jitter.p": 0.8,
        **{f"jitter.{name}": value for name, value in zip(names, jitter, strict=True)},
        "grey": grey,
        "blur.p": blur,
        **({"blur.sigma": [0.1, 2.0]} if blur else {}),
        **({"blur.kernel": kernel} if kernel else {}),
        "solarize.p": solarize,
        "noise": 0.0,
        "affine.p": 0.0,
    }
    return {f"{prefix}.{key}": value for prefix in prefixes for key, value in keys.items()}


BOTH = ("augment",)
WEAK_JITTER, JITTER, STRONG_JITTER = (0.4, 0.4, 0.2, 0.1), (0.4, 0.4, 0.4, 0.1), (0.8, 0.8, 0.8, 0.2)
LARS, SGD, ADAMW = (f"ssl_cli.optim.optimizers.{name}" for name in ("lars", "sgd", "adamw"))

PIL = 13  # its blur is PIL's, whose width has no bound: 13 pixels hold three deviations of 2 to either side
EXCLUDED = {"optimizer.decay_1d": False, "optimizer.lr_1d": 1.0}  # biases and norms
ADAPTED = {"optimizer.adapt_1d": False, "optimizer.separate_norms": False, "optimizer.clip_lr": False}
DECAYED_SGD = {"optimizer._target_": SGD, "optimizer.nesterov": False, "optimizer.decay_1d": True}
NO_WARMUP = {"schedule.warmup": "0%", "schedule.final": 0.0}
