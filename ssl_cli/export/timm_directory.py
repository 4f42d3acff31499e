"""A directory that ``timm.create_model("local-dir:DIR", pretrained=True)`` takes, for networks that timm knows."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_cli.errors import UserError
from ssl_cli.export.network import RESNET
from ssl_cli.export.pixels import CentreSquare
from ssl_cli.export.subject import Subject, check_same
from ssl_cli.system.atomic import replace, write_json

VIT = "ssl_cli.backbones.vit.ViT"
_PARTS = {
    "attn.qkv": "qkv",
    "attn.proj": "out",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
    "norm1": "norm1",
    "norm2": "norm2",
}


def as_in_timm(s: Subject) -> tuple[str, dict[str, Any], dict[str, Tensor], tuple[str, str]]:
    """Return the name, the arguments and the weights that a backbone has in timm, and its first and last layer.

    Raises:
        UserError: timm has no such network.
    """
    target, settings = s.backbone
    weights = s.model.backbone.state_dict()
    if target == RESNET and settings.get("stem", "cifar") == "imagenet":
        arguments = {"norm_layer": "groupnorm"} if settings.get("norm", "batch") == "group" else {}
        weights = {name.removeprefix("net."): weight for name, weight in weights.items()}
        return settings.get("arch", "resnet18"), arguments, weights, ("conv1", "fc")
    if target == VIT:
        return "vit_tiny_patch16_224", *_vit(s), ("patch_embed.proj", "head")
    what = "a ResNet with backbone.stem=cifar" if target == RESNET else f"this {target.rpartition('.')[2]}"
    raise UserError(
        f"timm does not know {what}; write to=safetensors or to=onnx (timm knows vit_tiny, vit_small_images, and "
        "ResNets with backbone.stem=imagenet)"
    )


def _vit(s: Subject) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the arguments and the weights of a vision transformer; its fixed positions are weights in timm."""
    from ssl_cli.backbones.vit import positions

    net, ours = s.model.backbone, s.model.backbone.state_dict()
    side = s.info.image_size // net.patch_size
    arguments = {
        "img_size": s.info.image_size,
        "patch_size": net.patch_size,
        "embed_dim": net.dim,
        "depth": len(net.layers),
        "num_heads": net.layers[0].heads,
        "class_token": False,
        "global_pool": "avg",
        "fc_norm": False,  # the norm comes before the mean
    }
    names = {"patch_embed.proj": "embed", "norm": "norm"}
    names |= {f"blocks.{i}.{a}": f"layers.{i}.{b}" for i in range(len(net.layers)) for a, b in _PARTS.items()}
    weights = {f"{a}.{kind}": ours[f"{b}.{kind}"] for a, b in names.items() for kind in ("weight", "bias")}
    return arguments, {"pos_embed": positions(side, side, net.dim)[None].float(), **weights}


def write(directory: Path, s: Subject) -> float:
    """Write ``config.json`` and ``model.safetensors``, and let timm read them once.

    Returns:
        How far from the model its features and probabilities are, at most.

    Raises:
        UserError: timm has no such network, or makes something else of it.
    """
    import timm
    from safetensors.torch import save

    name, arguments, weights, (first, last) = as_in_timm(s)
    if not timm.is_model(name):
        raise UserError(f"timm {timm.__version__} has no {name}; write to=safetensors or to=onnx")
    if s.model.head is not None:
        weights = {**weights, **{f"{last}.{key}": value for key, value in s.model.head.state_dict().items()}}
    info, classes = s.info, list(s.model.classes)
    write_json(
        directory / "config.json",
        {
            "architecture": name,
            "num_classes": len(classes),
            "num_features": s.model.dim,
            "global_pool": "avg",
            "model_args": {"in_chans": info.channels, **arguments},
            **({"label_names": classes} if classes else {}),
            "pretrained_cfg": {
                "input_size": [info.channels, info.image_size, info.image_size],
                "fixed_input_size": "img_size" in arguments,
                "num_classes": len(classes),
                "pool_size": None,
                "crop_pct": 1.0,
                "crop_mode": "center",
                "interpolation": "bicubic",
                "mean": list(info.mean),
                "std": list(info.std),
                "first_conv": first,
                "classifier": last,
            },
        },
    )
    tensors = {key: value.contiguous().clone() for key, value in weights.items()}
    replace(directory / "model.safetensors", save(tensors, {"format": "pt"}))
    return _apart(timm.create_model(f"local-dir:{directory}", pretrained=True).eval(), s)


def _apart(theirs: torch.nn.Module, s: Subject) -> float:
    """Return how far timm's network is from the model."""
    pixels, apart = CentreSquare(s.info.image_size, s.info.mean, s.info.std), 0.0
    for images in s.images:
        with torch.no_grad():
            x = pixels(images)
            here = (s.model(x),) if s.model.head is None else (s.model(x), s.model.predict(x))
            there = (theirs.forward_head(theirs.forward_features(x), pre_logits=True),)
            there = there if s.model.head is None else (*there, theirs(x).softmax(1))
        apart = max(apart, check_same("network that timm builds", here, there))
    return apart
