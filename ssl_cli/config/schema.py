"""What a config must be before anything heavy is imported: types, ranges, and parts that fit together.

The program's own settings are typed here; their values and meanings are in ``conf/``. Plug-ins (data sets, methods)
are plain YAML: their types are those of their defaults, their ranges stand beside them under ``_limits_``,
and which of them are texts whatever they look like (paths, columns) under ``_texts_``.
"""

from dataclasses import dataclass, field
from typing import Any

# Keys of a plug-in's YAML that speak to the program, not to the plug-in.
ANNOTATIONS = ("_limits_", "_texts_", "_needs_", "_gives_", "_kind_", "_kinds_", "_norm_", "_trainer_")


MISSING: Any = "???"  # as OmegaConf writes it, whose import this module can do without


def setting(
    default: Any = MISSING,
    *,
    limit: str | None = None,
    choices: tuple[str | bool, ...] = (),
    resumable: bool = False,
    identifies: bool = True,
    text: bool = False,
) -> Any:
    """Declare a setting of the program: all that is known of it stands here.

    Args:
        default: its value where the YAML files give none; a list or dictionary is made anew each time.
        limit: its range, as `ssl_cli.config.limits` reads it.
        choices: the words that it can be; none: any.
        resumable: whether it may change beside ``resume=``: how long to train, where, how often to look and save;
            nothing of what is learned from.
        identifies: whether it makes another model. If not (where and how it was computed), it names no directory of a
            sweep and sets no line of ``ssl compare`` apart.
        text: whether it is a path or a name, and so a text whatever it looks like: ``2024``, ``1e3``, ``a=b``.
    """
    about: dict[str, Any] = {"choices": choices, "resumable": resumable, "identifies": identifies, "text": text}
    about |= {} if limit is None else {"limit": limit}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=about)
    return field(default=default, metadata=about)


DEVICES, PRECISIONS = ("auto", "cpu", "cuda", "mps"), ("auto", "fp32", "bf16")


@dataclass
class TrainerConfig:
    """The loop. Values and meanings: ``conf/trainer/default.yaml``."""

    epochs: int = setting(limit=">= 1", resumable=True)
    max_steps: int | None = setting(None, limit=">= 1", resumable=True)
    batch_size: int = setting(limit=">= 2")
    accumulate: int = setting(1, limit=">= 1")
    clip_grad: float | None = setting(None, limit="> 0")
    clip_by: str = setting("global", choices=("global", "tensor"))
    freeze_backbone: bool = setting(False)
    layer_decay: float = setting(1.0, limit="0 < x <= 1")
    progressive: list[str] | None = setting(None)
    eval_every: int = setting(limit=">= 1", resumable=True, identifies=False)
    save_every: int = setting(limit=">= 1", resumable=True, identifies=False)
    keep_every: int | None = setting(None, limit=">= 1", resumable=True, identifies=False)
    keep_last: int | None = setting(None, limit=">= 1", resumable=True, identifies=False)
    max_time: str | None = setting(None, resumable=True, identifies=False)
    on_nan: str = setting("stop", choices=("stop", "skip", "rollback"), resumable=True)
    log_every: int = setting(limit=">= 1", resumable=True, identifies=False)
    device: str = setting(choices=DEVICES, resumable=True, identifies=False)
    precision: str = setting(choices=PRECISIONS)
    channels_last: bool = setting()
    compile: Any = setting("auto", choices=("auto", True, False), identifies=False)
    threads: int | None = setting(None, limit=">= 1", resumable=True, identifies=False)
    devices: int = setting(1, limit=">= 1", resumable=True, identifies=False)
    synchronise_norms: bool = setting(True)
    rank_timeout: float = setting(600.0, limit="> 0", resumable=True, identifies=False)
    keep_memory: bool = setting(True, resumable=True, identifies=False)
    profile: bool = setting(False, resumable=True, identifies=False)
    dry_run: bool = setting(False, resumable=True, identifies=False)


@dataclass
class TrainConfig:
    """``ssl train``. Values and meanings: ``conf/train.yaml``."""

    seed: int = setting(limit="0 <= x < 4294967296")
    name: str = setting(identifies=False, text=True)
    resume: str | None = setting(None, identifies=False, text=True)
    init: str | None = setting(None, text=True)
    keep_baselines: bool = setting(True, resumable=True, identifies=False)
    trusted_modules: list[str] = setting([], identifies=False)
    dataset: Any = setting()
    augment: Any = setting()
    pretext: Any = setting()
    backbone: Any = setting()
    optimizer: Any = setting()
    schedule: Any = setting()
    method: Any = setting()
    probes: Any = setting(identifies=False)
    launcher: Any = setting(None, identifies=False)
    tracker: Any = setting(None, identifies=False)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


@dataclass
class DeviceConfig:
    """Where a probe computes. Values and meanings: ``conf/probe.yaml``."""

    device: str = setting(choices=DEVICES)
    threads: int | None = setting(None, limit=">= 1")


@dataclass
class OnInputs:
    """What commands share that show a checkpoint inputs: those of its run where ``dataset`` is null."""

    ckpt: str = setting(text=True)
    trusted_modules: list[str] = setting([])
    dataset: Any = None
    root: str | None = setting(None, text=True)
    test_root: str | None = setting(None, text=True)
    labels_file: str | None = setting(None, text=True)
    file: str | None = setting(None, text=True)
    augment: Any = None
    backbone: Any = None
    trainer: DeviceConfig = field(default_factory=DeviceConfig)


@dataclass
class ProbeConfig(OnInputs):
    """``ssl probe``. Values and meanings: ``conf/probe.yaml``."""

    probe: Any = MISSING
    layer: int | None = setting(None, limit=">= 1")
    keep_features: bool = True
    keep_baselines: bool = True


@dataclass
class EmbedConfig(OnInputs):
    """``ssl embed``. Values and meanings: ``conf/embed.yaml``."""

    out: str | None = setting(None, text=True)
    split: str = "all"
    layer: int | None = setting(None, limit=">= 1")


@dataclass
class PredictConfig(OnInputs):
    """``ssl predict``. Values and meanings: ``conf/predict.yaml``."""

    out: str | None = setting(None, text=True)
    min_probability: float | None = setting(None, limit="0 < x <= 1")
    against: str | None = setting(None, text=True)
    split: str = "all"
    probe: Any = None


@dataclass
class PickConfig(OnInputs):
    """``ssl pick``. Values and meanings: ``conf/pick.yaml``."""

    n: int = setting(20, limit=">= 1")
    strategy: str = "typical"
    seed: int = setting(0, limit="0 <= x < 4294967296")
    images: int = setting(20000, limit=">= 1")
    to: str = "csv"
    out: str | None = setting(None, text=True)
    prefix: str = setting("/data/local-files/?d=", text=True)
    probe: Any = None


@dataclass
class AuditConfig(OnInputs):
    """``ssl audit``. Values and meanings: ``conf/audit.yaml``."""

    ckpt: str | None = setting(None, text=True)
    near: float = setting(0.9, limit="0 < x <= 1")
    few: int = setting(10, limit=">= 0")
    neighbours: int = setting(20, limit=">= 1")
    fail_on: str | None = setting(None)


@dataclass
class ExportConfig:
    """``ssl export``. Values and meanings: ``conf/export.yaml``."""

    ckpt: str = setting(text=True)
    to: str | None = None
    head: str | None = None
    out: str | None = setting(None, text=True)
    push: str | None = setting(None, text=True)
    root: str | None = setting(None, text=True)
    trusted_modules: list[str] = setting([])
    trainer: DeviceConfig = field(default_factory=DeviceConfig)


@dataclass
class ViewsConfig:
    """``ssl views``. Values and meanings: ``conf/views.yaml``."""

    seed: int = setting(limit="0 <= x < 4294967296")
    images: int = setting(limit="1 <= x <= 64")
    dataset: Any = MISSING
    augment: Any = MISSING
    pretext: Any = MISSING
    backbone: Any = None


SCHEMAS = {
    "train": TrainConfig,
    "probe": ProbeConfig,
    "embed": EmbedConfig,
    "predict": PredictConfig,
    "pick": PickConfig,
    "audit": AuditConfig,
    "export": ExportConfig,
    "views": ViewsConfig,
}

NOT_CHOSEN = "backbone"  # a group that is the run's own but for ``ssl train``: there for data sets that bring one
GROUPS = ("probes", "dataset", "method", "backbone", "augment", "pretext", "optimizer", "schedule", "trainer")
CHOICES = {
    name: f.metadata["choices"] for name, f in TrainerConfig.__dataclass_fields__.items() if f.metadata["choices"]
}

# Where a data set's inputs are and how they are kept: other values of these are the same inputs.
KEPT_IN = ("dataset.root", "dataset.test_root", "dataset.cache_dir", "dataset.storage_limit", "dataset.download")
PLACES = (*KEPT_IN, "dataset.labels_file", "dataset.file")  # another table may be a copy, or have other labels


def _settings(key: str, value: bool) -> tuple[str, ...]:
    """Return the dotted names of what is declared with such a value, for ``ssl train``."""
    parts = {"trainer.": TrainerConfig, "": TrainConfig}
    fields = [(prefix + name, f) for prefix, part in parts.items() for name, f in part.__dataclass_fields__.items()]
    return tuple(name for name, f in fields if f.metadata.get(key) is value)


RESUMABLE = (*_settings("resumable", True), *PLACES)
HOUSEKEEPING = (*_settings("identifies", False), *KEPT_IN)  # what makes no other model
