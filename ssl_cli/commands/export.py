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
from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.export.hub import check_hub, check_name, push_directory
from ssl_cli.export.kinds import KINDS, check_directory
from ssl_cli.runs.catalog import checkpoint_file, unused_path


def main(args: Sequence[str]) -> int:
    """Compose the config and run the command. Returns the exit status."""
    return run_app("export", args, run)


def run(config: DictConfig) -> int:
    """Write the backbone's weights to a file, or the model to a directory. Returns 0."""
    file = checkpoint_file(config.ckpt)
    check_options(config)
    return write_backbone(file, config) if config.to is None else write_model(file, config)


def check_options(config: DictConfig) -> None:
    """Raise ``UserError`` for settings that do not go together, and for packages that are not there."""
    for key, value, known in (("to", config.to, KINDS), ("head", config.head, ("linear",))):
        if value is not None and value not in known:
            raise UserError(f"{key}={value} is not one of {', '.join(known)}{did_you_mean(value, known)}")
    if config.to is None:
        for key in ("head", "push"):
            if config[key] is not None:
                given = word(key, config[key])
                raise UserError(f"{given} goes with a directory; add to=safetensors, to=timm or to=onnx")
    if config.push is not None:
        check_name(config.push)
    by = "ssl export" if config.to is None else f"to={config.to}"
    needed = dict.fromkeys(KINDS.get(config.to, ("safetensors",)), by)
    needed |= {"huggingface_hub": "push="} if config.push is not None else {}
    for package, by in needed.items():
        if importlib.util.find_spec(package) is None:
            raise UserError(f"{by} needs {package}: pip install 'ssl-cli[export]'")
    if config.out is not None:
        check_out(Path(config.out)) if config.to is None else check_directory(Path(config.out))


def write_model(file: Path, config: DictConfig) -> int:
    """Write the directory that ``to`` names, and upload it where that is asked for. Returns 0."""
    if config.push is not None:
        check_hub(config.push)
    from ssl_cli.export.directory import write_directory
    from ssl_cli.export.subject import subject

    out = Path(config.out) if config.out is not None else unused_path(file, "export", config.to)
    exported = subject(file, config)
    try:
        apart = write_directory(out, config.to, exported)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; write out=DIR elsewhere") from error
    print(f"{exported.name}, step {exported.step:,}: {exported.model.dim} features, from {file}")
    if exported.classifier:
        print(f"probabilities of {len(exported.model.classes)} classes: by {exported.classifier}")
    if apart is not None:
        print(f"checked on 100 images: at most {apart:.1e} from the model")
    print(f"model: {out}")
    if config.push is not None:
        print(f"pushed, as a private repository: {push_directory(out, config.push)}")
    return 0


def write_backbone(file: Path, config: DictConfig) -> int:
    """Write the weights that `Method.measured` has in a checkpoint, and what they are. Returns 0."""
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
        raise UserError(f"out={out} does not end in .safetensors; write {named}, or to=onnx beside it")
    if out.exists():
        raise UserError(f"{out} exists; nothing was overwritten: write another out=FILE.safetensors")


def metadata(rebuilt: Any) -> dict[str, str]:
    """Return what the file says of itself, as texts; settings, mean and std (of pixels in [0, 1]) are JSON.

    ``backbone`` is a class, and ``backbone_settings`` what it is called with; ``weights`` and ``licence`` tell what
    it was trained from, where somebody else had trained that.
    """
    from ssl_cli.backbones.build import called_with

    info, backbone = rebuilt.info, rebuilt.method.backbone
    target, settings = called_with(rebuilt.state["config"]["backbone"], backbone)
    origin = backbone.origin
    foreign = {} if origin is None else {"weights": json.dumps(origin.to_dict())}
    foreign |= {"licence": origin.licence} if origin is not None and origin.licence else {}
    return {
        "format": "pt",  # as other readers of such files expect it
        "backbone": target,
        "backbone_settings": json.dumps(settings),
        "feature_dim": str(rebuilt.method.measured.dim),
        "method": str(rebuilt.config.name),
        "dataset": info.name,
        **info.metadata,
        "step": str(rebuilt.state["progress"]["step"]),
        "ssl_version": __version__,
        **foreign,
    }
