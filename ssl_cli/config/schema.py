"""What a config must be before anything heavy is imported: types, ranges, and parts that fit together.

The program's own settings are typed here; their values and meanings are in ``conf/``. Plug-ins (data sets, methods)
are plain YAML: their types are those of their defaults, their ranges stand beside them under ``_limits_``.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

# Keys of a plug-in's YAML that speak to the program, not to the plug-in.
ANNOTATIONS = ("_limits_", "_needs_", "_gives_")


def _limited(limit: str, **kwargs: Any) -> Any:
    return field(metadata={"limit": limit}, **kwargs)


@dataclass
class TrainerConfig:
    """The loop. Values and meanings: ``conf/trainer/default.yaml``."""

    epochs: int = _limited(">= 1", default=MISSING)
    max_steps: int | None = _limited(">= 1", default=None)
    batch_size: int = _limited(">= 2", default=MISSING)
    accumulate: int = _limited(">= 1", default=1)
    clip_grad: float | None = _limited("> 0", default=None)
    freeze_backbone: bool = False
    layer_decay: float = _limited("0 < x <= 1", default=1.0)
    eval_every: int = _limited(">= 1", default=MISSING)
    save_every: int = _limited(">= 1", default=MISSING)
    keep_every: int | None = _limited(">= 1", default=None)
    keep_last: int | None = _limited(">= 1", default=None)
    max_time: str | None = None
    on_nan: str = "stop"
    log_every: int = _limited(">= 1", default=MISSING)
    device: str = MISSING
    precision: str = MISSING
    channels_last: bool = MISSING
    threads: int | None = _limited(">= 1", default=None)
    devices: int = _limited(">= 1", default=1)
    synchronise_norms: bool = True
    rank_timeout: float = _limited("> 0", default=600.0)
    keep_memory: bool = True
    profile: bool = False
    dry_run: bool = False


@dataclass
class TrainConfig:
    """``ssl train``. Values and meanings: ``conf/train.yaml``."""

    seed: int = _limited("0 <= x < 4294967296", default=MISSING)
    name: str = MISSING
    resume: str | None = None
    init: str | None = None
    trusted_modules: list[str] = field(default_factory=list)
    dataset: Any = MISSING
    augment: Any = MISSING
    pretext: Any = MISSING
    backbone: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    method: Any = MISSING
    probes: Any = MISSING
    launcher: Any = None
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


@dataclass
class DeviceConfig:
    """Where a probe computes. Values and meanings: ``conf/probe.yaml``."""

    device: str = MISSING
    threads: int | None = _limited(">= 1", default=None)


@dataclass
class ProbeConfig:
    """``ssl probe``. Values and meanings: ``conf/probe.yaml``."""

    ckpt: str = MISSING
    trusted_modules: list[str] = field(default_factory=list)
    probe: Any = MISSING
    dataset: Any = None
    augment: Any = None
    layer: int | None = _limited(">= 1", default=None)
    keep_features: bool = True
    trainer: DeviceConfig = field(default_factory=DeviceConfig)


@dataclass
class EmbedConfig:
    """``ssl embed``. Values and meanings: ``conf/embed.yaml``."""

    ckpt: str = MISSING
    out: str | None = None
    split: str = "all"
    trusted_modules: list[str] = field(default_factory=list)
    dataset: Any = None
    augment: Any = None
    layer: int | None = _limited(">= 1", default=None)
    trainer: DeviceConfig = field(default_factory=DeviceConfig)


@dataclass
class ExportConfig:
    """``ssl export``. Values and meanings: ``conf/export.yaml``."""

    ckpt: str = MISSING
    out: str | None = None
    trusted_modules: list[str] = field(default_factory=list)


@dataclass
class ViewsConfig:
    """``ssl views``. Values and meanings: ``conf/views.yaml``."""

    seed: int = _limited("0 <= x < 4294967296", default=MISSING)
    images: int = _limited("1 <= x <= 64", default=MISSING)
    dataset: Any = MISSING
    augment: Any = MISSING
    pretext: Any = MISSING


SCHEMAS = {
    "train": TrainConfig,
    "probe": ProbeConfig,
    "embed": EmbedConfig,
    "export": ExportConfig,
    "views": ViewsConfig,
}

GROUPS = ("probes", "dataset", "method", "backbone", "augment", "pretext", "optimizer", "schedule", "trainer")
CHOICES = {"device": ("auto", "cpu", "cuda", "mps"), "precision": ("auto", "fp32", "bf16")}
CHOICES["on_nan"] = ("stop", "skip", "rollback")
