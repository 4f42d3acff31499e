"""What is named in ``backbone.weights`` and ``backbone.name``, looked at before torch is imported."""

import functools
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_cli.backbones.foreign import fetch
from ssl_cli.errors import UserError, did_you_mean

TIMM = "ssl_cli.backbones.timm.Timm"
SENTENCE_ENCODER = "ssl_cli.backbones.text.sentence_encoder.SentenceEncoder"
TAKE_WEIGHTS = (
    *(TIMM, "ssl_cli.backbones.resnet.ResNet", "ssl_cli.backbones.vit.ViT", SENTENCE_ENCODER),
    *("ssl_cli.backbones.video.resnet.VideoResNet", "ssl_cli.backbones.video.frames.PerFrame"),
)
PUBLISHED = "pretrained"  # the weights that timm or torchvision has for the network
ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".tar", ".ckpt")
MISSING = "backbone=timm needs timm: pip install 'ssl-cli[timm]'"
MISSING_TRANSFORMERS = "backbone=sentence_encoder needs transformers: pip install 'ssl-cli[text]'"


def check_named(node: Mapping[str, Any]) -> None:
    """Raise ``UserError`` where a ``backbone`` node names what is not there, as far as that shows without torch.

    Published weights that are neither on this machine nor within reach are refused here, too: importing timm, which
    knows all about them, takes longer than finding that out.
    """
    target, weights = node.get("_target_"), node.get("weights")
    if target == TIMM and importlib.util.find_spec("timm") is None:
        raise UserError(MISSING)
    if target == SENTENCE_ENCODER and importlib.util.find_spec("transformers") is None:
        raise UserError(MISSING_TRANSFORMERS)
    if weights is None or target not in TAKE_WEIGHTS:
        return
    if file_named(str(weights)) is not None:
        return
    if target == SENTENCE_ENCODER and re.fullmatch(r"[\w.-]+/[\w.-]+", str(weights)):
        _check_on_hub(str(weights))
        return
    if looks_like_a_path(str(weights)) or target == SENTENCE_ENCODER:
        raise UserError(
            f"backbone.weights={weights} does not exist; write the path of a file of weights, or of a directory"
        )
    if target == TIMM and weights != PUBLISHED:
        raise UserError(
            f"backbone.weights={weights} is neither a file nor a directory{did_you_mean(str(weights), [PUBLISHED])}; "
            f"write backbone.weights={PUBLISHED} for those that timm has, or the path of a file"
        )
    if target == TIMM:
        _check_within_reach(str(node.get("name")))


def file_named(weights: str) -> Path | None:
    """Return the file or directory that ``weights`` names, or None for a keyword, or where there is none."""
    path = Path(weights).expanduser()
    return path if path.exists() else None


def looks_like_a_path(weights: str) -> bool:
    """Return whether ``weights`` can only be meant as a path."""
    return "/" in weights or "\\" in weights or weights.endswith(ENDINGS)


def unknown_name(name: str) -> UserError:
    """Return the error for a network that timm does not have."""
    known = timm_names()
    return UserError(
        f"timm has no network '{name}'{did_you_mean(name, known)}; to list them: "
        "python -c 'import timm; print(timm.list_models(\"*resnet*\"))'"
    )


@functools.cache
def _sources() -> tuple[str, ...]:
    """Return the text of timm's modules of networks; () where it is not installed."""
    spec = importlib.util.find_spec("timm")
    places = [Path(place) / "models" for place in (spec.submodule_search_locations or [])] if spec else []
    return tuple(file.read_text(encoding="utf-8") for place in places for file in sorted(place.glob("*.py")))


def timm_names() -> list[str]:
    """Return the networks that timm registers."""
    return sorted({name for text in _sources() for name in re.findall(r"@register_model\s+def (\w+)\(", text)})


def _hub_tags(name: str) -> list[str]:
    """Return those of a network's weights that lie on the hub, as ``name.tag``, the default first."""
    entry = rf"['\"]({re.escape(name)}(?:\.\w+)?)['\"]: *_\w*cfg\((?:[^)]|\)(?!,?\n))*?hf_hub_id=['\"]timm/"
    return [found for text in _sources() for found in re.findall(entry, text)]


def _check_on_hub(repository: str) -> None:
    """Raise ``UserError`` where a repository is not in the hub's cache and the hub does not answer."""
    if fetch.cached(repository, "config.json", "main") is None and (
        fetch.offline() or not fetch.reachable(fetch.hub_endpoint())
    ):
        raise fetch.unreachable(repository, "config.json")


def _check_within_reach(name: str) -> None:
    """Raise ``UserError`` where timm's own weights are not in the hub's cache and the hub does not answer.

    What cannot be told without timm is left to it.
    """
    base, _, tag = name.partition(".")
    if base not in timm_names():
        return
    tags = [known for known in _hub_tags(base) if not tag or known == name]
    if not tags or any(list(fetch.hub_dir().glob(f"models--*--{tag}/snapshots/*/*")) for tag in tags):
        return
    if fetch.offline() or not fetch.reachable(fetch.hub_endpoint()):
        raise fetch.unreachable(f"timm/{tags[0]}", fetch.FILES[0])
