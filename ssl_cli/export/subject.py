"""What is exported: a model, what is known of it, and images to check the copy with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ssl_cli.backbones.build import called_with
from ssl_cli.data.info import DataInfo
from ssl_cli.data.kinds import check_image
from ssl_cli.errors import UserError
from ssl_cli.export.head import fitted_head
from ssl_cli.export.load import model_of
from ssl_cli.export.model import Model
from ssl_cli.runs.catalog import read_json
from ssl_cli.setup.restore import open_model, rebuild, with_data

TOLERANCE = 1e-4  # that features may be apart, of the largest where that is above 1, and that probabilities may be


@dataclass
class Subject:
    """A trained model and what its card says of it."""

    model: Model
    config: DictConfig  # of the run
    step: int  # of training that the checkpoint was saved at
    classifier: str  # what the probabilities are by, in words; "": there are none
    summary: dict[str, Any]  # ``summary.json`` of the run; {} where the checkpoint is of another step, or alone
    images: list[Tensor]  # 100 in batches [n, H, W, C] uint8, of several sizes
    licence: str | None = None  # of the weights that training began from; None: they were random

    @property
    def info(self) -> DataInfo:
        """What the run knew of its images."""
        return self.model.info

    @property
    def backbone(self) -> tuple[str, dict[str, Any]]:
        """The class of the backbone, and what it is called with."""
        return called_with(OmegaConf.to_container(self.config.backbone, resolve=True), self.model.backbone)

    @property
    def name(self) -> str:
        """For example ``simclr-digits``."""
        text = f"{self.config.name}-{self.info.name}"
        return "".join(c if c.isalnum() or c in "._-" else "-" for c in text)


def subject(file: Path, config: DictConfig) -> Subject:
    """Return what a checkpoint holds, as it is exported.

    Args:
        file: the checkpoint.
        config: of the command: ``head``, ``root``, ``trainer``, ``trusted_modules``.

    Raises:
        UserError: the checkpoint is refused as by `rebuild`, or no head can be fitted.
    """
    what = f"`ssl export to={config.to}`"
    if config.head == "linear":
        own = OmegaConf.create({**config, "dataset": None})
        rebuilt, device = open_model(file, own)
        check_image(rebuilt.info, what)
        opened = with_data(file, rebuilt, device, own)
        head, accuracy = fitted_head(opened)
        model = Model(opened.method.measured.cpu(), opened.info, head)
        run_config, step, origin = opened.config, opened.step, opened.method.backbone.origin
        scored = "" if accuracy is None else f"; {100 * accuracy:.1f} % of its test images right"
        by = f"a linear probe on {len(opened.labelled):,} labelled images of the run's train split{scored}"
        some = opened.data.images[opened.data.splits["val"][:40]]
    else:
        rebuilt = rebuild(file, config.trusted_modules)
        check_image(rebuilt.info, what)
        model, run_config, step = model_of(rebuilt), rebuilt.config, rebuilt.state["progress"]["step"]
        origin = rebuilt.method.backbone.origin
        by, some = "the method's own classifier" if model.head is not None else "", None
    summary = read_json(file.parent.parent / "summary.json") or {}
    summary = summary if file.parent.name == "checkpoints" and summary.get("steps") == step else {}
    licence = None if origin is None else origin.licence or "not stated by whoever trained them"
    return Subject(model, run_config, step, by, summary, _images(model.info, some), licence)


def _images(info: DataInfo, own: Tensor | None) -> list[Tensor]:
    """Return 100 images: 40 of the run's size, its own where they are at hand, and 60 made up ones of other sizes."""
    side, generator = info.image_size, torch.Generator().manual_seed(0)

    def made_up(count: int, height: int, width: int) -> Tensor:
        coarse = torch.rand(count, info.channels, 4, 4, generator=generator)
        x = F.interpolate(coarse, (height, width), mode="bicubic") * 255
        x = x + 16 * torch.randn(x.shape, generator=generator)
        return x.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    own = made_up(0, side, side) if own is None else own.permute(0, 2, 3, 1)
    sizes = [(2 * side + 1, 3 * side), (3 * side, 2 * side), (max(1, side // 2), side)]
    return [torch.cat([own, made_up(40 - len(own), side, side)]), *(made_up(20, *size) for size in sizes)]


def check_same(kind: str, here: tuple[Tensor, ...], there: tuple[Tensor, ...]) -> float:
    """Compare features, and probabilities where there are some, of the same images.

    Args:
        kind: what was written, for the message.
        here: features [n, d] and probabilities [n, K] by the model.
        there: by what was written.

    Returns:
        How far apart they are, see `TOLERANCE`.

    Raises:
        UserError: too far, or another class.
    """
    apart = max(((a - b).abs().max() / a.abs().max().clamp(min=1)).item() for a, b in zip(here, there, strict=True))
    if not apart <= TOLERANCE:
        raise UserError(
            f"the {kind} gives other numbers than the model: up to {apart:.1g} apart, where {TOLERANCE:g} is allowed; "
            "nothing was written: choose another to="
        )
    for a, b in zip(here[1:], there[1:], strict=True):
        best = a.topk(min(2, a.shape[1])).values
        tied = best[:, 0] - best[:, -1] <= TOLERANCE  # either is right
        if not ((a.argmax(1) == b.argmax(1)) | tied).all():
            raise UserError(f"the {kind} gives other classes than the model; nothing was written: choose another to=")
    return apart
