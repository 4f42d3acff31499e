"""Experiments built from the shipped config, without the command line."""

import copy
import functools
from collections.abc import Sequence
from pathlib import Path

import composition  # noqa: F401
import read_once  # noqa: F401
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from ssl_cli.config.jobs import slug
from ssl_cli.config.kinds import files, listed
from ssl_cli.config.paths import conf_dir
from ssl_cli.config.schema import SCHEMAS
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.runs import checkpoint
from ssl_cli.runs.directory import RunDir
from ssl_cli.setup.prepare import Experiment, prepare
from ssl_cli.training import loop

CONF = conf_dir()
SMALL = ["trainer.batch_size=64", "trainer.threads=1", "trainer.log_every=1", "trainer.precision=fp32"]


def options(group: str, kind: str = "image") -> list[str]:
    """Return the options of a group in conf/ that are for a kind of input."""
    return [file.stem for file in files([CONF], group) if kind in listed(file, "_kinds_", [kind])]


def composed(command: str, overrides: Sequence[str]) -> DictConfig:
    """Return the config that the command line would compose."""
    return copy.deepcopy(_composed(command, tuple(overrides)))


@functools.cache  # composing takes a third of a second, and many tests want the same config
def _composed(command: str, overrides: tuple[str, ...]) -> DictConfig:
    _introduce(command)
    if command == "train":  # Hydra's own application knows which method was chosen
        chosen = [item.split("=")[1] for item in overrides if item.startswith("method=")]
        overrides = (f"name={(chosen or ['simclr'])[-1]}", *overrides)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, overrides=list(overrides))


@functools.cache
def _introduce(command: str) -> None:
    """Tell Hydra of what the config of a command refers to."""
    OmegaConf.register_new_resolver("slug", slug, replace=True)
    ConfigStore.instance().store(name=f"_{command}_schema", node=SCHEMAS[command])


METHODS = sorted(file.stem for file in (CONF / "method").glob("*.yaml") if not file.stem.startswith("_"))
METHODS.remove("frozen")  # which has no step: tests/methods/test_frozen.py


@functools.cache
def small(method: str, labels: str = "20/class", widths: str = "[8,16,32]") -> list[str]:
    """Return a method with less of what only takes time: a narrow backbone, short chains.

    Args:
        method: its name.
        labels: those of a method that learns from some labels and from the rest.
        widths: of a convolutional backbone.
    """
    keys = OmegaConf.load(CONF / "method" / f"{method}.yaml")
    own = [name for item in keys.get("defaults", []) for key, name in item.items() if "/backbone@" in key]
    backbone = option("backbone", own[0]) if own else composed("train", []).backbone
    return [
        f"method={method}",
        *([f"dataset.labels={labels}"] if "mu" in keys else []),
        *([f"backbone.widths={widths}"] if "widths" in backbone else []),
        *(["backbone.dim=32", "backbone.depth=2", "backbone.heads=2"] if "depth" in backbone else []),
        *(["method.steps=5"] if "chains" in keys else []),
    ]


def option(group: str, name: str, *overrides: str) -> DictConfig:
    """Return one option of a group, alone."""
    return copy.deepcopy(_option(group, name, overrides))


@functools.cache
def _option(group: str, name: str, overrides: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(overrides=[f"+{group}={name}", *overrides])[group]


def train(path: Path, overrides: list[str], stop_after: int | None = None) -> tuple[Experiment, RunDir]:
    """Train (or go on in) ``path``, and stop after a number of steps as a signal would."""
    config = composed("train", [*SMALL, *overrides])
    experiment = prepare(config)
    if (path / "config.yaml").exists():
        run = RunDir(path)
        resumed = checkpoint.load(run.checkpoint_file())
    else:
        run, resumed = RunDir.create(path, config, chosen_by_user=True), None

    class Stop:
        requested = False

    batch = experiment.loader.batch

    def counted(step: int):
        Stop.requested = stop_after is not None and step + 1 >= stop_after
        return batch(step)

    experiment.loader.batch = counted
    loop.fit(experiment, run, resumed, Stop)
    return experiment, run


def image_info(channels: int = 1, size: int = 8, mean=(0.3,), std=(0.2,)) -> ImageInfo:
    """Return facts about images, where only their shape and normalisation matter."""
    return ImageInfo("images", channels, size, (), 0, 0, 0, tuple(mean), tuple(std))


def tensors(node, prefix="") -> dict[str, torch.Tensor]:
    """Return every tensor of nested containers under its path."""
    if isinstance(node, torch.Tensor):
        return {prefix: node}
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    return {key: value for name, child in items for key, value in tensors(child, f"{prefix}/{name}").items()}


IMAGES = {"noun": ImageInfo.noun, "how_to_label": ImageInfo.how_to_label}  # what messages say of images
