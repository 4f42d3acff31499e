"""``ssl export``: write the backbone's weights for whoever has no ssl: tensors and texts, and nothing that runs."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ssl_cli import __version__
from ssl_cli.config.compose import run_app
from ssl_cli.config.words import word
from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import checkpoint_file, unused_path


def main(args: Sequence[str]) -> int:
    """Compose the config and run the command. Returns the exit status."""
    return run_app("export", args, run)


def run(config: DictConfig) -> int:
    """Write the weights that `Method.measured` has in a checkpoint, and what they are. Returns 0."""
    file = checkpoint_file(config.ckpt)
    if importlib.util.find_spec("safetensors") is None:
        raise UserError("ssl export needs safetensors: pip install 'ssl-cli[export]'")
    if config.out is not None:
        check_out(Path(config.out))

    from safetensors.torch import save

    from ssl_cli.setup.restore import rebuild
    from ssl_cli.system.atomic import replace

    rebuilt = rebuild(file, config.trusted_modules)
    weights, about = rebuilt.method.measured.state_dict(), metadata(rebuilt)
    out = Path(config.out) if config.out is not None else unused_path(file, "export", "backbone.safetensors")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        check_out(out)  # once more: rebuilding took its time
        replace(out, save({name: weight.contiguous().clone() for name, weight in weights.items()}, about))
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; write out=FILE.safetensors elsewhere") from error
    print(f"{sum(weight.numel() for weight in weights.values()):,} numbers of {about['backbone']}, from {file}")
    origin = rebuilt.method.backbone.origin
    if origin is not None and origin.non_commercial:
        print(f"not for commercial use: {origin.licence} is the licence of the weights that it was trained from")
    print(f"backbone: {out}")
    return 0


def check_out(out: Path) -> None:
    """Raise ``UserError`` for a file that is there, or not named as what it will be."""
    if out.suffix != ".safetensors":
        named = word("out", f"{out.stem or 'FILE'}.safetensors")
        raise UserError(f"out={out} does not end in .safetensors; write {named}")
    if out.exists():
        raise UserError(f"{out} exists; nothing was overwritten: write another out=FILE.safetensors")


def metadata(rebuilt: Any) -> dict[str, str]:
    """Return what the file says of itself, as texts; settings, mean and std (of pixels in [0, 1]) are JSON.

    ``backbone`` is a class, and ``backbone_settings`` what it is called with; ``weights`` and ``licence`` tell what
    it was trained from, where somebody else had trained that.
    """
    from ssl_cli.config.build import without_annotations

    info, settings = rebuilt.info, without_annotations(rebuilt.state["config"]["backbone"])
    target, origin = settings.pop("_target_"), rebuilt.method.backbone.origin
    settings |= {"weights": None} if "weights" in settings else {}
    settings |= {"image_size": info.image_size} if hasattr(rebuilt.method.backbone, "image_size") else {}
    foreign = {} if origin is None else {"weights": json.dumps(origin.to_dict())}
    foreign |= {"licence": origin.licence} if origin is not None and origin.licence else {}
    return {
        "format": "pt",  # as other readers of such files expect it
        "backbone": target,
        "backbone_settings": json.dumps({"in_channels": info.channels, **settings}),
        "feature_dim": str(rebuilt.method.measured.dim),
        "method": str(rebuilt.config.name),
        "dataset": info.name,
        "image_size": str(info.image_size),
        "channels": str(info.channels),
        "mean": json.dumps(info.mean),
        "std": json.dumps(info.std),
        "step": str(rebuilt.state["progress"]["step"]),
        "ssl_version": __version__,
        **foreign,
    }
